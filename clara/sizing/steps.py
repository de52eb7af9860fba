"""What one job of a step with a model takes: memory, operations, disk (formulas: docs/cluster.md).

Light: no torch, no network. Upper bounds throughout: texts count as long as the settings let them be.
"""

import math
from typing import Any, NamedTuple

from clara.errors import ConfigError
from clara.model_sizes import Model, model_of
from clara.sizing.data import ROWS_A_PASSAGE, held_mb, num_passages, synthesis_mb
from clara.sizing.passes import BYTES, Pass, examples, examples_disk_mb, inference, micro_batch, tokens_shown

CPU_BASE_MB, GPU_BASE_MB = 900, 4000
"""Python with torch and transformers; the same with CUDA's part in the host's memory."""
CPU_FLOPS, GPU_FLOPS = 1.1e11, 1.2e14
"""A second, reached in training: of one core (docs/experiments.md), and of one 80 GB card, supposed."""
SLACK = 1.25
"""Allocators keep more than tensors need."""
CONTEXT_MB = 700
"""Of a GPU, for a process's CUDA context and libraries: 0.66 GiB on an H200."""
SAMPLED_ROWS = 65536
"""Embeddings, of which the scale of memories is taken (`EMBEDDINGS_SAMPLED` of clara/model/backbone.py)."""
HOURS_ALONE = 24
"""A training that takes longer on one GPU gets more of them, as far as a node has them."""
SECTIONS = {
    "pretrain": "pretraining", "tune_instructions": "instruction", "tune_text_rag": "instruction",
    "train_joint": "joint",
}  # fmt: skip
"""Training → the part of the configuration that it reads."""
FOLDING = {
    "predict", "predict_given", "predict_by_k", "predict_baseline", "rewrite_documents", "measure_efficiency",
}  # fmt: skip
"""Steps that fold an adapter into the linear weights, whose originals wait in the host's memory, with a GPU too; of the
baselines the tuned one does."""
SECONDS_A_PUBLISHED_ROW = 4e-5
"""Twice, of a row that is taken over: 54 µs were measured with one shard."""
ROLES = 3
"""Adapters of a model."""


class Site(NamedTuple):
    """What a profile says of its machines, under default-resources."""

    node_gpus: int = 0
    """GPUs that one job may have; 0: everything runs on CPUs."""
    gpu_gb: int = 80
    """Memory of one GPU."""
    slot_minutes: int = 720
    """Longest time of one job; trainings go on in the next."""


class Size(NamedTuple):
    """What a job is expected to take."""

    mem_mb: int
    seconds: float
    """On the GPUs below, or on one core."""
    gpus: int
    gpu_mem_mb: int
    """Of each GPU, at the least; a job beside others asks for more (`Sizes.gpu_memory`)."""
    disk_mb: float
    """Of its results, its saved state and a training's examples."""


def with_model(rule: str, config: dict[str, Any], ratio: int, site: Site) -> Size:
    """The size of a job of a rule that loads a model.

    Args:
        config: the whole configuration, with the overrides of the job's variant.
        ratio: of the compression; steps without memories take any.
        site: what the profile says of the machines.
    """
    if rule == "synthesize":
        return _synthesis(config, site)
    model, b = model_of(config["backbone"]["source"]), BYTES[config["backbone"]["dtype"]]
    weights = model.parameters * b / 1e6
    if rule == "prepare_backbone":
        converted = (
            config["backbone"]["source"].startswith(("package:", "random:")) or ".gguf" in config["backbone"]["source"]
        )
        mem = CPU_BASE_MB + (8 * model.parameters / 1e6 if converted else 1100)
        return Size(round(mem), 60 + model.parameters / 1e7, 0, 0, 2 * weights)
    if rule in SECTIONS:
        return _training(rule, config, ratio, model, site)
    passes, work, disk = inference(rule, config, ratio, model, tokens_shown(config, site.node_gpus > 0))
    scores = site.node_gpus > 0 and config["backbone"]["attention"] == "eager"
    peak, held = max(_forward_mb(model, one, b, scores) for one in passes), weights
    if site.node_gpus:  # two copies of the rows whose scale is taken, as long as no pass is
        peak = max(peak, 8 * min(model.vocabulary, SAMPLED_ROWS) * model.width / 1e6)
        held += ROLES * model.adapter(config["lora"]["rank"]) * 4 / 1e6
    if rule == "measure_efficiency":  # a second model, without adapters
        peak += weights
    beside = held_mb(config) if rule == "rewrite_documents" else 0.0
    beside += model.linear * b / 1e6 if rule in FOLDING else 0.0
    gpus = 1 if site.node_gpus else 0
    return _size(weights, held + SLACK * peak, 2 * model.parameters * work, gpus, disk, beside=beside)


def _training(rule: str, config: dict[str, Any], ratio: int, model: Model, site: Site) -> Size:
    section, shown = config[SECTIONS[rule]], tokens_shown(config, site.node_gpus > 0)
    plan, b = section["optimization"], BYTES[config["backbone"]["dtype"]]
    # Eager attention keeps weights in two precisions, our own on a CPU in one, the fused kernels of a GPU none.
    scores = 2 * (config["backbone"]["attention"] == "eager") if site.node_gpus else 1
    passes, memories, targets = micro_batch(rule, config, section, ratio, shown)
    per_layer = [p.tokens * (10 * model.width + 4 * model.inner + scores * model.heads * p.length) for p in passes]
    if plan["gradient_checkpointing"]:
        kept = model.layers * model.width * sum(p.tokens for p in passes) + max(per_layer)
    else:
        kept = model.layers * sum(per_layer)
    logits = targets * model.vocabulary * (8 + b)
    adapter = model.adapter(config["lora"]["rank"])
    trained = adapter * (2 * 16 + 3 * 4) / 1e6
    weights = model.parameters * b / 1e6
    peak = weights + trained + SLACK * (kept * b + logits + 4 * memories * model.width) / 1e6
    tokens = sum(p.tokens for p in examples(rule, config, section, ratio, 1, shown))
    validations = 2 + plan["steps"] // plan["validate_every"]
    learn = plan["steps"] * plan["batch_size"] * tokens * (6 if plan["gradient_checkpointing"] else 4)
    work = model.parameters * (learn + 2 * validations * plan["validation_examples"] * tokens)
    disk = adapter * (3 * 4 + 2 * 2 * 12) / 1e6 + examples_disk_mb(rule, config, section, ratio, shown)
    micro_batches = math.ceil(plan["batch_size"] * tokens / sum(p.tokens for p in passes))
    gpus = _gpus(work / GPU_FLOPS / 3600, micro_batches, site)
    beside = held_mb(config) if rule == "pretrain" else 0.0
    return _size(weights, peak, work, gpus, disk, processes=gpus, beside=beside)


def _gpus(hours: float, micro_batches: int, site: Site) -> int:
    """The fewest, a power of two, that end a training in a day; at most a node, or a step's micro-batches."""
    most, count = min(site.node_gpus, max(1, micro_batches)), 1
    while hours / count > HOURS_ALONE and 2 * count <= most:
        count *= 2
    return count if site.node_gpus else 0


def _synthesis(config: dict[str, Any], site: Site) -> Size:
    given = config["synthesis"]
    if given["published"]:  # every shard goes through the file twice
        rows = num_passages(config) * sum(ROWS_A_PASSAGE.values())
        seconds = 60 + rows * SECONDS_A_PUBLISHED_ROW * (1 + 1 / given["shards"])
        return Size(2000 + round(synthesis_mb(config)), seconds, 0, 0, 100.0)
    if given["engine"] == "openai":
        return Size(2000 + round(synthesis_mb(config)), 600.0, 0, 0, 100.0)
    model = model_of(given["model"] or config["backbone"]["source"])
    weights = model.parameters * BYTES[given["dtype"]] / 1e6
    passages = given["num_passages"] or 1_000_000
    asked = sum(min(passages, given["num_passages_for"].get(kind, passages)) for kind in given["kinds"])
    rounds = (1 + given["max_rounds"]) / 2  # until the pairs pass, at most so many
    requests = asked * rounds * (2 if "model" in given["question_sources"] else 0.3)
    work = 2 * model.parameters * requests * (600 + given["max_new_tokens"] / 2) / given["shards"]
    if 0 < site.node_gpus < given["tensor_parallel"]:
        raise ConfigError(
            f"synthesis.tensor_parallel is {given['tensor_parallel']}, but a job may have {site.node_gpus} GPUs "
            "(node_gpus under default-resources of the profile); raise that, or lower this"
        )
    gpus = min(given["tensor_parallel"], site.node_gpus)
    disk = 2e-3 * asked / given["shards"]
    size = _size(weights, weights / max(1, gpus), work, gpus, disk, beside=synthesis_mb(config))
    # vLLM fills a GPU with its cache; on a CPU cache and engine take three times the weights.
    return size._replace(
        gpu_mem_mb=round(1.1 * weights / gpus) if gpus else 0,
        mem_mb=size.mem_mb + (0 if gpus else round(3 * weights)),
    )


def _size(
    weights: float, peak: float, work: float, gpus: int, disk: float, *, processes: int = 1, beside: float = 0.0
) -> Size:
    """From the model's and the whole job's memory in megabytes and the job's floating-point operations.

    Args:
        weights: of the model; each process of a training has them in the host's memory before its GPU has them.
        peak: of a GPU, or of a job without one.
        work: operations.
        gpus: of the job.
        disk: megabytes written.
        processes: of the job, on GPUs.
        beside: megabytes that each of them holds in the host's memory besides: of the data, of weights put aside.
    """
    if gpus:
        host = processes * (GPU_BASE_MB + 1.3 * weights + beside)
        return Size(round(host), 120 + work / GPU_FLOPS / gpus, gpus, round(CONTEXT_MB + peak), disk)
    return Size(round(CPU_BASE_MB + peak + beside), 20 + work / CPU_FLOPS, 0, 0, disk)


def _forward_mb(model: Model, one: Pass, b: float, eager: bool) -> float:
    """Of a pass that keeps nothing but its cache: six vectors of the width and three of the inner width a token."""
    cache_ = 2 * model.layers * model.kv_width * b
    scores = 4 * model.heads * one.length * eager
    return (
        one.tokens * (cache_ + (6 * model.width + 3 * model.inner) * b + scores) + one.texts * model.vocabulary * 8
    ) / 1e6
