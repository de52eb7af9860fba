"""Memory, time and GPUs of a step, estimated from the configuration (formulas: docs/cluster.md).

Light: no torch, no network. Upper bounds throughout: texts count as long as the settings let them be.
"""

import math
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from clara.config.locations import expand
from clara.errors import ConfigError
from clara.model_sizes import Model, model_of

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "int8": 1.1, "int4": 0.6}
PROMPT_TOKENS = 64
"""Of the frame around question and documents, the question included."""
CPU_BASE_MB, GPU_BASE_MB = 900, 4000
"""Python with torch and transformers; the same with CUDA's part in the host's memory."""
CPU_FLOPS, GPU_FLOPS = 1.1e11, 1.2e14
"""A second, reached in training: of one core (docs/experiments.md), and of one 80 GB card, supposed."""
SLACK = 1.25
"""Allocators keep more than tensors need."""
CONTEXT_MB = 700
"""Of a GPU, for a process's CUDA context and libraries: 0.66 GiB on an H200."""
RESERVED = 1.75
"""What a process that nothing stops holds of a GPU, by what it needs at most: torch's allocator keeps blocks that are
too small for the next, longer text. Up to 1.68 in a run of configs/small-gpu.yaml (docs/cluster.md)."""
SHOWN_WHOLE = 1.8
"""Tokens of a document shown as text, by `document_max_tokens`: nothing cuts those that benchmarks bring. The memory of
that run's tuning on five documents of text is that of 1.5 on average."""
SAMPLED_ROWS = 65536
"""Embeddings, of which the scale of memories is taken (`EMBEDDINGS_SAMPLED` of clara/model/backbone.py)."""
HOURS_ALONE = 24
"""A training that takes longer on one GPU gets more of them, as far as a node has them."""


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
    """Of its results and its saved state."""


MEASURED_MB = {
    "prepare_backbone": 2500, "synthesize": 3500, "pretrain": 2900, "tune_instructions": 2900,
    "compress_documents": 2000, "train_joint": 2900, "measure_memory_use": 2500, "predict": 2500,
    "predict_baseline": 2500, "predict_given": 2500, "predict_given_text": 2500, "predict_by_k": 2500,
    "rewrite_documents": 2500, "measure_efficiency": 2500, "measure_states": 2500,
}  # fmt: skip
"""Memory that the demo's jobs took on CPUs. One that the formula puts at most 5 % above gets it."""
LIKE = {
    "answer_as_teacher": "predict_baseline", "tune_text_rag": "tune_instructions",
    "predict_compressed_text": "predict_baseline", "predict_released": "compress_documents",
    "rank_neural": "predict_baseline", "no_retrieval": "predict_baseline", "hard_words": "predict_baseline",
}  # fmt: skip
"""Steps of baselines, and kinds of them (`kind_of`), that are taken for as large as another step."""
APART = {"tune_text_rag", "no_retrieval", "hard_words"}
"""Those of them that have an estimate of their own on GPUs, which jobs may share."""
LIGHT_MB = {
    "fetch_corpus": 500, "split_passages": 1500, "prepare_questions": 1500, "make_candidates": 1500,
    "collect_documents": 1500, "gather_pairs": 1500, "review_pairs": 1500, "rank_bm25": 1000, "score": 500,
    "build_report": 1000, "score_by_k": 500, "score_recovery": 1500, "measure_data": 1500, "aggregate_seeds": 500,
}  # fmt: skip
"""Steps without a model: what they took for the demo; large corpora are added."""
BENCHMARK_ROWS = {"nq": (79168, 8757), "hotpotqa": (90447, 7405), "musique": (19938, 2417), "2wiki": (167454, 12576)}
"""Format → training and test questions of the official files."""
SECTIONS = {
    "pretrain": "pretraining", "tune_instructions": "instruction", "tune_text_rag": "instruction",
    "train_joint": "joint",
}  # fmt: skip
"""Training → the part of the configuration that it reads."""
ROLES = 3
"""Adapters of a model."""
WRITING = {
    "synthesize", "predict", "predict_baseline", "predict_given", "predict_given_text", "predict_by_k",
    "rewrite_documents", "answer_as_teacher", "predict_compressed_text", "no_retrieval", "hard_words",
}  # fmt: skip
"""Steps that may write by vLLM."""
SHARE_OF_POOLS = 1 / 8
"""Distinct documents among the places in all pools; 455 of 4480 in the demo."""


class Pass(NamedTuple):
    """One forward pass over texts."""

    texts: float
    length: int
    """Tokens of each."""

    @property
    def tokens(self) -> float:
        """Of all texts."""
        return self.texts * self.length


class Sizes:
    """Estimates of every rule's jobs under one configuration.

    Args:
        variants: name → the whole configuration with the variant's overrides.
        site: what the profile says of the machines.
    """

    def __init__(self, variants: Mapping[str, dict[str, Any]], site: Site) -> None:
        self.variants, self.site = variants, site
        self.of = cache(self._of)

    def _of(self, rule: str, variant: str = "base", ratio: int | None = None) -> Size:
        """The size of a rule's job at its first attempt; at the largest memories where no ratio is given."""
        config = self.variants[variant]
        if rule not in APART or not self.site.node_gpus:
            rule = LIKE.get(rule, rule)
        if rule not in MEASURED_MB and rule not in LIKE:
            return Size(LIGHT_MB.get(rule, 1000) + _data_mb(rule, config), 20.0, 0, 0, 1.0)
        size = self._with_model(rule, config, ratio or min(config["ratios"]))
        if not size.gpus and size.mem_mb <= 1.05 * MEASURED_MB[rule]:
            size = size._replace(mem_mb=MEASURED_MB[rule])
        return size

    def memory(self, rule: str, variant: str, ratio: int | None, attempt: int) -> int:
        """Megabytes to ask for: more at each attempt."""
        return self.of(rule, variant, ratio).mem_mb * attempt

    def gpu_memory(self, rule: str, variant: str, ratio: int | None, attempt: int) -> int:
        """Megabytes of its GPUs together that a job fills beside others, more at each attempt; 0 without a GPU."""
        size, config = self.of(rule, variant, ratio), self.variants[variant]
        each = round(RESERVED * size.gpu_mem_mb)
        engine = (config["synthesis"] if rule == "synthesize" else config["evaluation"]["generation"])["engine"]
        if rule in WRITING and engine in ("auto", "vllm"):  # it fills a GPU
            each = max(each, 1000 * self.site.gpu_gb)
        return size.gpus * each * attempt

    def minutes(self, rule: str, variant: str, ratio: int | None, attempt: int) -> int:
        """Minutes to ask for: half as much again as expected, more at each attempt, at most a slot of the site."""
        wanted = 10 + 1.5 * attempt * self.of(rule, variant, ratio).seconds / 60
        return min(self.site.slot_minutes, max(30, round(wanted)))

    def most_gpus(self, rule: str) -> int:
        """The most GPUs that any of the rule's jobs asks for."""
        ratios = [(variant, ratio) for variant, config in self.variants.items() for ratio in config["ratios"]]
        return max(self.of(rule, variant, ratio).gpus for variant, ratio in ratios)

    def _with_model(self, rule: str, config: dict[str, Any], ratio: int) -> Size:
        if rule == "synthesize":
            return self._synthesis(config)
        model, b = model_of(config["backbone"]["source"]), BYTES[config["backbone"]["dtype"]]
        weights = model.parameters * b / 1e6
        if rule == "prepare_backbone":
            converted = (
                config["backbone"]["source"].startswith(("package:", "random:"))
                or ".gguf" in config["backbone"]["source"]
            )
            mem = CPU_BASE_MB + (8 * model.parameters / 1e6 if converted else 1100)
            return Size(round(mem), 60 + model.parameters / 1e7, 0, 0, 2 * weights)
        if rule in SECTIONS:
            return self._training(rule, config, ratio, model)
        passes, work, disk = _inference(rule, config, ratio, model, self._shown(config))
        scores = self.site.node_gpus > 0 and config["backbone"]["attention"] == "eager"
        peak, held = max(_forward_mb(model, one, b, scores) for one in passes), weights
        if self.site.node_gpus:  # two copies of the rows whose scale is taken, as long as no pass is
            peak = max(peak, 8 * min(model.vocabulary, SAMPLED_ROWS) * model.width / 1e6)
            held += ROLES * model.adapter(config["lora"]["rank"]) * 4 / 1e6
        if rule == "measure_efficiency":  # a second model, without adapters
            peak += weights
        return self._size(
            weights, held + SLACK * peak, 2 * model.parameters * work, 1 if self.site.node_gpus else 0, disk
        )

    def _training(self, rule: str, config: dict[str, Any], ratio: int, model: Model) -> Size:
        section, shown = config[SECTIONS[rule]], self._shown(config)
        plan, b = section["optimization"], BYTES[config["backbone"]["dtype"]]
        # Eager attention keeps weights in two precisions, our own on a CPU in one, the fused kernels of a GPU none.
        scores = 2 * (config["backbone"]["attention"] == "eager") if self.site.node_gpus else 1
        passes, memories, targets = _micro_batch(rule, config, section, ratio, shown)
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
        tokens = sum(p.tokens for p in _examples(rule, config, section, ratio, 1, shown))
        validations = 2 + plan["steps"] // plan["validate_every"]
        learn = plan["steps"] * plan["batch_size"] * tokens * (6 if plan["gradient_checkpointing"] else 4)
        work = model.parameters * (learn + 2 * validations * plan["validation_examples"] * tokens)
        disk = adapter * (3 * 4 + 2 * 2 * 12) / 1e6
        micro_batches = math.ceil(plan["batch_size"] * tokens / sum(p.tokens for p in passes))
        gpus = self._gpus(work / GPU_FLOPS / 3600, micro_batches)
        return self._size(weights, peak, work, gpus, disk)

    def _shown(self, config: dict[str, Any]) -> float:
        """Tokens of a document that is shown as text; on CPUs as one that is compressed, as was measured there."""
        document: int = config["memory"]["document_max_tokens"] + 2
        own = any(given["format"] != "supports" for given in config["benchmarks"].values())
        return document * (SHOWN_WHOLE if own and self.site.node_gpus else 1)

    def _gpus(self, hours: float, micro_batches: int) -> int:
        """The fewest, a power of two, that end a training in a day; at most a node, or a step's micro-batches."""
        most, count = min(self.site.node_gpus, max(1, micro_batches)), 1
        while hours / count > HOURS_ALONE and 2 * count <= most:
            count *= 2
        return count if self.site.node_gpus else 0

    def _synthesis(self, config: dict[str, Any]) -> Size:
        given = config["synthesis"]
        if given["published"] or given["engine"] == "openai":
            return Size(2000, 600.0, 0, 0, 100.0)
        model = model_of(given["model"] or config["backbone"]["source"])
        weights = model.parameters * BYTES[given["dtype"]] / 1e6
        passages = given["num_passages"] or 1_000_000
        asked = sum(min(passages, given["num_passages_for"].get(kind, passages)) for kind in given["kinds"])
        rounds = (1 + given["max_rounds"]) / 2  # until the pairs pass, at most so many
        requests = asked * rounds * (2 if "model" in given["question_sources"] else 0.3)
        work = 2 * model.parameters * requests * (600 + given["max_new_tokens"] / 2) / given["shards"]
        gpus = min(given["tensor_parallel"], self.site.node_gpus)
        size = self._size(weights, weights / max(1, gpus), work, gpus, 2e-3 * asked)
        # vLLM fills a GPU with its cache; on a CPU cache and engine take three times the weights.
        return size._replace(
            gpu_mem_mb=round(1.1 * weights / gpus) if gpus else 0,
            mem_mb=size.mem_mb + (0 if gpus else round(3 * weights)),
        )

    def _size(self, weights: float, peak: float, work: float, gpus: int, disk: float) -> Size:
        """From the model's and the whole job's memory in megabytes and the job's floating-point operations."""
        if gpus:
            seconds = 120 + work / GPU_FLOPS / gpus
            return Size(round(GPU_BASE_MB + 1.3 * weights), seconds, gpus, round(CONTEXT_MB + peak), disk)
        return Size(round(CPU_BASE_MB + peak), 20 + work / CPU_FLOPS, 0, 0, disk)


def _memory(config: dict[str, Any], ratio: int) -> int:
    return max(1, int(config["memory"]["document_max_tokens"]) // ratio)


def _examples(
    rule: str, config: dict[str, Any], section: dict[str, Any], ratio: int, n: float, shown: float
) -> list[Pass]:
    """The passes over `n` examples as long as they can be; `shown`: tokens of a document as text."""
    m, document = _memory(config, ratio), config["memory"]["document_max_tokens"] + 2
    k, answer = section.get("top_k", 1), PROMPT_TOKENS + section["max_target_tokens"]
    if rule == "tune_text_rag":
        return [Pass(n, round(k * shown) + answer)]
    generator = Pass(n, k * m + answer)
    return [Pass(n, PROMPT_TOKENS + m) if rule == "train_joint" else Pass(n * k, document + m), generator]


def _micro_batch(
    rule: str, config: dict[str, Any], section: dict[str, Any], ratio: int, shown: float
) -> tuple[list[Pass], float, float]:
    """The passes of the largest micro-batch, the stored memory vectors that it reads, and its target tokens."""
    plan, target = section["optimization"], section["max_target_tokens"]
    n: float = plan["micro_batch_size"]
    most, targets = n, n * target
    if plan["micro_batch_tokens"] is not None:
        n = min(n, plan["batch_size"])
        one = sum(p.tokens for p in _examples(rule, config, section, ratio, 1, shown))
        held = min(max(plan["micro_batch_tokens"], one), n * one)
        # Short documents and questions leave room for more examples, whose targets can still be long.
        slots = 0 if rule == "tune_text_rag" else section.get("top_k", 1) * _memory(config, ratio)
        frame = slots + (_memory(config, ratio) if rule == "train_joint" else slots)
        most, targets = min(n, held / max(1, frame)), min(n, held / (frame + target)) * target
        n = held / one
    pools = config["candidates"]["train_size"] or config["candidates"]["size"]
    memories = most * pools * _memory(config, ratio) if rule == "train_joint" else 0
    return _examples(rule, config, section, ratio, n, shown), memories, targets


def _inference(
    rule: str, config: dict[str, Any], ratio: int, model: Model, shown: float
) -> tuple[list[Pass], float, float]:
    """Largest passes, tokens in all, and megabytes of results of a step that learns nothing; `shown` as above."""
    m, document = _memory(config, ratio), config["memory"]["document_max_tokens"] + 2
    given, questions = config["evaluation"], _questions(config)
    if rule == "compress_documents":
        pools = config["candidates"]
        places = (pools["train_size"] or pools["size"]) * questions[0] + pools["size"] * questions[1]
        documents = SHARE_OF_POOLS * places
        tokens, length = config["compression"]["batch_tokens"], document + m
        stored = documents * m * model.width * BYTES[config["compression"]["dtype"]] / 1e6
        return [Pass(max(1, tokens // length), length)], documents * length, stored
    if rule == "measure_memory_use":
        text = given["top_k"] * document + PROMPT_TOKENS + config["joint"]["max_target_tokens"]
        return [Pass(4, text)], 1500.0 * given["memory_use_examples"], 1.0
    asked = config["measurements"]
    if rule == "measure_states":
        states = asked["states"]["documents"]
        return [Pass(max(1, 4096 // (document + m)), document + m)], states * (document + m), 1.0
    if rule == "rewrite_documents":
        length, texts = m + PROMPT_TOKENS + asked["recovery"]["max_new_tokens"], 2 * asked["recovery"]["documents"]
        return [Pass(min(given["generation"]["batch_size"], texts), length)], texts * (length + document), 1.0
    if rule == "measure_efficiency":
        length = round(given["top_k"] * shown) + PROMPT_TOKENS + asked["efficiency"]["new_tokens"]
        work = asked["efficiency"]["questions"] * (2 * length + config["candidates"]["size"] * document)
        return [Pass(1, length)], work, 1.0
    k, generation = given["top_k"], given["generation"]
    as_text = rule in ("predict_baseline", "predict_given_text", "hard_words", "no_retrieval")
    shown *= {"hard_words": 1 / ratio, "no_retrieval": 0}.get(rule, 1)
    answers = 1
    if rule == "predict_by_k":
        k, answers = max(asked["by_k"]), len(asked["by_k"])
    length = round(k * (shown if as_text else m)) + PROMPT_TOKENS + generation["max_new_tokens"]
    pools = answers * len(config["candidates"]["settings"])
    return [Pass(generation["batch_size"], length)], pools * questions[1] * length, 2e-3 * pools * questions[1]


def _forward_mb(model: Model, one: Pass, b: float, eager: bool) -> float:
    """Of a pass that keeps nothing but its cache: six vectors of the width and three of the inner width a token."""
    cache_ = 2 * model.layers * model.kv_width * b
    scores = 4 * model.heads * one.length * eager
    return (
        one.tokens * (cache_ + (6 * model.width + 3 * model.inner) * b + scores) + one.texts * model.vocabulary * 8
    ) / 1e6


def _questions(config: dict[str, Any]) -> tuple[int, int]:
    """Training and test questions of all benchmarks: counted where the file is small, else as in the official files."""
    train = test = 0
    for given in config["benchmarks"].values():
        rows = BENCHMARK_ROWS.get(given["format"], (20000, 5000))
        lines = [_lines(given[key]) for key in ("train", "test")]
        tested = lines[1] if lines[1] is not None else rows[1]
        kept = min(tested, given["num_test"] or tested)
        learned = lines[0] if lines[0] is not None else (rows[0] if given["train"] else tested - kept)
        train, test = train + min(learned, given["num_train"] or learned), test + kept
    return train, test


@cache
def _lines(path: str | None) -> int | None:
    try:
        place = Path(expand(path)) if path else None
        small = place and place.suffix == ".jsonl" and place.stat().st_size < 1e7
        return place.read_bytes().count(b"\n") if place and small else None
    except (OSError, ConfigError):
        return None


def _data_mb(rule: str, config: dict[str, Any]) -> int:
    """What a large corpus adds to a step without a model: rows as Python objects, three times the text."""
    try:
        size = os.path.getsize(expand(config["corpus"]["source"]["location"])) / 1e6
    except (OSError, ConfigError):
        size = 0.0
    if rule in ("make_candidates", "prepare_questions", "split_passages", "collect_documents"):
        return round(3 * max(0.0, size - 100))
    if rule in ("gather_pairs", "review_pairs"):
        return round(0.006 * max(0, (config["synthesis"]["num_passages"] or 0) - 10_000))
    return 0


def variant_and_ratio(wildcards: Mapping[str, str]) -> tuple[str, int | None]:
    """Of a job whose path has them one by one, or in the name of a checkpoint; base and null elsewhere."""
    found = re.search(r"cr(\d+)-(\w+)$", wildcards.get("name", ""))
    ratio, variant = found.groups() if found else (wildcards.get("ratio"), "base")
    return wildcards.get("variant", variant), int(ratio) if ratio else None


def kind_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """The rule, or the kind of its jobs that shows less text than the others."""
    named = wildcards.get("baseline") or wildcards.get("method") or ""
    return named if named in ("no_retrieval", "hard_words") else rule


def job_size(sizes: Sizes, rule: str, wildcards: Mapping[str, str]) -> Size:
    """The estimate for a job of the workflow."""
    variant, ratio = variant_and_ratio(wildcards)
    return sizes.of(kind_of(rule, wildcards), variant, ratio)


def require_gpus(wanted: Mapping[str, int], limit: int | None) -> None:
    """Refuses a limit of GPUs below what a rule's job asks for: Snakemake would cut the request without a word.

    Args:
        wanted: rule → GPUs of a job.
        limit: of all jobs together (`--resources gpu=`); null where there is none.

    Raises:
        ConfigError: names the rules.
    """
    cut = [f"{rule} ({count})" for rule, count in wanted.items() if limit is not None and count > limit]
    if cut:
        raise ConfigError(
            f"--resources gpu={limit} would cut the GPUs of {', '.join(cut)}; raise it, or ask for less: "
            f"--set-resources RULE:gpu={limit}, or node_gpus={limit} under default-resources of the profile"
        )
