"""What no single setting can know: faults between settings, and the sentences in which faults are told."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from clara.config.base import under_seed

if TYPE_CHECKING:
    from clara.config import Config

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
"""Names that become parts of paths: runs, benchmarks, variants."""

VARYING = ("memory", "lora", "pretraining", "instruction", "compression", "joint", "evaluation", "seed")
"""What a variant may override; its seed is that of training and scoring: corpus, pools and synthesis are shared."""

EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def sentence(fault: Any) -> str:
    """What is wrong with one key: its path, its value and what was expected."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{path} is no known key; remove it or see config.yaml for the known ones"
    if fault["type"] == "missing":
        return f"{path} is missing; config.yaml shows its default"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{path} = {fault['input']!r}: {message[0].lower()}{message[1:]}{_hint(fault['type'], fault['input'])}"


def _hint(kind: str, value: Any) -> str:
    """What YAML 1.1 made of a value that was meant otherwise, and how to write it."""
    if isinstance(value, bool):
        return " (YAML 1.1 reads on, off, yes and no as true or false; put the word in quotes)"
    is_text = isinstance(value, str) and EXPONENT.fullmatch(value) is not None
    if not is_text and not (kind.startswith("int_") and isinstance(value, float)):
        return ""
    number = float(value)
    if kind.startswith("int_") or not math.isfinite(number):
        return f" (write {int(number)})" if number.is_integer() else ""
    written = yaml.safe_dump(number).split("\n")[0]
    return f" (YAML 1.1 reads {value} as text, because a number has a point and its exponent a sign; write {written})"


def unmade_kinds(values: Mapping[str, Any]) -> list[str]:
    """The kinds of rows that pretraining by these settings would learn from and synthesis does not make."""
    pretraining = values["pretraining"]
    kinds = pretraining["kinds"] if pretraining["optimization"]["steps"] else []
    return [kind for kind in kinds if kind not in values["synthesis"]["kinds"]]


def names(config: "Config") -> Iterator[str]:
    """Faults of the names, which become folders, of what variants override, and of what base learns from."""
    for name in [config.run, *config.benchmarks, *config.variants, *config.evaluation.released]:
        if not SAFE_NAME.fullmatch(name):
            yield f"the name {name!r} must be letters, digits and underscores, because it becomes a folder"
    for name, overrides in config.variants.items():
        for section in sorted(overrides.keys() & set(type(config).model_fields) - set(VARYING)):
            yield (
                f"variants.{name}.{section}: only {', '.join(VARYING)} vary; what comes before them is shared, so put "
                "another value into a configuration of its own with another `run`"
            )
    for name in config.variants:
        for seed in config.seeds:
            if under_seed(name, seed) in config.variants:
                yield f"variants.{under_seed(name, seed)}: seeds makes this variant; name yours otherwise"
    for measured, of in config.measurements.of.items():
        if unknown := sorted({*(of.variants or [])} - {*config.variants}):
            known = ", ".join(config.variants)
            yield f"measurements.of.{measured}.variants = {unknown[0]!r}: should be one of the variants, {known}"
    if config.seed in config.seeds:
        yield f"seeds = {config.seeds}: should not name seed = {config.seed}, under which everything is run anyway"
    if unmade_kinds(config.model_dump()):
        yield (
            f"pretraining.kinds = {config.pretraining.kinds}: should be among synthesis.kinds = "
            f"{config.synthesis.kinds}, or nothing is there to learn from"
        )
    if "base" not in config.variants or config.variants["base"]:
        yield "variants.base must exist and be empty ({}); put overrides under another name"


def between(config: "Config") -> Iterator[str]:
    """Faults between the settings of one variant."""
    limit = config.memory.document_max_tokens
    for ratio in config.ratios:
        if not 1 <= ratio <= limit:
            yield f"ratios = {ratio}: should lie between 1 and memory.document_max_tokens = {limit}"
    for stage in ("pretraining", "instruction", "joint"):
        plan = getattr(config, stage).optimization
        if config.backbone.dtype == "float16" and plan.steps:
            yield (
                f"backbone.dtype = 'float16': should be bfloat16 or float32 to train ({stage}.optimization.steps = "
                f"{plan.steps}), since the loss is not scaled and small gradients become 0"
            )
        if plan.micro_batch_tokens is None and plan.batch_size % plan.micro_batch_size:
            yield (
                f"{stage}.optimization.batch_size = {plan.batch_size}: should be a multiple of micro_batch_size "
                f"= {plan.micro_batch_size}, or set micro_batch_tokens"
            )
        if plan.gradient_checkpointing and config.backbone.compile:
            yield (
                f"backbone.compile and {stage}.optimization.gradient_checkpointing are both true: a compiled body "
                "cannot take up the adapter that a layer is recomputed with; set one of them to false"
            )
    for stage in ("instruction", "joint", "evaluation"):
        top_k = getattr(config, stage).top_k
        name = "size" if stage == "evaluation" or config.candidates.train_size is None else "train_size"
        if top_k > getattr(config.candidates, name):
            yield f"{stage}.top_k = {top_k}: should not exceed candidates.{name} = {getattr(config.candidates, name)}"
    if config.joint.candidates is not None and config.joint.candidates < config.joint.top_k:
        yield f"joint.candidates = {config.joint.candidates}: should be at least joint.top_k = {config.joint.top_k}"
    asked = config.measurements
    if "by_k" in asked.which and max(asked.by_k) > config.candidates.size:
        yield f"measurements.by_k = {asked.by_k}: should not exceed candidates.size = {config.candidates.size}"
    for name in {"dense", "cross_encoder", "llmlingua2"} & set(config.evaluation.baselines):
        if getattr(config.evaluation, name).source is None:
            yield (
                f"evaluation.baselines names {name}, but evaluation.{name}.source = None: should name a folder, "
                "a package's or a Hub model"
            )
    if config.synthesis.engine == "openai" and config.synthesis.base_url is None:
        yield "synthesis.base_url = None: should be the server's address for engine openai: http://localhost:8000/v1"


def once_a_variable(faults: Sequence[str]) -> list[str]:
    """Of the faults that lack the same environment variable, the first, which says how many more settings need it."""
    lacking = [re.search(r"needs the environment variable (\w+)", fault) for fault in faults]
    names = [found[1] if found else None for found in lacking]
    kept = []
    for place, (name, fault) in enumerate(zip(names, faults, strict=True)):
        if name is None:
            kept.append(fault)
        elif name not in names[:place]:
            more = names.count(name) - 1
            kept.append(
                fault + (f" ({more} more setting{'s' * (more > 1)} need{'s' * (more == 1)} it)" if more else "")
            )
    return kept
