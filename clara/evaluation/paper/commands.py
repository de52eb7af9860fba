"""Which command makes a file that a table or a claim lacks."""

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


def command_for(target: str, run: Run, configs: Path = Path("configs")) -> str:
    """The Snakemake command that makes `target`, with the ratio, start and variant that the run itself does not have.

    Args:
        target: path of a file of the run.
        run: the run's configuration.
        configs: folder of the overlays.
    """
    files = overlays_of(run.name, configs)
    keys = []
    found = NAME.fullmatch(Path(target).stem)
    if found:
        init, ratio, variant = found.groups()
        if int(ratio) not in run.ratios:
            keys.append(f"ratios=[{ratio}]")
        if init not in run.inits:
            keys.append(f"inits=[{init}]")
        if variant not in run.variants:
            files += [file for file, (name, has) in _overlays(configs).items() if name is None and variant in has][:1]
    words = ["snakemake", target, "--profile", "profiles/local"]
    words += ["--configfile", *files] if files else []
    words += ["--config", *keys] if keys else []
    return shlex.join(words)


def overlays_of(run: str, configs: Path = Path("configs")) -> list[str]:
    """The configuration file that names `run`; none where it is the default's."""
    return [file for file, (name, _) in _overlays(configs).items() if name == run][:1]


@cache
def _overlays(configs: Path) -> dict[str, tuple[str | None, frozenset[str]]]:
    """File → the run that it names, if any, and the variants that it adds."""
    found = {}
    for path in sorted(configs.glob("*.yaml")):
        content = load(path)
        found[str(path)] = (content.get("run"), frozenset(content.get("variants") or {}))
    return found
