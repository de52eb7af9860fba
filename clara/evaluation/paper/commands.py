"""Which command makes what a table or a claim lacks."""

import re
import shlex
from collections.abc import Sequence
from functools import cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

from clara.config import load, merge

NAME = re.compile(r"(?:given-)?(?P<init>pretraining|instruction)-cr(?P<ratio>\d+)-(?P<variant>\w+)")


class Run(NamedTuple):
    """What a run's configuration says of what it makes."""

    name: str
    ratios: Sequence[int]
    inits: Sequence[str]
    variants: Sequence[str]


def command_for(
    targets: Sequence[str],
    run: Run,
    *,
    systems: Sequence[str] | None = None,
    complete: str | None = None,
    settings: Sequence[str] = (),
    configs: Path = Path("configs"),
) -> str:
    """The Snakemake command that makes `targets`, with the ratios, starts and variants that the run's files lack.

    Args:
        targets: paths of files of the run.
        run: the run's configuration, whatever files and keys it was put together from.
        systems: what they need; null: the systems that the targets are named by.
        complete: a table, or `scorecard`, that is to be made with all of them.
        settings: other keys of the command's `--config`.
        configs: folder of the overlays.
    """
    named = [Path(target).stem for target in targets] if systems is None else systems
    parts = [found.groups() for name in named if (found := NAME.fullmatch(name))]
    stated = _stated(run, configs)
    files = [*overlays_of(run.name, configs)]
    lacking = {variant for _, _, variant in parts} - {*stated.variants}
    for overlay in _overlays(configs):
        if overlay.run is None and overlay.variants & lacking:
            files += overlay.files
            lacking -= overlay.variants
    keys = [*settings]
    if complete:
        keys.append(f"paper={{complete: [{complete}]}}")
    # With `complete` what the run had stays beside the new; a number needs its own alone.
    ratios = sorted({*(run.ratios if complete else []), *(int(ratio) for _, ratio, _ in parts)})
    if {*ratios} - {*stated.ratios}:
        keys.append(f"ratios=[{', '.join(map(str, ratios))}]")
    inits = list(dict.fromkeys([*(run.inits if complete else []), *sorted(init for init, _, _ in parts)]))
    if {*inits} - {*stated.inits}:
        keys.append(f"inits=[{', '.join(inits)}]")
    words = ["snakemake", *targets, "--profile", "profiles/local"]
    words += ["--configfile", *files] if files else []
    words += ["--config", *keys] if keys else []
    return shlex.join(words)


def overlays_of(run: str, configs: Path = Path("configs")) -> list[str]:
    """The configuration files of `run`: the one that names it, after those that it lies over; none for the default."""
    return next((named.files for named in _overlays(configs) if named.run == run), [])


def _stated(run: Run, configs: Path) -> Run:
    """The run as its files state it, which is all that a command gives: not what another command had made of it.

    Where no file names the run, it is taken as it was.
    """
    files = tuple(overlays_of(run.name, configs))
    content = _content((str(configs.parent / "config.yaml"), *files))
    if not files and content["run"] != run.name:
        return run
    return Run(run.name, content["ratios"], content["inits"], [*content["variants"]])


@cache
def _content(files: tuple[str, ...]) -> dict[str, Any]:
    return reduce(merge, [load(Path(file)) for file in files])


class Overlay(NamedTuple):
    """A file of `configs/`."""

    files: list[str]
    """Itself, after the files that it lies over."""
    run: str | None
    """The run that it names, if any."""
    variants: frozenset[str]


@cache
def _overlays(configs: Path) -> list[Overlay]:
    found = []
    for path in sorted(configs.glob("*.yaml")):
        content = load(path)
        below = content.get("paper", {}).get("lies_over", [])
        found.append(Overlay([*below, str(path)], content.get("run"), frozenset(content.get("variants") or {})))
    return found
