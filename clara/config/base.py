"""The settings' base class, the types that several sections share, and the mark of a rule's section."""

import re
from typing import Annotated, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from clara.config.locations import expand
from clara.errors import ConfigError

Item = TypeVar("Item")


class Strict(BaseModel):
    """Frozen settings that refuse unknown keys, values of another type, and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class At(NamedTuple):
    """Annotation of a rule's field: where in `config.yaml` it stands, if not under the field's own name."""

    path: str
    """Dotted; a name in braces is a wildcard of the rule."""
    wildcard: str = ""
    """Only some jobs read it, those with this wildcard ..."""
    among: tuple[str, ...] = ()
    """... among these values; for all others the field is null."""


ASIDE = Field(exclude=True)
"""Mark of a setting that decides nothing of a result: a program gets it by `--aside`, which reruns nothing, and records
leave it out."""


def _each_once(values: list[Item]) -> list[Item]:
    twice = [value for number, value in enumerate(values) if value in values[:number]]
    if twice:
        raise ValueError(f"should name {twice[0]} once")
    return values


def _can_be_expanded(location: str) -> str:
    try:
        expand(location)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return location


def matching(pattern: str, expected: str) -> AfterValidator:
    """A check that a text is of a form, told in words: `should be {expected}`."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"should be {expected}")
        return value

    return AfterValidator(check)


Distinct = Annotated[list[Item], AfterValidator(_each_once)]
"""A list that holds nothing twice."""

Text = Annotated[str, Field(min_length=1)]
"""A text that is not empty."""

Location = Annotated[Text, AfterValidator(_can_be_expanded)]
"""Where something lies; `$NAME`, `${NAME}` and `~` are expanded where it is read: the settings stay the same."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""What NumPy takes for a seed."""


def under_seed(name: str, seed: int) -> str:
    """What a variant, or a system made from it, is called under a further seed."""
    return f"{name}_seed{seed}"
