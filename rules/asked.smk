# The paper's tables and claims: which numbers they need, and which of these a configuration or a command asks for.


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
        for path in (claimed_files() if name == "scorecard" else asked_of(name))
        if can_be_named(path)
    ]
    return {*scored, *measured(), *whole}


def can_be_named(path):
    """Whether start, ratio and variant in a file's name are of this configuration; baselines are made where they are asked for."""
    stem = Path(path).stem.removeprefix("given-")
    found = ours(stem)
    if found is None:
        return stem in ("text", "data", *baselines())
    init, ratio, variant = found.groups()
    return (
        init in config["inits"]
        and int(ratio) in config["ratios"]
        and variant in config["variants"]
    )


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


def refuse_unknown_tables():
    """A table that is not specified, in `paper.complete` or in a target, is named with those that are."""
    known = [*paper_tables(), "scorecard"]
    named = [("paper.complete", name) for name in config["paper"]["complete"]]
    targets = (Path(word) for word in sys.argv[1:])
    named += [
        (str(path), path.name.split(".")[0])
        for path in targets
        if path.parent == Path(f"results/{RUN}/paper") and path.name != "verdicts.json"
    ]
    for where, name in named:
        if name not in known:
            raise WorkflowError(
                f"{where} names {name}, which is none of {', '.join(known)}; the paper's Tables 5, 6, 19 and 20 stand in 1 to 4"
            )


refuse_unknown_tables()


def refuse_variants_without_rows():
    """A target of a variant that learns from rows which this run's data has not could never be made."""
    for word in sys.argv[1:]:
        found = re.search(rf"^results/{RUN}/.*cr\d+-(\w+)", word)
        if found is None:
            continue
        known = PLAN.variants.get(found[1])
        kinds = LEFT_OUT.get(found[1]) or (known and unmade_kinds(known))
        if kinds:
            raise WorkflowError(
                f"{word} is of variant {found[1]}, which learns from {' and '.join(kinds)}; synthesis.kinds of this run does not "
                "name that: add it there, or name another variant"
            )


refuse_variants_without_rows()


def table_of(name):
    """A table's specification."""
    try:
        return read_table(Path("paper/tables") / f"{name}.yaml")
    except ClaraError as error:
        raise WorkflowError(str(error)) from None


def asked_of(name):
    """The files behind a table's numbers at the ratios that the configuration is asked for."""
    return files_of(name, table_of(name).asked(config["ratios"]))


def files_of(name, systems):
    """The files behind a table's numbers of these systems, under the names of those that own them."""
    files = [Path(path) for path in table_of(name).files(RUN, systems)]
    if table_of(name).released:
        named = config["evaluation"]["released"]
        folder = Path(f"results/{RUN}/evaluation/metrics")
        files += [folder / f"released_{checkpoint}.json" for checkpoint in named]
    equal = EQUALS.among(path.stem for path in files)
    paths = [f"{path.parent}/{equal.get(path.stem, path.stem)}.json" for path in files]
    return list(dict.fromkeys(paths))


def table_results(name):
    """The files behind a table's numbers, of those that the configuration makes and that the command names."""
    named = files_of(name, table_of(name).systems(shown_ratios()))
    wanted = {*made_for_paper(asked_of(name)), *named_here()}
    return [path for path in named if path in wanted]


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
    """The systems that the paper's claims compare, under every seed."""
    try:
        claims = read_claims(Path("paper/claims.yaml"))
        return systems_of(claims, config["ratios"], config["seeds"])
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
    # Of a run that ended before the rule made verdicts Snakemake has no record of them, and makes them where they are named.
    names = [*(f"{table}.csv" for table in tables), "scorecard.csv", "verdicts.json"]
    return expand("results/{run}/paper/{name}", run=RUN, name=names)
