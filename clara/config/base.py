"""The settings' base class, and the mark that says where in `config.yaml` a rule's section lies."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Frozen settings that refuse unknown keys and values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class At(NamedTuple):
    """Annotation of a rule's field: the dotted path of its section in `config.yaml`, if not the field's own name."""

    path: str
