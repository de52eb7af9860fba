# The paths that a configuration comes to: which variant's files a stage reads, and what all its systems and measurements leave.


def owned(stage, ratio, variant, init=""):
    """The path of a stage's files for a variant, spelled with the variant that owns them."""
    name = f"cr{ratio}-{PLAN.owner(stage, variant, init)}"
    return (
        f"results/{RUN}/{stage}/{init}-{name}"
        if init
        else f"results/{RUN}/{stage}/{name}"
    )


def every(stage, file="card.json", what=None):
    """A file of a stage for all initial checkpoints, ratios and variants, or those of a figure, each path once."""
    if stage == "instruction" and "instruction" not in config["inits"]:
        return []
    inits = [""] if stage in ("pretraining", "instruction") else config["inits"]
    combinations = itertools.product(inits, *made_of(what))
    folders = [
        owned(stage, ratio, variant, init) for init, ratio, variant in combinations
    ]
    return [f"{folder}/{file}" for folder in dict.fromkeys(folders)]


@functools.cache
def systems():
    """The names of all that is scored: the baselines, then CLaRa by initial checkpoint, ratio and variant."""
    return baselines() + named("metrics", config["inits"])


def baselines():
    """The names of all that is scored beside CLaRa; those that shorten text are one a ratio."""
    found = []
    for name in config["evaluation"]["baselines"]:
        ratios = config["ratios"] if name in PER_RATIO else []
        found += [f"{name}_cr{ratio}" for ratio in ratios] or [name]
    return found + [f"released_{name}" for name in config["evaluation"]["released"]]


def shortened(ratios):
    """The names of the baselines that shorten text, at these ratios."""
    methods = [name for name in config["evaluation"]["baselines"] if name in PER_RATIO]
    return [f"{name}_cr{ratio}" for name in methods for ratio in ratios]


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


def made_of(what=None):
    """The ratios and the variants that a figure or measurement is made of; all where `measurements.of` is silent."""
    of = config["measurements"]["of"].get(what, {})
    ratios = chosen(config["ratios"], of.get("at") or [])
    wanted = of.get("variants") or config["variants"]
    return ratios, [variant for variant in wanted if variant in config["variants"]]


def named(stage, inits, what=None):
    """`{init}-cr{ratio}-{variant}` of all, or of what a figure or measurement is made of, each once, under the variant that owns the stage's files."""
    combinations = itertools.product(inits, *made_of(what))
    names = [
        f"{init}-cr{ratio}-{PLAN.owner(stage, variant, init)}"
        for init, ratio, variant in combinations
    ]
    return list(dict.fromkeys(names))


def measurement_files(measurement):
    """The files that one of the measurements of the configuration ends in."""
    folder = f"results/{RUN}/measurements"
    names = {
        "by_k": lambda: named("by_k", config["inits"], "by_k"),
        "efficiency": lambda: named("efficiency", config["inits"], "efficiency"),
        "recovery": lambda: named("recovery", ["pretraining"], "recovery"),
        "states": lambda: named("states", ["pretraining"], "states"),
        "grounding": lambda: [
            *(["text_rag"] if "text_rag" in systems() else []),
            *named("metrics", config["inits"], "grounding"),
        ],
    }
    if measurement == "data":
        return [f"{folder}/data.json"]
    if measurement == "figures":
        return [f"{folder}/training.csv", *drawn_figures()]
    if measurement == "given":
        given = ["text", *shortened(made_of("given")[0])]
        given += named("given", stages_before_joint(), "given")
        return expand(
            "results/{run}/evaluation/metrics/given-{name}.json", run=RUN, name=given
        )
    return [f"{folder}/{measurement}/{name}.json" for name in names[measurement]()]


@functools.cache
def measured():
    """All files of the measurements that the configuration asks for, and the table over seeds where there are any."""
    which = [name for name in config["measurements"]["which"] if name != "given"]
    files = [path for name in which for path in measurement_files(name)]
    return files + scored_beside()


def scored_beside():
    """What stands in the folder of the scores besides them: answers with given documents, and the table over seeds."""
    given = "given" in config["measurements"]["which"]
    files = measurement_files("given") if given else []
    return files + seeds_file()


def seeds_file():
    """Scores over the seeds, where there are further ones."""
    return [f"results/{RUN}/evaluation/seeds.json"] if config["seeds"] else []


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


def drawn_from(figure):
    """Files of a figure by kind: courses of training, words of the logit lens, scores."""
    stages = {"validation_loss": "pretraining", "joint_training": "joint"}
    if figure in stages:
        return {"histories": every(stages[figure], "history.jsonl", figure)}
    if figure == "logit_lens":
        return {"diagnostics": every("joint", "diagnostics.json", figure)}
    if figure == "recall_bars":
        shown = baselines() + named("metrics", config["inits"], figure)
        scores = "results/{run}/evaluation/metrics/{system}.json"
        return {"metrics": expand(scores, run=RUN, system=shown)}
    return {}


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


def exported():
    """The synthesized pairs in other forms, where these are asked for."""
    names = config["synthesis"]["exports"]
    return expand("results/{run}/synthesis/exports/{name}", run=RUN, name=names)


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
