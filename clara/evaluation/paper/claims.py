"""The paper's claims as data: `paper/claims.yaml`, read strictly."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clara.config.base import Distinct, Strict, Text, matching, under_seed
from clara.evaluation.paper.equal import NAME
from clara.evaluation.paper.specs import At, Pattern, chosen, read_spec


class Ratios(Strict):
    """Which ratios of a run a claim speaks of."""

    at_least: int = Field(default=1, ge=1)
    at_most: int | None = Field(default=None, ge=1)
    at: At = Field(default_factory=list)
    """Ratios of the paper's comparison: a run that has any of them is judged at these alone."""

    def allows(self, ratio: int) -> bool:
        """Whether it speaks of this one."""
        return self.at_least <= ratio <= (self.at_most or ratio)


class Claim(Strict):
    """`first` minus `second` exceeds `margin`."""

    name: Annotated[str, matching(r"[a-z0-9_]+", "small letters, digits and underscores")]
    claim: Text
    place: Text
    """Where the paper makes it."""
    first: Pattern
    second: Pattern
    setting: Literal["normal", "oracle"]
    metric: Text
    margin: float = 0.0
    """Points of the metric; below zero where the claim is that little is lost."""
    ratios: Ratios = Ratios()
    values: Annotated[str, matching(r"table_\d+", "table_ and its number")] | None = None
    """The file of `paper/values` that holds both cells of the paper."""
    paper_first: Pattern | None = None
    """The name of the first cell there, where it is another: what the paper's base is and a run's need not be."""
    paper_second: Pattern | None = None
    """Of the second."""

    @model_validator(mode="after")
    def _differs(self) -> "Claim":
        if self.first == self.second:
            raise ValueError("should compare two different cells")
        return self

    @property
    def test(self) -> str:
        """The test in a line."""
        return f"{self.metric}, {self.setting}: {self.first} - {self.second} > {self.margin:g}"

    def pairs(self, ratios: Iterable[int]) -> list[tuple[str, str]]:
        """The two systems at each ratio that the claim speaks of; one pair where it names the ratio itself."""
        if "{ratio}" not in self.first + self.second:
            return [(self.first, self.second)]
        allowed = chosen([ratio for ratio in sorted(ratios) if self.ratios.allows(ratio)], self.ratios.at)
        return [(self.first.format(ratio=ratio), self.second.format(ratio=ratio)) for ratio in allowed]


class Claims(Strict):
    """The whole file."""

    claims: Distinct[Claim] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "Claims":
        names = [claim.name for claim in self.claims]
        twice = [name for number, name in enumerate(names) if name in names[:number]]
        if twice:
            raise ValueError(f"should give each claim its own name, found {twice[0]} twice")
        return self


def read_claims(path: Path) -> list[Claim]:
    """The claims of a file.

    Raises:
        ConfigError: the file is no list of claims; names every fault.
    """
    return read_spec(Claims, path).claims


def systems_of(claims: Iterable[Claim], ratios: Sequence[int], seeds: Sequence[int] = ()) -> list[str]:
    """The systems that the claims compare at these ratios, then the same under further seeds."""
    named = list(dict.fromkeys(name for claim in claims for pair in claim.pairs(ratios) for name in pair))
    return [*named, *(under_seed(name, seed) for seed in seeds for name in named if NAME.fullmatch(name))]
