"""What lies beside checkpoints and explains them: settings and environments; and reports of stages as tables."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clara.evaluation.labels import BENCHMARKS, checkpoint_of
from clara.files import read_json

_SETTINGS, _ENVIRONMENT = "settings.json", "environment.json"
_OWN = frozenset(
    {
        "command",
        "inputs",
        "outputs",
        "modules",
        "finished",
        "wall_seconds",
        "peak_memory_mib",
        "peak_gpu_memory_mib",
        "earlier_attempts",
        "energy",
    }
)
"""Keys of an environment that each checkpoint has to itself; they stand in its fold."""


class Fact(NamedTuple):
    """A value of the environment and the checkpoints that share it."""

    key: str
    value: str
    where: str


class Beside(NamedTuple):
    """What lies beside a checkpoint's history."""

    label: str
    settings: dict[str, Any]
    environment: dict[str, Any]

    @property
    def text(self) -> str:
        """Both as indented JSON."""
        value = {"settings": self.settings, "environment": self.environment}
        return json.dumps(value, indent=2, ensure_ascii=False)

    def number(self, key: str) -> str:
        """A number of the environment as text; empty where it is not recorded."""
        return show(self.environment[key]) if key in self.environment else ""


class Facts(NamedTuple):
    """Part of a stage's report: a table of names and values."""

    caption: str
    rows: list[tuple[str, str]]


def environment_facts(besides: Iterable[Beside]) -> list[Fact]:
    """What the environments say of machine and software, equal values said once."""
    places: dict[tuple[str, str], list[str]] = {}
    known = [beside for beside in besides if beside.environment]
    for beside in known:
        shared = {key: value for key, value in beside.environment.items() if key not in _OWN}
        for key, value in flatten(shared):
            places.setdefault((key, value), []).append(beside.label)
    return [
        Fact(key, value, "all" if len(labels) == len(known) else ", ".join(labels))
        for (key, value), labels in places.items()
    ]


def repeatability(besides: Iterable[Beside]) -> str:
    """Which numbers another run of the same settings and code may move; empty where no device is known."""
    devices = sorted({str(beside.environment["device"]) for beside in besides if "device" in beside.environment})
    if not devices:
        return ""
    if devices == ["cpu"]:
        return (
            "Trained on a CPU: the same code, settings, seed and number of threads on the same kind of machine give "
            "the same numbers again, to the last digit."
        )
    return (
        f"Trained on {', '.join(devices)}, which adds numbers in no fixed order. Another run may move the last digits "
        "of losses and weights, and with them answers, CLaRa's retrieval, their scores and memory use; answers of the "
        "language model alone and from text may move as well. Corpus, questions, candidate pools and BM25 cannot."
    )


def read_besides(histories: Iterable[Path]) -> list[Beside]:
    """What lies beside each history; empty mappings where nothing does."""
    return [
        Beside(checkpoint_of(path).label, mapping(path.with_name(_SETTINGS)), mapping(path.with_name(_ENVIRONMENT)))
        for path in map(Path, histories)
    ]


def mapping(path: Path) -> dict[str, Any]:
    """What stands in a file of settings or in a record; empty where there is none."""
    return dict(read_json(path)) if path.exists() else {}


def backbones(besides: Iterable[Beside]) -> list[str]:
    """The language models that the settings name."""
    sources = [beside.settings.get("backbone", {}).get("source") for beside in besides]
    return list(dict.fromkeys(str(name).removesuffix(".gguf").rpartition("/")[2] for name in sources if name))


def report_tables(report: Mapping[str, Any]) -> list[Facts]:
    """A stage's report as tables: one of its plain values, one for each mapping in it."""
    plain = {key: value for key, value in report.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in report.items() if isinstance(value, Mapping)}
    tables = [Facts("Totals", flatten(plain))] if plain else []
    return tables + [Facts(_words(key).capitalize(), flatten(value)) for key, value in nested.items() if value]


def seen_documents(files: Iterable[Path]) -> list[Facts]:
    """Which share of the test questions' gold documents training knows, a table a pool; none where it is not measured.

    Args:
        files: of `measure_data`.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for row in (row for path in files for row in read_json(path)["questions"]):
        if "gold_seen" in row:
            shown = f"{row['gold_seen_as_gold']:.0%} as gold, {row['gold_seen']:.0%} in a pool"
            found.setdefault(row["setting"], []).append((BENCHMARKS.get(row["benchmark"], row["benchmark"]), shown))
    return [Facts(f"Gold documents that training knows, {setting} pools", rows) for setting, rows in found.items()]


def flatten(value: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Every leaf of nested mappings, as its path in words and its text."""
    rows: list[tuple[str, str]] = []
    for key, inner in value.items():
        name = f"{before} / {_words(key)}" if before else _words(key)
        rows += flatten(inner, name) if isinstance(inner, Mapping) else [(name, show(inner))]
    return rows


def _words(key: str) -> str:
    return str(key).replace("_", " ")


def show(value: Any) -> str:
    """A value as text: thousands set apart, at most four significant decimals, lists by commas."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(show(item) for item in value) or "none"
    return str(value)
