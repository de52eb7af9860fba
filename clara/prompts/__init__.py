"""The prompts: one Jinja file each in this folder, rendered strictly, and the version of those that made a row."""

import hashlib
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables

from clara.errors import ConfigError

FOLDER = Path(__file__).parent


def render(name: str, **values: object) -> str:
    """The text of prompt `name` with `values` filled in, outer white space removed.

    Raises:
        ConfigError: the prompt is unknown or damaged, a variable of the prompt has no value, or a value has no variable.
    """
    template, variables = _load(name)
    missing = sorted(variables - set(values))
    unused = sorted(set(values) - variables)
    if missing:
        raise ConfigError(f"prompt {name}.jinja needs a value for {', '.join(missing)}; pass it or edit the prompt")
    if unused:
        raise ConfigError(
            f"prompt {name}.jinja does not use {', '.join(unused)}; name it in the prompt or leave it out"
        )
    return template.render(**values).strip()


def version(*names: str) -> str:
    """Eight hexadecimal digits that change whenever the content or the set of the named prompts changes."""
    digest = hashlib.sha256()
    for name in sorted(set(names)):
        digest.update(f"{name}\0{_source(name)}\0".encode())
    return digest.hexdigest()[:8]


def _source(name: str) -> str:
    path = FOLDER / f"{name}.jinja"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.jinja")))
        raise ConfigError(f"there is no prompt {path}; the prompts are: {known}") from error


@lru_cache
def _load(name: str) -> tuple[Template, frozenset[str]]:
    source = _source(name)
    # The texts are plain language, never HTML: escaping would turn quotes of a passage into entities.
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    try:
        variables = find_undeclared_variables(environment.parse(source))
        return environment.from_string(source), frozenset(variables)
    except TemplateSyntaxError as error:
        raise ConfigError(
            f"prompt {name}.jinja line {error.lineno} is no Jinja template: {error.message}; mend the line"
        ) from error
