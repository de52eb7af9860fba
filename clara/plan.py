"""What the workflow's rules depend on: settings, code, prompts, the variant that owns a stage, and state folders.

Plain data and files in, text out; the rules in `rules/` ask here, and the tests ask the same questions.
"""

import hashlib
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from clara.accepted import Accepted
from clara.config import merge
from clara.config.locations import expand
from clara.config.rules import RULES, aside_for, settings_for, wildcard_values
from clara.fingerprint import Project

STAGES = {
    "pretraining": ("pretrain",),
    "instruction": ("pretrain", "tune_instructions"),
    "compression": ("compress_documents",),
    "joint": ("compress_documents", "train_joint"),
    "predictions": ("compress_documents", "train_joint", "predict"),
    "metrics": ("compress_documents", "train_joint", "predict", "score"),
    "given": ("compress_documents", "predict_given", "score"),
    "by_k": ("compress_documents", "train_joint", "predict_by_k", "score_by_k"),
    "recovery": ("rewrite_documents", "measure_bert_score", "score_recovery"),
    "states": ("measure_states",),
    "efficiency": ("compress_documents", "train_joint", "measure_efficiency"),
}
"""Stage → the rules that make it; those from compression on start from the initial checkpoint's."""

BEFORE = {
    "split_passages": ("fetch_corpus", "prepare_backbone"),
    "prepare_questions": ("split_passages",),
    "make_candidates": ("prepare_questions",),
    "collect_documents": ("make_candidates",),
    "synthesize": ("split_passages",),
    "gather_pairs": ("synthesize",),
    "export_pairs": ("gather_pairs",),
    "review_pairs": ("gather_pairs", "prepare_questions"),
    "pretrain": ("gather_pairs",),
    "answer_as_teacher": ("prepare_backbone", "make_candidates"),
    "tune_instructions": ("pretrain", "make_candidates"),
    "tune_text_rag": ("prepare_backbone", "make_candidates"),
    "compress_documents": ("collect_documents",),
    "train_joint": ("compress_documents",),
    "predict": ("train_joint",),
    "predict_baseline": ("make_candidates", "tune_text_rag"),
    "predict_compressed_text": ("prepare_backbone", "make_candidates"),
    "predict_released": ("collect_documents",),
    "rank_bm25": ("make_candidates",),
    "rank_neural": ("make_candidates",),
    "measure_memory_use": ("make_candidates",),
    "score": ("predict", "predict_baseline", "predict_compressed_text", "predict_released", "rank_bm25", "rank_neural"),
    "make_paper_table": ("score", "score_recovery", "score_grounding", "measure_efficiency", "measure_data"),
    "make_scorecard": (
        "predict",
        "predict_baseline",
        "rank_bm25",
        "predict_given",
        "predict_given_text",
        "predict_given_compressed_text",
        "measure_data",
    ),
    "build_report": (
        "score",
        "aggregate_seeds",
        "measure_memory_use",
        "measure_data",
        "review_pairs",
        "make_paper_table",
        "make_scorecard",
        "draw_figure",
    ),
    "predict_given": ("compress_documents",),
    "predict_given_text": ("make_candidates",),
    "predict_given_compressed_text": ("make_candidates",),
    "predict_by_k": ("train_joint",),
    "score_by_k": ("predict_by_k",),
    "rewrite_documents": ("gather_pairs", "make_candidates"),
    "measure_bert_score": ("rewrite_documents",),
    "score_recovery": ("rewrite_documents", "measure_bert_score"),
    "score_grounding": ("predict", "predict_baseline"),
    "measure_efficiency": ("train_joint",),
    "measure_states": ("collect_documents",),
    "measure_data": ("review_pairs", "collect_documents"),
    "aggregate_seeds": ("score",),
    "collect_training": ("train_joint",),
    "draw_figure": ("score", "measure_memory_use", "score_by_k", "measure_states"),
}
"""Rule → the rules whose results it reads; compression reads the initial checkpoint as well, and memory use is measured
of all checkpoints."""

OF_INITIAL = ("compress_documents", "rewrite_documents", "measure_states")
"""Rules that read a checkpoint from before joint training; `init` names its stage."""

OTHER_MODELS = {
    "rank_neural": ("dense", "cross_encoder"),
    "predict_compressed_text": ("llmlingua2",),
    "predict_given_compressed_text": ("llmlingua2",),
}
"""Rule → the sections of `evaluation` whose models it loads."""

HASHED_BYTES = 64 * 2**20
"""Input files up to this size are compared by content, larger ones by size and time."""


class Plan:
    """The rules' dependencies under one validated configuration.

    Args:
        config: the whole configuration as plain data.
        root: the project's folder.
    """

    def __init__(self, config: dict[str, Any], root: Path) -> None:
        self.variants: dict[str, dict[str, Any]] = {
            name: merge(config, overrides) for name, overrides in config["variants"].items()
        }
        self.root = root
        self.project = Project(root)
        self.accepted = Accepted.read(root)
        # A paper's matrix asks each of these some hundred thousand times.
        self.settings = cache(self._settings)
        self.owner = cache(self._owner)
        self.code = cache(self._code)
        self.prompts = cache(self._prompts)
        self.lineage = cache(self._lineage)
        self.behind = cache(self._behind)
        self.content = cache(_content)

    def _settings(self, rule: str, variant: str = "base", **wildcards: str) -> str:
        """The `--settings` of a rule: JSON with sorted keys, because Snakemake compares params by their text."""
        if rule not in RULES:
            return "{}"
        chosen = settings_for(rule, self.variants[variant], **wildcards)
        return json.dumps(chosen, sort_keys=True, ensure_ascii=False)

    def aside(self, rule: str, variant: str = "base") -> str:
        """The `--aside` of a rule: JSON of what it reads and what decides nothing of its result.

        A resource and no param, so that it reruns nothing.
        """
        return json.dumps(aside_for(rule, self.variants[variant]), sort_keys=True, ensure_ascii=False)

    def _owner(self, stage: str, variant: str, init: str = "") -> str:
        """The first variant with the settings of `variant` in all rules up to `stage`: the two share its files."""
        rules = (STAGES[init] if init else ()) + STAGES[stage]
        settings = self.behind(rules, variant)
        return next(name for name in self.variants if self.behind(rules, name) == settings)

    def _behind(self, rules: tuple[str, ...], variant: str) -> tuple[str, ...]:
        return tuple(self.settings(rule, variant) for rule in rules)

    def _prompts(self, rule: str) -> list[str]:
        """The prompt files that a rule's code names, in order."""
        words = {word for piece in self.project.definitions(self._program(rule)).values() for word in piece.words}
        files = sorted((self.root / "clara" / "prompts").glob("*.jinja"))
        used = [file for file in files if file.stem in words]
        return [str(file.relative_to(self.root)) for file in used]

    def state(self, rule: str, variant: str = "base", init: str = "", **wildcards: str) -> str:
        """Sixteen hexadecimal digits that name the folder of a rule's saved state.

        They change with the settings, the code, the prompts and the user's files behind the rule and behind all rules
        before it, so that a state is continued by the run it belongs to and by no other. Given `wildcards` that decide
        what a job of the rule reads (`wildcard_values`), they are of that job; else of all jobs of the rule.
        """
        return self.lineage(rule, variant, init, **wildcards)[:16]

    def _program(self, rule: str) -> Path:
        return self.root / "workflow_scripts" / f"{rule}.py"

    def _code(self, rule: str) -> str:
        return self.accepted.canonical(rule, self.fingerprint(rule))

    def modules(self, rule: str) -> dict[str, str]:
        """Module → digest of what the rule's program reaches in it."""
        return self.project.by_module(self._program(rule))

    def fingerprint(self, rule: str) -> str:
        """Of the rule's present code, whatever was accepted."""
        return self.project.fingerprint(self._program(rule))

    def _lineage(self, rule: str, variant: str, init: str, **own: str) -> str:
        digest = hashlib.sha256(self.code(rule).encode())
        jobs = [own] if own or rule not in RULES else wildcard_values(rule, self.variants["base"])
        for wildcards in jobs:
            digest.update(self.settings(rule, variant, **wildcards).encode())
        files = [path for wildcards in jobs for path in self.user_files(rule, **wildcards)]
        for path in [*self.prompts(rule), *files]:
            digest.update(self.content(Path(path)).encode())
        parents = BEFORE.get(rule, ())
        if rule in OF_INITIAL:
            parents = (*parents, STAGES[init][-1])
        if rule == "tune_instructions" and self.variants[variant]["instruction"]["answers"] == "teacher":
            parents = (*parents, "answer_as_teacher")
        if rule == "gather_pairs" and self.variants["base"]["synthesis"]["exclude_leaks"]:
            parents = (*parents, "prepare_questions")
        for parent in parents:
            digest.update(self.lineage(parent, variant, init).encode())
        return digest.hexdigest()

    def user_files(
        self, rule: str, *, benchmark: str = "", released: str = "", ranker: str = "", method: str = "", **_: str
    ) -> list[str]:
        """The existing files outside `results/` that a rule's job is told of, of a folder those that lie in it.

        A missing one is left to the program, whose message says which setting names it.

        Args:
            rule: its name.
            benchmark, released, ranker, method: wildcards of the job; without a ranker or method the files of all.
        """
        base = self.variants["base"]
        if rule == "prepare_questions":
            chosen = base["benchmarks"][benchmark]
            return _existing(chosen["train"], chosen["test"], chosen["test_normal"])
        evaluation = base["evaluation"]
        if rule == "fetch_corpus":
            return _existing(base["corpus"]["source"]["location"])
        if rule == "synthesize":
            return _existing(base["synthesis"]["published"], base["synthesis"]["model"])
        if rule == "prepare_backbone":
            return _existing(base["backbone"]["source"])
        if rule == "predict_released":
            return _existing(evaluation["released"][released]["source"])
        if rule == "measure_bert_score":
            return _existing(base["measurements"]["recovery"]["bert_score"])
        which = ranker or method
        others = OTHER_MODELS.get(rule, ())
        return _existing(*(evaluation[name]["source"] for name in others if which in ("", name)))


def use_checkout(root: Path) -> None:
    """Makes every program that this process starts run with this Python and with the code under `root`."""
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in (str(root), before) if path)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def failures(logs: Path, since: float) -> list[str]:
    """`LOG: last line` of each log below `logs` that was written after `since` and ends with an error."""
    found = []
    for log in sorted(logs.rglob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if log.stat().st_mtime >= since and lines and re.match(r"error: |[\w.]*(Error|Exception)\b", lines[-1]):
            found.append(f"{log}: {lines[-1]}")
    return found


def _existing(*paths: str | None) -> list[str]:
    """Those that exist, of a folder (a model's) its files."""
    found: list[str] = []
    for place in (expand(path) for path in paths if path):
        if os.path.isdir(place):
            found += sorted(str(file) for file in Path(place).glob("*") if file.is_file())
        elif os.path.isfile(place):
            found.append(place)
    return found


def _content(path: Path) -> str:
    status = path.stat()
    if status.st_size > HASHED_BYTES:
        return f"{status.st_size} {status.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
