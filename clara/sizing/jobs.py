"""What a job of the workflow asks for: memory, time and GPUs, more at each attempt (docs/cluster.md).

Light: no torch, no network.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from clara import machine
from clara.config import merge
from clara.errors import ConfigError
from clara.model_sizes import base_of_released
from clara.sizing.data import data_mb
from clara.sizing.steps import Site, Size, with_model
from clara.sizing.times import data_seconds

RESERVED = 1.75
"""What a process that nothing stops holds of a GPU, by what it needs at most: torch's allocator keeps blocks that are
too small for the next, longer text. Up to 1.68 in a run of configs/small-gpu.yaml (docs/cluster.md)."""
MEASURED_MB = {
    "prepare_backbone": 2500, "synthesize": 3500, "pretrain": 2900, "tune_instructions": 2900,
    "compress_documents": 2000, "train_joint": 2900, "measure_memory_use": 2500, "predict": 2500,
    "predict_baseline": 2500, "predict_given": 2500, "predict_given_text": 2500, "predict_by_k": 2500,
    "rewrite_documents": 2500, "measure_efficiency": 2500, "measure_states": 2500,
}  # fmt: skip
"""Memory that the demo's jobs took on CPUs. One that the formula puts at most 5 % above gets it."""
WIDENED = 1.8
"""Times the estimate that bounds a job on a CPU which computes in float32 for want of instructions: of the demo's jobs
on an AMD EPYC with AVX2 the largest, pretraining at ratio 4, took 701 s, 404 being expected (docs/experiments.md)."""
LIKE = {
    "answer_as_teacher": "predict_baseline", "tune_text_rag": "tune_instructions",
    "predict_compressed_text": "predict_baseline", "predict_given_compressed_text": "predict_baseline",
    "rank_neural": "predict_baseline",
    "measure_bert_score": "predict_baseline", "no_retrieval": "predict_baseline", "hard_words": "predict_baseline",
}  # fmt: skip
"""Steps of baselines, and kinds of them (`kind_of`), that are taken for as large as another step."""
APART = {"tune_text_rag", "no_retrieval", "hard_words"}
"""Those of them that have an estimate of their own on GPUs, which jobs may share."""
LIGHT_MB = {
    "fetch_corpus": 500, "split_passages": 1500, "prepare_questions": 1500, "make_candidates": 1500,
    "collect_documents": 1500, "gather_pairs": 1500, "export_pairs": 1500, "review_pairs": 1500, "rank_bm25": 1000,
    "score": 500, "build_report": 1000, "score_by_k": 500, "score_recovery": 1500, "measure_data": 1500,
    "aggregate_seeds": 500,
}  # fmt: skip
"""Steps without a model: what they took for the demo; large corpora are added."""
RELEASED = "predict_released"
WRITING = {
    "synthesize", "predict", "predict_baseline", "predict_given", "predict_given_text", "predict_by_k",
    "rewrite_documents", "answer_as_teacher", "predict_compressed_text", "predict_given_compressed_text",
    "no_retrieval", "hard_words",
}  # fmt: skip
"""Steps that may write by vLLM."""


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
        if rule.startswith(RELEASED):
            return self._released(rule.removeprefix(RELEASED).strip(), variant, ratio)
        if rule not in APART or not self.site.node_gpus:
            rule = LIKE.get(rule, rule)
        if rule not in MEASURED_MB and rule not in LIKE:
            mem, seconds = LIGHT_MB.get(rule, 1000) + data_mb(rule, config), 20 + data_seconds(rule, config)
            return Size(mem, seconds, 0, 0, 1.0)
        given = rule, config, ratio or min(config["ratios"]), self.site
        size = with_model(*given)
        if size.gpus:
            return size
        wider = size if self.site.node_gpus else _computed(size, *given)
        least = MEASURED_MB[rule] + wider.mem_mb - size.mem_mb
        return wider._replace(mem_mb=least) if wider.mem_mb <= 1.05 * least else wider

    def _released(self, name: str, variant: str, ratio: int | None) -> Size:
        """Of a step that compresses the documents with a released checkpoint and answers, on the base of that one."""
        config = self.variants[variant]
        given = config["evaluation"]["released"].get(name)
        source = given and (given["base"] or base_of_released(given["source"]))
        based = merge(config, {"backbone": {"source": source}}) if source else config
        own = Sizes({variant: based}, self.site)
        compress, answer = (own.of(step, variant, ratio) for step in ("compress_documents", "predict"))
        return Size(
            max(compress.mem_mb, answer.mem_mb),
            compress.seconds + answer.seconds,
            compress.gpus,
            max(compress.gpu_mem_mb, answer.gpu_mem_mb),
            compress.disk_mb + answer.disk_mb,
        )

    def memory(self, rule: str, variant: str, ratio: int | None, attempt: int) -> int:
        """Megabytes to ask for: more at each attempt."""
        return self.of(rule, variant, ratio).mem_mb * attempt

    def gpu_memory(self, rule: str, variant: str, ratio: int | None, attempt: int) -> int:
        """Megabytes of its GPUs together that a job fills beside others, more at each attempt; 0 without a GPU."""
        size, config = self.of(rule, variant, ratio), self.variants[variant]
        each = round(RESERVED * size.gpu_mem_mb)
        engine = (config["synthesis"] if rule == "synthesize" else config["evaluation"]["generation"])["engine"]
        if (rule in WRITING or rule.startswith(RELEASED)) and engine in ("auto", "vllm"):  # it fills a GPU
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


def _computed(size: Size, rule: str, config: dict[str, Any], ratio: int, site: Site) -> Size:
    """The size where this processor computes in float32 what the configuration has in half precision; else `size`.

    What the job writes stays as large; vLLM, which most syntheses run by, decides for itself.
    """
    section = "synthesis" if rule == "synthesize" else "backbone"
    stated = config[section]["dtype"]
    dtype = machine.arithmetic(stated)
    if dtype == stated or (section == "synthesis" and config["synthesis"]["engine"] != "transformers"):
        return size
    wider = with_model(rule, merge(config, {section: {"dtype": dtype}}), ratio, site)
    return wider._replace(disk_mb=size.disk_mb, seconds=WIDENED * size.seconds)


def variant_and_ratio(wildcards: Mapping[str, str]) -> tuple[str, int | None]:
    """Of a job whose path has them one by one, or in the name of a checkpoint; base and null elsewhere."""
    found = re.search(r"cr(\d+)-(\w+)$", wildcards.get("name", ""))
    ratio, variant = found.groups() if found else (wildcards.get("ratio"), "base")
    return wildcards.get("variant", variant), int(ratio) if ratio else None


def kind_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """The rule, or the kind of its jobs that shows less text than others, or that of a released checkpoint."""
    if "released" in wildcards:
        return f"{rule} {wildcards['released']}"
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
