"""Variants that differ from another by name alone: their numbers are that one's, and are made once."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from clara.config import load, merge
from clara.plan import Plan

NAME = re.compile(r"(?P<given>given-)?(?P<init>pretraining|instruction)-cr(?P<ratio>\d+)-(?P<variant>\w+)")


@cache
def known_variants(configs: Path) -> dict[str, Any]:
    """The variants of the overlays in a folder that name no run (`configs/ablations.yaml`): name → overrides.

    Of two with one name the first file's counts.
    """
    found: dict[str, Any] = {}
    for path in sorted(configs.glob("*.yaml")):
        content = load(path)
        if content.get("run") is None:
            found = {**(content.get("variants") or {}), **found}
    return found


class Equals:
    """Which systems of a configuration are another under another name.

    With `pretraining.kinds: [simple]` the variant `simple` is `base`, whether or not the run's configuration lists it;
    with training pools of five so is one that chooses among five candidates or ten at most.

    Args:
        config: the run's whole configuration.
        root: the project's folder.
    """

    def __init__(self, config: dict[str, Any], root: Path) -> None:
        self.own = config["variants"]
        others = {name: keys for name, keys in known_variants(root / "configs").items() if name not in self.own}
        variants = {name: _whole_pools(config, keys) for name, keys in {**self.own, **others}.items()}
        self.plan = Plan({**config, "variants": variants}, root)

    def among(self, systems: Iterable[str]) -> dict[str, str]:
        """Of these names those that are another's → that one's name."""
        found = {}
        for system in systems:
            parts = NAME.fullmatch(system)
            if parts is None or parts["variant"] not in self.plan.variants:
                continue
            owner = self.plan.owner("given" if parts["given"] else "metrics", parts["variant"], parts["init"])
            if owner != parts["variant"] and owner in self.own:
                found[system] = f"{parts['given'] or ''}{parts['init']}-cr{parts['ratio']}-{owner}"
        return found


def _whole_pools(config: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """A variant's overrides, where it may choose among as many candidates as a training pool holds: among all."""
    pool = config["candidates"]["train_size"] or config["candidates"]["size"]
    most = merge(config, overrides)["joint"]["candidates"]
    return overrides if most is None or most < pool else merge(overrides, {"joint": {"candidates": None}})
