"""The whole configuration: types, loading, and refusals that name path, value and what was expected."""

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from clara.config.base import Strict
from clara.config.corpus import Benchmark, Candidates, Corpus
from clara.config.evaluation import Evaluation, Report
from clara.config.model import Backbone, Lora, Memory
from clara.config.reading import parse
from clara.config.synthesis import Synthesis
from clara.config.training import Compression, Instruction, Joint, Pretraining
from clara.errors import ConfigError

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
"""Names that become parts of paths: runs, benchmarks, variants."""

VARYING = ("memory", "lora", "pretraining", "instruction", "compression", "joint", "evaluation")
"""Sections that a variant may override."""


class Config(Strict):
    """`config.yaml`, complete. The file holds the defaults; this class has none."""

    run: str
    """Name of the folder under `results/`."""
    seed: int = Field(ge=0)
    """Seed of every random choice."""
    ratios: list[int] = Field(min_length=1)
    """Nominal compression ratios: document_max_tokens // ratio memory vectors a document."""
    inits: list[Literal["pretraining", "instruction"]] = Field(min_length=1)
    """Checkpoints that joint training starts from."""
    variants: dict[str, dict[str, Any]]
    """Named overrides of the stages' settings; `base` has none."""
    backbone: Backbone
    memory: Memory
    lora: Lora
    corpus: Corpus
    benchmarks: dict[str, Benchmark] = Field(min_length=1)
    candidates: Candidates
    synthesis: Synthesis
    pretraining: Pretraining
    instruction: Instruction
    compression: Compression
    joint: Joint
    evaluation: Evaluation
    report: Report


def merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`base` with `overrides` laid over it, mapping by mapping; neither is changed."""
    merged = dict(base)
    for key, value in overrides.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def load(path: Path) -> dict[str, Any]:
    """The YAML mapping in `path`, unchecked.

    Raises:
        ConfigError: the file is missing, not UTF-8, not YAML or no mapping; a key stands twice; a number is ambiguous.
    """
    try:
        value = parse(Path(path).read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, found {type(value).__name__}")
    return value


def validate(values: dict[str, Any]) -> Config:
    """The typed configuration; every variant is merged and checked as well.

    Raises:
        ConfigError: names each bad key's path, its value and what was expected, all faults together.
    """
    faults: list[str] = []
    config = _checked(Config, values, "", faults)
    if config is not None:
        faults += _cross_checks(config)
        for name, overrides in config.variants.items():
            _checked(Config, merge(values, overrides), f"variants.{name}: ", faults)
    if faults or config is None:
        raise ConfigError("the configuration is not usable: " + "; ".join(faults))
    return config


def _checked(model: type[Config], values: dict[str, Any], prefix: str, faults: list[str]) -> Config | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        for fault in error.errors():
            faults.append(prefix + _sentence(fault))
        return None


def _sentence(fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{path} is no known key; remove it or see config.yaml for the known ones"
    if fault["type"] == "missing":
        return f"{path} is missing; config.yaml shows its default"
    hint = ""
    value = fault["input"]
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        hint = f" (YAML 1.1 reads {value} as text; write {float(value)!r} or {value.replace('e', '.0e')})"
    if isinstance(value, bool):
        hint = " (YAML 1.1 reads on, off, yes and no as true or false; put the word in quotes)"
    return f"{path} = {value!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}{hint}"


def _cross_checks(config: Config) -> list[str]:
    faults = []
    for name in [config.run, *config.benchmarks, *config.variants]:
        if not SAFE_NAME.fullmatch(name):
            faults.append(f"the name {name!r} must be letters, digits and underscores, because it becomes a folder")
    for name, overrides in config.variants.items():
        for section in sorted(overrides.keys() - set(VARYING)):
            faults.append(
                f"variants.{name}.{section}: only {', '.join(VARYING)} vary; what comes before them is shared, so put "
                "another value into a configuration of its own with another `run`"
            )
    if "base" not in config.variants or config.variants["base"]:
        faults.append("variants.base must exist and be empty ({}); put overrides under another name")
    for ratio in config.ratios:
        if not 1 <= ratio <= config.memory.document_max_tokens:
            faults.append(
                f"ratios: {ratio} must lie between 1 and memory.document_max_tokens "
                f"= {config.memory.document_max_tokens}"
            )
    for stage in (config.pretraining, config.instruction, config.joint):
        plan = stage.optimization
        if plan.batch_size % plan.micro_batch_size:
            name = type(stage).__name__.lower()
            faults.append(
                f"{name}.optimization.batch_size = {plan.batch_size} must be a multiple of micro_batch_size "
                f"= {plan.micro_batch_size}"
            )
    if config.evaluation.top_k > config.candidates.size:
        faults.append(
            f"evaluation.top_k = {config.evaluation.top_k} exceeds candidates.size = {config.candidates.size}"
        )
    return faults
