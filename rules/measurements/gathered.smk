# What a run was made of, its seeds, the course of its trainings, and the figures of all that was measured
#
# docs/measurements.md describes each measurement.


rule measure_data:
    input:
        script=program("measure_data"),
        pairs="results/{run}/synthesis/pairs.parquet",
        review="results/{run}/synthesis/review.json",
        corpus="results/{run}/corpus/report.json",
        candidates=candidates("train", ["oracle"]) + candidates("test", POOLS),
        documents="results/{run}/corpus/documents.parquet",
        backbone="results/{run}/backbone/card.json",
    output:
        data="results/{run}/measurements/data.json",
    log:
        "logs/{run}/measure_data.log",
    benchmark:
        "benchmarks/{run}/measure_data.jsonl"
    threads: 1
    resources:
        mem_mb=sized("measure_data", "memory"),
        runtime=sized("measure_data", "minutes"),
    params:
        settings=settings("measure_data"),
        code=PLAN.code("measure_data"),
    message:
        "Describing the data"
    shell:
        "python {input.script} --settings {params.settings:q}"
        " --pairs {input.pairs:q} --review {input.review:q} --corpus-report {input.corpus:q} --candidates {input.candidates:q}"
        " --documents {input.documents:q} --backbone {input.backbone:q} --data {output.data:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule aggregate_seeds:
    input:
        script=program("aggregate_seeds"),
        metrics=expand(
            "results/{{run}}/evaluation/metrics/{system}.json", system=systems()
        ),
    output:
        table="results/{run}/evaluation/seeds.csv",
        scores="results/{run}/evaluation/seeds.json",
    log:
        "logs/{run}/aggregate_seeds.log",
    benchmark:
        "benchmarks/{run}/aggregate_seeds.jsonl"
    threads: 1
    resources:
        mem_mb=sized("aggregate_seeds", "memory"),
    params:
        settings=settings("aggregate_seeds"),
        code=PLAN.code("aggregate_seeds"),
    message:
        "Mean and spread over seeds"
    shell:
        "python {input.script} --settings {params.settings:q}"
        " --metrics {input.metrics:q} --scores {output.scores:q} --table {output.table:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule collect_training:
    input:
        script=program("collect_training"),
        histories=histories(),
    output:
        course="results/{run}/measurements/training.csv",
    log:
        "logs/{run}/collect_training.log",
    benchmark:
        "benchmarks/{run}/collect_training.jsonl"
    threads: 1
    resources:
        mem_mb=sized("collect_training", "memory"),
    params:
        settings=settings("collect_training"),
        code=PLAN.code("collect_training"),
    message:
        "Collecting the course of training"
    shell:
        "python {input.script} --settings {params.settings:q} --histories {input.histories:q} --course {output.course:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule draw_figure:
    input:
        script=program("draw_figure"),
        histories=lambda w: drawn_from(w.figure).get("histories", []),
        diagnostics=lambda w: drawn_from(w.figure).get("diagnostics", []),
        metrics=lambda w: drawn_from(w.figure).get("metrics", []),
        measured=lambda w: shown_in(w.figure),
    output:
        svg="results/{run}/figures/{figure}.svg",
        png="results/{run}/figures/{figure}.png",
    log:
        "logs/{run}/draw_figure/{figure}.log",
    benchmark:
        "benchmarks/{run}/draw_figure/{figure}.jsonl"
    threads: 1
    resources:
        mem_mb=sized("draw_figure", "memory"),
    params:
        settings=settings("draw_figure"),
        code=PLAN.code("draw_figure"),
    message:
        "Drawing {wildcards.figure}"
    shell:
        "python {input.script} --settings {params.settings:q}"
        " --histories {input.histories:q} --diagnostics {input.diagnostics:q} --metrics {input.metrics:q}"
        " --measured {input.measured:q} --figure {output.svg:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
