# Configuration, settings of rules, code fingerprints, and which variant's files a stage reads.

import functools
import itertools
import json
import re
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from clara import config as configuration
from clara.config.evaluation import PER_RATIO
from clara.errors import ClaraError
from clara.evaluation.paper.claims import read_claims, systems_of
from clara.evaluation.paper.departures import departures
from clara.evaluation.paper.equal import Equals
from clara.evaluation.paper.specs import read_table
from clara.plan import failures, use_checkout
from clara.runs import summary
from clara.sizing import Site, Sizes, require_gpus, variant_and_ratio

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
    merged = configuration.with_seeds(merged)
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

# Every program's messages go to the screen and to the rule's log. The `trap` in the commands keeps the signals that end a
# job from `tee`: a program that saves its state on SIGTERM still writes to it.


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
    "predict_by_k",
    "rewrite_documents",
    "measure_efficiency",
    "measure_states",
    "answer_as_teacher",
    "tune_text_rag",
    "predict_compressed_text",
    "predict_released",
    "rank_neural",
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
    """Memory in MB, or minutes, of a job of the rule: the estimate of clara/sizing.py, more at each attempt."""

    def amount(wildcards, attempt):
        variant, ratio = variant_and_ratio(dict(wildcards.items()))
        return getattr(SIZES, what)(rule_name, variant, ratio, attempt)

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
    wanted = {name: asked.get(name, SIZES.most_gpus(name)) for name in MODEL_RULES}
    try:
        require_gpus(wanted, limit.value if limit else None)
    except ClaraError as error:
        raise WorkflowError(str(error)) from None


def owned(stage, ratio, variant, init=""):
    """The path of a stage's files for a variant, spelled with the variant that owns them."""
    name = f"cr{ratio}-{PLAN.owner(stage, variant, init)}"
    return (
        f"results/{RUN}/{stage}/{init}-{name}"
        if init
        else f"results/{RUN}/{stage}/{name}"
    )


def every(stage, file="card.json"):
    """A file of a stage for all ratios, variants and initial checkpoints, each path once."""
    if stage == "instruction" and "instruction" not in config["inits"]:
        return []
    inits = [""] if stage in ("pretraining", "instruction") else config["inits"]
    combinations = itertools.product(inits, config["ratios"], config["variants"])
    folders = [
        owned(stage, ratio, variant, init) for init, ratio, variant in combinations
    ]
    return [f"{folder}/{file}" for folder in dict.fromkeys(folders)]


@functools.cache
def systems():
    """The names of all that is scored: the baselines, then CLaRa by initial checkpoint, ratio and variant."""
    combinations = itertools.product(
        config["inits"], config["ratios"], config["variants"]
    )
    ours = [
        f"{init}-cr{ratio}-{PLAN.owner('metrics', variant, init)}"
        for init, ratio, variant in combinations
    ]
    return [*baselines(), *dict.fromkeys(ours)]


def baselines():
    """The names of all that is scored beside CLaRa; those that shorten text are one a ratio."""
    found = []
    for name in config["evaluation"]["baselines"]:
        ratios = config["ratios"] if name in PER_RATIO else []
        found += [f"{name}_cr{ratio}" for ratio in ratios] or [name]
    return found + [f"released_{name}" for name in config["evaluation"]["released"]]


def histories():
    """The course of every checkpoint's training."""
    return [
        path
        for stage in ("pretraining", "instruction", "joint")
        for path in every(stage, "history.jsonl")
    ]


def stages_before_joint():
    """The stages whose checkpoints answer before joint training."""
    return ["pretraining", *(s for s in ["instruction"] if s in config["inits"])]


def measured_names(stage, inits):
    """`{init}-cr{ratio}-{variant}` of what is measured, each once, under the variant that owns it."""
    combinations = itertools.product(inits, config["ratios"], config["variants"])
    names = [
        f"{init}-cr{ratio}-{PLAN.owner(stage, variant, init)}"
        for init, ratio, variant in combinations
    ]
    return list(dict.fromkeys(names))


def measurement_files(measurement):
    """The files that one of the measurements of the configuration ends in."""
    folder = f"results/{RUN}/measurements"
    names = {
        "by_k": lambda: measured_names("by_k", config["inits"]),
        "efficiency": lambda: measured_names("efficiency", config["inits"]),
        "recovery": lambda: measured_names("recovery", ["pretraining"]),
        "states": lambda: measured_names("states", ["pretraining"]),
        "grounding": lambda: [s for s in systems() if s == "text_rag" or ours(s)],
    }
    if measurement == "data":
        return [f"{folder}/data.json"]
    if measurement == "figures":
        return [f"{folder}/training.csv", *drawn_figures()]
    if measurement == "given":
        given = ["text", *measured_names("given", stages_before_joint())]
        return expand(
            "results/{run}/evaluation/metrics/given-{name}.json", run=RUN, name=given
        )
    return [f"{folder}/{measurement}/{name}.json" for name in names[measurement]()]


@functools.cache
def measured():
    """All files of the measurements that the configuration asks for, and the table over seeds where there are any."""
    which = config["measurements"]["which"]
    files = [path for name in which for path in measurement_files(name)]
    return files + [f"results/{RUN}/evaluation/seeds.json"] * bool(config["seeds"])


def data_file():
    """What the run was made of, where it is measured."""
    measures = "data" in config["measurements"]["which"]
    return [f"results/{RUN}/measurements/data.json"] if measures else []


def drawn_figures():
    """The files of the figures that can be drawn of what is measured, but for the report's own; none where none is asked for."""
    which = config["measurements"]["which"]
    drawn = ["validation_loss", "joint_training", "logit_lens"]
    drawn += [name for name in ("by_k", "states") if name in which]
    asked = drawn if "figures" in which else []
    return expand("results/{run}/figures/{figure}.svg", run=RUN, figure=asked)


def shown_in(figure):
    """The measurements that a figure shows: those asked for, else those that another command has left, so that nothing once measured is lost."""
    if figure not in ("by_k", "states"):
        return []
    asked = figure in config["measurements"]["which"]
    return [path for path in measurement_files(figure) if asked or Path(path).exists()]


def candidates(split, kinds):
    """The candidate files of all benchmarks: a split's pools of the given kinds, oracle or normal."""
    return expand(
        "results/{run}/candidates/{benchmark}.{split}.{kind}.jsonl",
        run=RUN,
        benchmark=config["benchmarks"],
        split=split,
        kind=kinds,
    )


def ours(system):
    """(init, ratio, variant) of a system's name; null of a baseline's."""
    return re.fullmatch(r"(pretraining|instruction)-cr(\d+)-(\w+)", system)


def variant_of(name):
    """The variant at the end of a system's or checkpoint's name; base of a baseline."""
    found = re.search(r"cr\d+-(\w+)$", name)
    return found[1] if found else "base"


def predictions(system):
    """The predictions that a system's scores come from."""
    if found := ours(system):
        init, ratio, variant = found.groups()
        system = f"{init}-cr{ratio}-{PLAN.owner('predictions', variant, init)}"
    return f"results/{RUN}/evaluation/predictions/{system}.jsonl"


def shards(file):
    """A file of every shard, in the order of the passages."""
    return expand(
        "results/{run}/synthesis/shards/{shard}-of-{shards}/{file}",
        run=RUN,
        shard=range(1, SHARDS + 1),
        shards=SHARDS,
        file=file,
    )


def test_questions():
    """The test questions of all benchmarks."""
    return expand(
        "results/{run}/questions/{benchmark}.test.jsonl",
        run=RUN,
        benchmark=config["benchmarks"],
    )


def teacher_answers(wildcards):
    """The teacher's answers where the variant learns from these, else nothing."""
    chosen = PLAN.variants[wildcards.variant]["instruction"]["answers"]
    return [f"results/{RUN}/teacher/answers.jsonl"] if chosen == "teacher" else []


def rows_to_learn(wildcards):
    """The accepted rows, and the rejected ones where the variant learns from these as well."""
    chosen = PLAN.variants[wildcards.variant]["pretraining"]["rows"]
    files = ["pairs", "rejected"] if chosen == "all" else ["pairs"]
    return expand("results/{run}/synthesis/{file}.parquet", run=RUN, file=files)


def paper_tables():
    """The names of the paper's tables that are specified, in the order of their numbers, then of our ablations."""
    names = [path.stem for path in Path("paper/tables").glob("*.yaml")]
    return sorted(names, key=lambda name: (len(name), name))


def made_for_paper(paths):
    """Those of the paths that the configuration makes or that the command names."""
    beside = named_here()
    return [path for path in paths if path in asked() or path in beside]


@functools.cache
def asked():
    """What the configuration makes for the paper: all that is scored and measured, and what makes a table or the scorecard complete."""
    scored = expand(
        "results/{run}/evaluation/metrics/{system}.json", run=RUN, system=systems()
    )
    complete = config["paper"]["complete"]
    whole = [
        path
        for name in complete
        for path in (claimed_files() if name == "scorecard" else files_of(name))
        if can_be_named(path)
    ]
    return {*scored, *measured(), *whole}


def can_be_named(path):
    """Whether start and variant in a file's name are of this configuration; baselines are made where they are asked for."""
    stem = Path(path).stem.removeprefix("given-")
    found = ours(stem)
    if found is None:
        return stem in ("text", "data", *baselines())
    return found[1] in config["inits"] and found[3] in config["variants"]


@functools.cache
def named_here():
    """Files of numbers that this command names, of those that can be made here."""
    # What lies there from other settings is not taken: whoever drops a ratio would train it again at the next change.
    # Snakemake has no targets yet while it reads these files.
    named = {word for word in sys.argv if word.startswith(f"results/{RUN}/")}
    return {path for path in named if can_be_made(path)}


def can_be_made(path):
    """Whether the configuration has all that a file of numbers needs."""
    stem = Path(path).stem.removeprefix("given-")
    if found := ours(stem):
        variant = PLAN.variants.get(found[3])
        return variant and int(found[2]) <= variant["memory"]["document_max_tokens"]
    name = re.sub(r"_cr\d+$", "", stem)
    if name.startswith("released_"):
        return stem in baselines()
    model = config["evaluation"].get(name)
    return not isinstance(model, dict) or model.get("source") is not None


@functools.cache
def shown_ratios():
    """The ratios of the configuration and those of what the command names."""
    found = (re.search(r"[-_]cr(\d+)", Path(path).stem) for path in named_here())
    return sorted({*config["ratios"], *(int(each[1]) for each in found if each)})


def table_of(name):
    """A table's specification."""
    try:
        return read_table(Path("paper/tables") / f"{name}.yaml")
    except ClaraError as error:
        raise WorkflowError(str(error)) from None


def files_of(name, ratios=None):
    """The files behind a table's numbers, under the names of those that own them."""
    files = [
        Path(path) for path in table_of(name).files(RUN, ratios or config["ratios"])
    ]
    equal = EQUALS.among(path.stem for path in files)
    paths = [f"{path.parent}/{equal.get(path.stem, path.stem)}.json" for path in files]
    return list(dict.fromkeys(paths))


def table_results(name):
    """The files behind a table's numbers, of those that the configuration makes and that the command names."""
    return made_for_paper(files_of(name, shown_ratios()))


def filled_tables():
    """The tables in which at least one number is of this configuration; of an ablation, of a variant."""
    return [
        name
        for name in paper_tables()
        for results in [table_results(name)]
        if results
        and (
            name.startswith("table_")
            or any(variant_of(Path(path).stem) != "base" for path in results)
        )
    ]


def departures_of(source):
    """Where base is not the paper's, as JSON, for a table of this source."""
    try:
        return json.dumps(departures(PLAN.variants["base"], ROOT, source))
    except ClaraError as error:
        raise WorkflowError(str(error)) from None


def claimed_systems():
    """The systems that the paper's claims compare."""
    try:
        return systems_of(read_claims(Path("paper/claims.yaml")), config["ratios"])
    except ClaraError as error:
        raise WorkflowError(str(error)) from None


def claimed_files():
    """The scores of the systems that the claims compare, under the names of those that own them."""
    named = claimed_systems()
    equal = EQUALS.among(named)
    named = list(dict.fromkeys(equal.get(system, system) for system in named))
    return [f"results/{RUN}/evaluation/metrics/{system}.json" for system in named]


def claimed_predictions():
    """The answers that the paper's claims are tested on, of the systems that are scored."""
    return [
        f"results/{RUN}/evaluation/predictions/{Path(path).stem}.jsonl"
        for path in made_for_paper(claimed_files())
    ]


def paper_files(tables):
    """The scorecard and these tables."""
    return expand(
        "results/{run}/paper/{name}.csv", run=RUN, name=[*tables, "scorecard"]
    )


refuse_cut_gpus()
