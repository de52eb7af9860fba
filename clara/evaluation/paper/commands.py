"""Which command makes what a table or a claim lacks, or why none can."""

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from clara.config import load, merge
from clara.config.checks import unmade_kinds
from clara.evaluation.labels import GIVEN
from clara.evaluation.paper.equal import NAME, known_variants

SEEDED = re.compile(r"(?P<variant>\w+)_seed(?P<seed>\d+)")
MODELS = ("dense", "cross_encoder", "llmlingua2")
"""Baselines that are models of others, by their section of `evaluation`."""
GAPS = ("FOLDER", "model: NAME")
"""What stands in a command for something that only its reader knows."""


class Run(NamedTuple):
    """What a run's configuration, and its data, say of what it makes."""

    name: str
    ratios: Sequence[int]
    kinds: frozenset[str] | None = None
    """Kinds of rows that there are to pretrain on; None where that is not measured, and the configuration counts."""


def command_for(
    targets: Sequence[str],
    run: str,
    *,
    settings: Mapping[str, Any] | None = None,
    packages: Sequence[str] = (),
    over: Sequence[str] = (),
    configs: Path = Path("configs"),
) -> str:
    """The Snakemake command that makes `targets`.

    Every file can be named whose variant stands in the run's configuration or in an overlay of `configs` that names no
    run, at any ratio and from either start. What a name needs beside is added: its seed, or a model of others.

    Args:
        targets: paths of files of the run.
        run: its name.
        settings: more of the configuration, for `--config`.
        packages: what these settings need installed.
        over: configuration files to lay over the run's.
        configs: folder of the run's configuration and of the overlays.
    """
    stated = stated_by(run, configs)
    installed = dict.fromkeys(packages)
    seeds: dict[int, None] = {}
    wanted = dict(settings or {})
    for name in (Path(target).stem for target in targets):
        if (parts := NAME.fullmatch(name)) and (seeded := SEEDED.fullmatch(parts["variant"])):
            seeds[int(seeded["seed"])] = None
        if section := _model(name, stated):
            source = stated["evaluation"][section]["source"] or ""
            if not source:
                wanted = merge(wanted, {"evaluation": {section: {"source": "FOLDER"}}})
            elif source.startswith("package:"):
                installed[source.removeprefix("package:").partition("/")[0]] = None
    if seeds and not {*seeds} <= {*stated.get("seeds", [])}:
        wanted["seeds"] = [*dict.fromkeys([*stated.get("seeds", []), *seeds])]
    files = [*overlays_of(run, configs), *over]
    words = ["snakemake", *targets, "--profile", "profiles/local"]
    words += ["--configfile", *files] if files else []
    words += ["--config", *(f"{key}={_flow(value)}" for key, value in wanted.items())] if wanted else []
    before = [["python", "-m", "pip", "install", *installed]] if installed else []
    return " && ".join(shlex.join(part) for part in [*before, words])


def pools_for(setting: str, run: str, configs: Path = Path("configs")) -> dict[str, Any]:
    """What of the configuration gives the run the candidates of a setting; empty where it has them."""
    pools = stated_by(run, configs).get("candidates", {}).get("settings", ["oracle", "normal"])
    if setting not in ("oracle", "normal") or setting in pools:
        return {}
    return {"candidates": {"settings": ["oracle", "normal"]}}


def obstacle(system: str, run: Run, configs: Path = Path("configs")) -> str:
    """Why no command can make a system's numbers, as a comment in place of the command; empty where one can."""
    parts, stated = NAME.fullmatch(system), stated_by(run.name, configs)
    if parts is None or not stated:
        return ""
    seeded = SEEDED.fullmatch(parts["variant"])
    variant = seeded["variant"] if seeded else parts["variant"]
    overrides = {**known_variants(configs), **stated["variants"]}.get(variant)
    if overrides is None:
        return f"# none: no configuration file has a variant {variant}"
    changed = merge(stated, overrides)
    if (tokens := changed["memory"]["document_max_tokens"]) < int(parts["ratio"]):
        return f"# none: at ratio {parts['ratio']} nothing is left of a document of {tokens} tokens"
    made = changed["synthesis"]["kinds"] if run.kinds is None else sorted(run.kinds)
    if absent := unmade_kinds(merge(changed, {"synthesis": {"kinds": made}})):
        return f"# none: needs rows of kind {' and '.join(absent)}, of which this run's data has none"
    return ""


def overlays_of(run: str, configs: Path = Path("configs")) -> list[str]:
    """The configuration files of `run`: the one that names it, after those that it lies over; none for the default."""
    return next((files for files, named in _files(configs) if named == run), [])


def stated_by(run: str, configs: Path = Path("configs")) -> dict[str, Any]:
    """The whole configuration that the run's files state, all that a command gives; empty where none names it."""
    files = overlays_of(run, configs)
    content = _content((str(configs.parent / "config.yaml"), *files))
    return content if files or content["run"] == run else {}


def _model(system: str, stated: Mapping[str, Any]) -> str:
    """The section of the model that a baseline is, such as `llmlingua2` of `given-llmlingua2_cr4`; empty of others."""
    name = re.sub(r"_cr\d+$", "", system.removeprefix(GIVEN))
    return name if name in MODELS and stated else ""


def _flow(value: Any) -> str:
    """A mapping or list as YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).strip()


@cache
def _content(files: tuple[str, ...]) -> dict[str, Any]:
    return reduce(merge, [load(Path(file)) for file in files])


@cache
def _files(configs: Path) -> list[tuple[list[str], str | None]]:
    """Every file of `configs` after those that it lies over, and the run that it names, if any."""
    contents = [(path, load(path)) for path in sorted(configs.glob("*.yaml"))]
    return [([*each.get("paper", {}).get("lies_over", []), str(path)], each.get("run")) for path, each in contents]
