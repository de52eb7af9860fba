"""Configurations whose jobs the tests of sizes size, and how one job's size is asked for."""

from pathlib import Path
from typing import Any

from clara import config as configuration
from clara.sizing.jobs import Sizes
from clara.sizing.steps import Site, Size

ROOT = Path(__file__).resolve().parents[2]
DEMO = configuration.load(ROOT / "config.yaml")
PAPER = configuration.merge(DEMO, configuration.load(ROOT / "configs" / "paper-mistral.yaml"))
# configs/small.yaml and over it configs/small-gpu.yaml, as they ran on an H200 that fourteen jobs shared.
GPU: dict[str, Any] = {
    "ratios": [4, 16, 64],
    "backbone": {"attention": "sdpa"},
    "benchmarks": {"nq": {"format": "rows", "train": "x.jsonl.gz", "test": "x.jsonl.gz"}},
    "candidates": {"train_size": 8},
    "pretraining": {"max_target_tokens": 256, "optimization": {"batch_size": 16, "micro_batch_size": 16}},
    "instruction": {"top_k": 5, "optimization": {"batch_size": 8, "micro_batch_size": 8}},
    "joint": {"top_k": 5, "optimization": {"batch_size": 16, "micro_batch_size": 16}},
    "compression": {"batch_tokens": 32768},
    "evaluation": {"top_k": 5, "generation": {"batch_size": 128, "engine": "transformers"}},
}
MIB = 1.048576


def size(rule: str, config: dict[str, Any] = DEMO, *, site: Site | None = None, **overrides: Any) -> Size:
    return Sizes({"base": configuration.merge(config, overrides)}, site or Site()).of(rule)
