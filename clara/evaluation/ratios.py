"""Effective next to nominal compression ratios: what a run's documents make of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from clara.errors import DataError
from clara.files import read_json

Effective = Mapping[int, float]
"""Nominal ratio → tokens of a mean stored document for each of its memory vectors."""


def read_effective(files: Iterable[Path]) -> Effective:
    """Of files of `measure_data`; none where there is no file.

    Raises:
        DataError: a file is of another kind.
    """
    found: dict[int, float] = {}
    for path in files:
        try:
            found |= {int(row["ratio"]): float(row["effective"]) for row in read_json(path)["ratios"]}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} holds no ratios ({error!r}); delete it and run measure_data again") from error
    return found


def sentence(effective: Effective | None) -> str:
    """What to know of the ratios; empty where nothing is known."""
    shown = ", ".join(f"{value:.1f} at CR {ratio}" for ratio, value in sorted((effective or {}).items()))
    return f"Ratios are nominal; of a mean document here, tokens for each memory vector: {shown}." if shown else ""
