"""What a table of the paper consists of: `paper/tables/*.yaml`, read strictly."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from clara.config import load
from clara.config.base import Distinct, Strict, Text, matching
from clara.errors import ConfigError

SOURCES = {
    "scores": "evaluation/metrics/{system}.json",
    "grounding": "measurements/grounding/{system}.json",
    "recovery": "measurements/recovery/{system}.json",
    "efficiency": "measurements/efficiency/{system}.json",
    "data": "measurements/data.json",
}
"""Where the numbers of a table lie, below `results/{run}/`."""

SpecType = TypeVar("SpecType", bound=Strict)
Pattern = Annotated[str, matching(r"[\w-]+(\{ratio\}[\w-]*)?", "a system's name, {ratio} standing for its ratio")]
At = Distinct[Annotated[int, Field(ge=1)]]
"""Ratios at which the paper has something: a run that has any of them is asked for it at these alone."""


def chosen(ratios: Iterable[int], at: Sequence[int]) -> list[int]:
    """Those of a run's ratios that stand in `at`; all of them where none does."""
    ratios = [*ratios]
    return [ratio for ratio in ratios if ratio in at] or ratios


class RowSpec(Strict):
    """A system, or with `{ratio}` in its name one at every ratio."""

    label: Text
    """How the table calls it; may hold `{ratio}`."""
    system: Pattern | None = None
    """Whose numbers are ours; null: a peer that is not run here, whose values are the paper's."""
    paper: Pattern | None = None
    """Under which name its values stand in `paper/values`; null: as `system`."""
    held_by: Pattern | None = None
    """The system whose file holds the numbers as well, where `system` has none of its own."""
    at: At = Field(default_factory=list)
    """Ratios of the paper's row, where they are others than the table's."""

    @model_validator(mode="after")
    def _names_something(self) -> "RowSpec":
        if self.system is None and self.paper is None:
            raise ValueError("should name `system`, `paper` or both")
        return self

    @property
    def quoted(self) -> bool:
        """Whether the row is the paper's alone."""
        return self.system is None

    @property
    def value_name(self) -> str:
        """The name, or pattern, under which the paper's values stand."""
        return self.paper or self.system or ""

    def ratios(self, systems: Iterable[str], named: Iterable[str]) -> list[int]:
        """The ratios at which the row has numbers: ours among `systems`, the paper's among `named`."""
        found = {*_ratios(self.system, systems), *_ratios(self.value_name, named)}
        return sorted(found)

    @property
    def spread(self) -> bool:
        """Whether it stands for a row at every ratio."""
        return "{ratio}" in (self.system or self.value_name)


def _ratios(pattern: str | None, names: Iterable[str]) -> list[int]:
    if pattern is None or "{ratio}" not in pattern:
        return []
    form = re.compile(r"(\d+)".join(re.escape(part) for part in pattern.split("{ratio}")))
    return [int(found[1]) for name in names if (found := form.fullmatch(name))]


class Table(Strict):
    """A table of the paper, as rows by columns (setting, benchmark, metric)."""

    table: Annotated[str, matching(r"table_\d+|ablation_[a-z]+", "table_ and its number, or ablation_ and a word")]
    """Name of the files made, and of the values' file; an ablation is ours, not the paper's."""
    title: Text
    place: Text
    """Where it stands in the paper."""
    source: Literal["scores", "grounding", "recovery", "efficiency", "data"]
    """From which files our numbers come (`SOURCES`)."""
    metrics: Distinct[Text] = Field(min_length=1)
    settings: Distinct[Text] = Field(min_length=1)
    """normal and oracle; `all` where a number has no such setting."""
    benchmarks: Distinct[Text] = Field(min_length=1)
    names: dict[str, str] = Field(default_factory=dict)
    """What metrics, settings and benchmarks are called, where it is not the usual."""
    decimals: int = Field(default=1, ge=0, le=4)
    counts: Distinct[Text] = Field(default_factory=list)
    """Metrics that are whole numbers, shown without decimals."""
    needs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Metric → the settings without which its file lacks it: keys of the command that makes it."""
    packages: dict[str, Distinct[Text]] = Field(default_factory=dict)
    """Metric → what must be installed for these settings, by the names of PyPI."""
    optional: Distinct[Text] = Field(default_factory=list)
    """Metrics that are shown where the run has them, and asked for nowhere."""
    at: At = Field(default_factory=list)
    """Ratios of the paper's table; empty: as many as the run has."""
    rows: list[RowSpec] = Field(min_length=1)
    released: bool = False
    """Whether checkpoints of the released code stand below its rows, each that the run answers by."""
    note: Text | None = None
    """What a reader must know before comparing."""

    @model_validator(mode="after")
    def _labels_differ(self) -> "Table":
        labels = [row.label for row in self.rows]
        twice = [label for number, label in enumerate(labels) if label in labels[:number]]
        if twice:
            raise ValueError(f"should give each row its own label, found {twice[0]!r} twice")
        return self

    @model_validator(mode="after")
    def _speaks_of_its_metrics(self) -> "Table":
        if others := sorted({*self.counts, *self.needs, *self.packages, *self.optional} - {*self.metrics}):
            raise ValueError(
                f"should name its own metrics in `counts`, `needs`, `packages` and `optional`, found {others[0]!r}"
            )
        return self

    def digits(self, metric: str) -> int:
        """Decimals of a metric."""
        return 0 if metric in self.counts else self.decimals

    @model_validator(mode="after")
    def _has_released_scores(self) -> "Table":
        if self.released and self.source != "scores":
            raise ValueError(f"should have `released` with source scores only, found {self.source}")
        return self

    @property
    def source_line(self) -> str:
        """Where it is from, as a sentence's beginning."""
        return f"{self.place} of the paper" if self.table.startswith("table_") else self.place

    def ratios_asked(self, row: RowSpec, ratios: Iterable[int]) -> list[int]:
        """The ratios at which a run that has these is asked for a row."""
        return chosen(ratios, row.at or self.at)

    def systems(self, ratios: Iterable[int]) -> list[str]:
        """The names of the systems of all rows at these ratios, and of those that hold numbers of others."""
        ratios = [*ratios]
        return self._spelled((row, ratios) for row in self.rows)

    def asked(self, ratios: Iterable[int]) -> list[str]:
        """Of these systems those that a run with these ratios is asked for."""
        ratios = [*ratios]
        return self._spelled((row, self.ratios_asked(row, ratios)) for row in self.rows)

    def _spelled(self, rows: Iterable[tuple[RowSpec, list[int]]]) -> list[str]:
        names = [(name, ratios) for row, ratios in rows for name in (row.system, row.held_by) if name]
        spelled = [name.format(ratio=ratio) for name, ratios in names for ratio in (ratios if "{" in name else [0])]
        return list(dict.fromkeys(spelled))

    def files(self, run: str, systems: Iterable[str]) -> list[str]:
        """Paths of all files that its numbers of these systems can come from."""
        pattern = f"results/{run}/{SOURCES[self.source]}"
        return list(dict.fromkeys(pattern.format(system=name) for name in systems))


def read_table(path: Path) -> Table:
    """A table's specification.

    Raises:
        ConfigError: the file is no such specification, or its name is not that of its table; names every fault.
    """
    table = read_spec(Table, path)
    if table.table != Path(path).stem:
        raise ConfigError(f"{path} specifies {table.table}; name the file {table.table}.yaml, or mend the key `table`")
    return table


def read_spec(kind: type[SpecType], path: Path) -> SpecType:
    """The specification in a YAML file.

    Raises:
        ConfigError: a key is unknown, missing or of another type; names all of them.
    """
    try:
        return kind.model_validate(load(path))
    except ValidationError as error:
        faults = "; ".join(_sentence(fault) for fault in error.errors())
        raise ConfigError(f"{path} is no usable specification: {faults} (docs/paper.md says what it holds)") from error


def _sentence(fault: object) -> str:
    assert isinstance(fault, dict)
    place = ".".join(str(part) for part in fault["loc"]) or "the whole"
    if fault["type"] == "extra_forbidden":
        return f"{place} is no known key"
    if fault["type"] == "missing":
        return f"{place} is missing"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}"
