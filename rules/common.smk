# Configuration, and what the rules share: settings, saved state, sizes and GPUs of their jobs.

import functools
import itertools
import json
import os
import re
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from clara import config as configuration
from clara.config.checks import unmade_kinds
from clara.config.evaluation import PER_RATIO
from clara.errors import ClaraError
from clara.evaluation.paper.claims import read_claims, systems_of
from clara.evaluation.paper.departures import departures
from clara.evaluation.paper.equal import Equals
from clara.evaluation.paper.specs import chosen, read_table
from clara.gpus import SHARED
from clara.plan import failures, use_checkout
from clara.runs import started, summary
from clara.sizing.jobs import Sizes, kind_of, require_gpus, variant_and_ratio
from clara.sizing.steps import Site

use_checkout(ROOT)
read_table = functools.cache(read_table)

try:
    # Snakemake has read these files already, but not refused what only their text shows, such as a key that stands twice.
    for path in workflow.overwrite_configfiles:
        configuration.load(Path(path))
    merged = configuration.merge(configuration.load(Path("config.yaml")), config)
    merged = configuration.overridden(merged, workflow.config_settings.config)
    configuration.validate(merged)
    configuration.require_below(merged, workflow.overwrite_configfiles)
    merged, LEFT_OUT = configuration.completed(merged)
except ClaraError as error:
    raise WorkflowError(str(error)) from None
config.clear()
config.update(merged)

STARTED = time.time()
RUN = config["run"]
POOLS = config["candidates"]["settings"]
SHARDS = config["synthesis"]["shards"]
# What a step with a model computes with on a CPU; a profile may give it other threads, which changes no number.
CPU_THREADS = config["backbone"]["cpu_threads"]
EQUALS = Equals(config, ROOT)
# It knows the variants of configs/*.yaml as well: their files can be named in a target, but only the configuration's are asked for.
PLAN = EQUALS.plan
# What the profile says of its machines; inside a cluster's job as well, which is told the default resources.
STATED = workflow.resource_settings._parsed_default_resources
SIZES = Sizes(
    PLAN.variants,
    Site(**{name: STATED[name].value for name in Site._fields if name in STATED}),
)

# How many jobs on this machine may share a GPU, for the programs that take one (clara/gpus.py).
if "gpu_jobs" in STATED:
    os.environ[SHARED] = str(STATED["gpu_jobs"].value)

# Every program's messages go to the screen and to the rule's log. The `trap` in the commands keeps the signals that end a
# job from `tee`: a program that saves its state on SIGTERM still writes to it.


# Of a dry run as well, which starts nothing; once, and not again in each job's own process.
if workflow.is_main_process:
    for name, kinds in LEFT_OUT.items():
        print(
            f"Variant {name} is left out: it learns from {' and '.join(kinds)}, which synthesis.kinds does not name",
            file=sys.stderr,
        )


onstart:
    started.record(Path.cwd())


onsuccess:
    if told := summary.text(
        summary.ran(Path("benchmarks") / RUN, since=STARTED), time.time() - STARTED
    ):
        print(told, file=sys.stderr)


onerror:
    if told := summary.text(
        summary.ran(Path("benchmarks") / RUN, since=STARTED), time.time() - STARTED
    ):
        print(told, file=sys.stderr)
    # Last on the screen stands why, not only that: the sentence of each program that failed in this run.
    for line in failures(Path("logs") / RUN, since=STARTED):
        print(line, file=sys.stderr)


MODEL_RULES = (
    "synthesize",
    "pretrain",
    "tune_instructions",
    "compress_documents",
    "train_joint",
    "predict",
    "predict_baseline",
    "measure_memory_use",
    "predict_given",
    "predict_given_text",
    "predict_given_compressed_text",
    "predict_by_k",
    "rewrite_documents",
    "measure_efficiency",
    "measure_states",
    "answer_as_teacher",
    "tune_text_rag",
    "predict_compressed_text",
    "predict_released",
    "rank_neural",
    "measure_bert_score",
)


FIGURES = (
    "validation_loss",
    "joint_training",
    "recall_bars",
    "logit_lens",
    "by_k",
    "states",
)
"""The paper's figures; the report draws the bars of recall as well."""


wildcard_constraints:
    run=RUN,
    benchmark="|".join(config["benchmarks"]),
    ratio=r"\d+",
    variant="|".join(PLAN.variants),
    init="pretraining|instruction",
    stage="pretraining|instruction|joint",
    name=r"[\w-]+",
    system=r"[\w-]+",
    baseline="no_retrieval|text_rag|text_rag_tuned",
    method="hard_words|llmlingua2",
    ranker="dense|cross_encoder",
    released=r"\w+",
    figure="|".join(FIGURES),
    shard=r"\d+",
    shards=r"\d+",
    table=r"table_\d+|ablation_[a-z]+",


def program(rule_name):
    """The program of a rule; it counts by its code (`params.code`), not by the time of its file."""
    return ancient(f"workflow_scripts/{rule_name}.py")


def settings(rule_name):
    """The settings of a rule as JSON, merged with the overrides of the variant in its path."""

    def cut(wildcards):
        given = dict(wildcards.items())
        return PLAN.settings(rule_name, given.pop("variant", "base"), **given)

    return cut


def state(rule_name):
    """The folder in which a rule keeps what it resumes from."""

    def folder(wildcards):
        given = dict(wildcards.items())
        name = "-".join(
            given[key]
            for key in ("init", "baseline", "released", "ratio", "variant")
            if key in given
        )
        digest = PLAN.state(
            rule_name, given.get("variant", "base"), given.get("init", "")
        )
        return "/".join(
            part for part in ("state", given["run"], rule_name, name, digest) if part
        )

    return folder


def sized(rule_name, what):
    """Memory in MB, minutes, or GPU memory in MB, of a job of the rule: the estimate of clara/sizing/, more at each attempt."""

    def amount(wildcards, attempt):
        given = dict(wildcards.items())
        kind = kind_of(rule_name, given)
        return getattr(SIZES, what)(kind, *variant_and_ratio(given), attempt)

    return amount


def gpus(rule_name):
    """GPUs of a job of the rule."""
    return lambda w: SIZES.of(rule_name, *variant_and_ratio(dict(w.items()))).gpus


def refuse_cut_gpus():
    """Snakemake cuts a job's GPUs to the limit of all jobs, and a training would go on with fewer than asked for."""
    limit = workflow.global_resources.get("gpu")
    asked = {
        name: stated["gpu"].value
        for name, stated in workflow.resource_settings._parsed_overwrite_resources.items()
        if "gpu" in stated
    }
    try:
        wanted = {name: asked.get(name, SIZES.most_gpus(name)) for name in MODEL_RULES}
        require_gpus(wanted, limit.value if limit else None)
    except ClaraError as error:
        raise WorkflowError(str(error)) from None


def refuse_lost_resources():
    """Snakemake puts `--default-resources` of the command line in the place of the profile's list, and no job would have a GPU."""
    stated = workflow.resource_settings._parsed_overwrite_resources.values()
    names = {name for given in (STATED, *stated) for name in given}
    on_cluster = any(name.startswith("slurm_") for name in names)
    if on_cluster and "node_gpus" not in STATED:
        raise WorkflowError(
            "default-resources have no node_gpus, so no job would ask for a GPU: --default-resources replaces the profile's list. "
            "Write slurm_account, and what else is to change, under default-resources of profiles/slurm/profile.v9+.yaml, or give "
            "the whole list; 0 says that there are no GPUs"
        )


refuse_lost_resources()
refuse_cut_gpus()
