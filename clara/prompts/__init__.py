"""The prompts: one Jinja file each in this folder, rendered strictly, and the version of those that made a row.

A prompt is one text, or a chat: then lines `@system`, `@user` and `@assistant` open its turns. The file is cut into
turns before values are filled in, so that no passage can open a turn of its own.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables

from clara.errors import ConfigError

FOLDER = Path(__file__).parent


def render(name: str, **values: object) -> str:
    """The text of prompt `name` with `values` filled in, outer white space removed.

    Raises:
        ConfigError: the prompt is unknown or damaged, a variable has no value, or a value has no variable.
    """
    return "\n\n".join(text for _, text in render_chat(name, **values))


def render_chat(name: str, **values: object) -> list[tuple[str, str]]:
    """Role and text of each turn of prompt `name`; a prompt without turns is one of the user's.

    Raises:
        ConfigError: as `render`.
    """
    turns, variables = _load(name)
    missing = sorted(variables - set(values))
    unused = sorted(set(values) - variables)
    if missing:
        raise ConfigError(f"prompt {name}.jinja needs a value for {', '.join(missing)}; pass it or edit the prompt")
    if unused:
        raise ConfigError(
            f"prompt {name}.jinja does not use {', '.join(unused)}; name it in the prompt or leave it out"
        )
    return [(role, template.render(**values).strip()) for role, template in turns]


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
def _load(name: str) -> tuple[tuple[tuple[str, Template], ...], frozenset[str]]:
    # The texts are plain language, never HTML: escaping would turn quotes of a passage into entities.
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    first, *rest = re.split(r"^@(system|user|assistant)[ \t]*\n", _source(name), flags=re.MULTILINE)
    turns = list(zip(rest[::2], rest[1::2], strict=True))
    if first.strip() or not turns:
        turns.insert(0, ("user", first))
    try:
        variables = [find_undeclared_variables(environment.parse(text)) for _, text in turns]
        templates = tuple((role, environment.from_string(text)) for role, text in turns)
    except TemplateSyntaxError as error:
        raise ConfigError(
            f"prompt {name}.jinja is no Jinja template: {error.message}; mend line {error.lineno} of that turn"
        ) from error
    return templates, frozenset[str]().union(*variables)
