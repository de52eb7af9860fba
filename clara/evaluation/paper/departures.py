"""Where a run's base is another than the paper's: its settings beside those of `paper/setting.yaml`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clara.config import load
from clara.errors import ConfigError

PAPER = Path("paper") / "setting.yaml"
NOT_OF = ("data",)
"""Sources of tables whose numbers no method has made."""


class Departure(NamedTuple):
    """A setting that is another in the paper."""

    key: str
    """Its path in config.yaml."""
    ours: Any
    paper: Any


def departures(base: dict[str, Any], root: Path, source: str = "scores") -> list[Departure]:
    """The settings of the run's base that differ from the paper's, in the order of `paper/setting.yaml`.

    Args:
        base: the whole configuration, overrides of `base` merged in.
        root: the project's folder.
        source: of a table's numbers (`specs.SOURCES`); the scorecard's are scores.

    Raises:
        ConfigError: the file names a key that is no setting.
    """
    if source in NOT_OF:
        return []
    stated = load(root / PAPER)
    chosen = {**stated["method"], **stated.get(source, {})}
    found = [Departure(key, _at(base, key), paper) for key, paper in chosen.items()]
    return [one for one in found if one.ours != one.paper]


def sentence(found: Sequence[Departure]) -> str:
    """What a reader is told; empty where nothing differs."""
    parts = [f"{key} {_written(ours)} (paper: {_written(paper)})" for key, ours, paper in found]
    return f"Not the paper's setting, in this run's base: {'; '.join(parts)}." if parts else ""


def _at(base: dict[str, Any], key: str) -> Any:
    value: Any = base
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f"{PAPER} names {key}, which is no key of config.yaml; mend its name there")
        value = value[part]
    return base["candidates"]["size"] if key == "candidates.train_size" and value is None else value


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
