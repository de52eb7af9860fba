"""What lies beside checkpoints and explains them: settings and environments; and reports of stages as tables."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clara.evaluation.labels import checkpoint_of
from clara.files import read_json

_SETTINGS, _ENVIRONMENT = "settings.json", "environment.json"


class Fact(NamedTuple):
    """A value of the environment and the checkpoints that share it."""

    key: str
    value: str
    where: str


class Facts(NamedTuple):
    """Part of a stage's report: a table of names and values."""

    caption: str
    rows: list[tuple[str, str]]


def environment_facts(histories: Iterable[Path]) -> list[Fact]:
    """The environments beside `histories`, equal values said once."""
    places: dict[tuple[str, str], list[str]] = {}
    count = 0
    for path in histories:
        beside = Path(path).with_name(_ENVIRONMENT)
        if beside.exists():
            count += 1
            for key, value in flatten(read_json(beside)):
                places.setdefault((key, value), []).append(checkpoint_of(path).label)
    return [
        Fact(key, value, "all" if len(labels) == count else ", ".join(labels))
        for (key, value), labels in places.items()
    ]


def settings_of(histories: Iterable[Path]) -> dict[str, str]:
    """Checkpoint → its settings as indented JSON, where they lie beside its history."""
    texts = {}
    for path in histories:
        beside = Path(path).with_name(_SETTINGS)
        if beside.exists():
            texts[checkpoint_of(path).label] = json.dumps(read_json(beside), indent=2, ensure_ascii=False)
    return texts


def backbones(histories: Iterable[Path]) -> list[str]:
    """The language models that the settings beside `histories` name."""
    found: dict[str, None] = {}
    for path in histories:
        beside = Path(path).with_name(_SETTINGS)
        source = read_json(beside).get("backbone", {}).get("source") if beside.exists() else None
        if source:
            found[str(source).removesuffix(".gguf").rpartition("/")[2]] = None
    return list(found)


def report_tables(report: Mapping[str, Any]) -> list[Facts]:
    """A stage's report as tables: one of its plain values, one for each mapping in it."""
    plain = {key: value for key, value in report.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in report.items() if isinstance(value, Mapping)}
    tables = [Facts("Totals", flatten(plain))] if plain else []
    return tables + [Facts(_words(key).capitalize(), flatten(value)) for key, value in nested.items() if value]


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
