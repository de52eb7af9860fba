"""Which command makes what a table or a claim lacks."""

import re
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from clara.config import load

NAME = re.compile(r"(?:given-)?(?P<init>pretraining|instruction)-cr(?P<ratio>\d+)-(?P<variant>\w+)")


class Run(NamedTuple):
    """What a run's configuration says that a command must add to."""

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
    """The Snakemake command that makes `targets`, with the ratios, starts and variants that the run itself lacks.

    Args:
        targets: paths of files of the run.
        run: the run's configuration.
        systems: what they need; null: the systems that the targets are named by.
        complete: a table, or `scorecard`, that is to be made with all of them.
        settings: other keys of the command's `--config`.
        configs: folder of the overlays.
    """
    named = [Path(target).stem for target in targets] if systems is None else systems
    parts = [found.groups() for name in named if (found := NAME.fullmatch(name))]
    files = [*overlays_of(run.name, configs)]
    lacking = {variant for _, _, variant in parts} - {*run.variants}
    for overlay in _overlays(configs):
        if overlay.run is None and overlay.variants & lacking:
            files += overlay.files
            lacking -= overlay.variants
    keys = [*settings]
    if complete:
        keys.append(f"paper={{complete: [{complete}]}}")
    # With `complete` the run's own stay beside the new ones; a single number needs its own alone.
    if more := {int(ratio) for _, ratio, _ in parts} - {*run.ratios}:
        keys.append(f"ratios=[{', '.join(map(str, sorted(more | ({*run.ratios} if complete else set()))))}]")
    if starts := sorted({init for init, _, _ in parts} - {*run.inits}):
        keys.append(f"inits=[{', '.join([*(run.inits if complete else []), *starts])}]")
    words = ["snakemake", *targets, "--profile", "profiles/local"]
    words += ["--configfile", *files] if files else []
    words += ["--config", *keys] if keys else []
    return shlex.join(words)


def overlays_of(run: str, configs: Path = Path("configs")) -> list[str]:
    """The configuration files of `run`: the one that names it, after those that it lies over; none for the default."""
    return next((named.files for named in _overlays(configs) if named.run == run), [])


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
