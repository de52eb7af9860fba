# One page with all tables and figures, and each of them as a file.
#
# `files` are copies of what other steps made, so that the folder can be moved. Copies of the paper's tables lie there as well
# and are no named outputs: a command that names a file of numbers fills more tables than its configuration.


rule build_report:
    input:
        script=program("build_report"),
        metrics=expand(
            "results/{{run}}/evaluation/metrics/{system}.json", system=systems()
        ),
        predictions=list(dict.fromkeys(predictions(system) for system in systems())),
        candidates=candidates("test", POOLS),
        histories=histories(),
        memory_use=every("pretraining", "memory_use.json")
        + every("instruction", "memory_use.json")
        + every("joint", "memory_use.json"),
        diagnostics=every("pretraining", "diagnostics.json")
        + every("instruction", "diagnostics.json")
        + every("joint", "diagnostics.json"),
        corpus="results/{run}/corpus/report.json",
        synthesis="results/{run}/synthesis/review.json",
        scorecard="results/{run}/paper/scorecard.json",
        scorecard_forms=expand(
            "results/{{run}}/paper/scorecard.{form}", form=["csv", "md", "tex"]
        ),
        tables=expand("results/{{run}}/paper/{table}.csv", table=filled_tables()),
        table_forms=expand(
            "results/{{run}}/paper/{table}.{form}",
            table=filled_tables(),
            form=["md", "tex", "diff.md", "macros.tex"],
        ),
        data=data_file(),
        seeds=seeds_file(),
        figures=drawn_figures(),
        figure_forms=[f"{path[:-4]}.png" for path in drawn_figures()],
        samples="results/{run}/synthesis/samples.html",
        # What stands behind the paper's tables, figures and scorecard, and not in the lists above.
        numbers=sorted(
            {
                *(path for table in filled_tables() for path in table_results(table)),
                *(
                    path
                    for figure in drawn_figures()
                    for path in shown_in(Path(figure).stem)
                ),
                *claimed_predictions(),
            }
            - {
                *(
                    f"results/{RUN}/evaluation/metrics/{system}.json"
                    for system in systems()
                ),
                *(predictions(system) for system in systems()),
                *data_file(),
            }
        ),
        specifications=expand("paper/tables/{table}.yaml", table=paper_tables()),
        templates=sorted(
            str(path) for path in Path("clara/evaluation/templates").iterdir()
        ),
    output:
        page=report("results/{run}/report/index.html", category="Page"),
        results_csv=report("results/{run}/report/tables/results.csv", category="Tables"),
        results_md="results/{run}/report/tables/results.md",
        results_tex="results/{run}/report/tables/results.tex",
        memory_use_csv=report(
            "results/{run}/report/tables/memory_use.csv", category="Tables"
        ),
        memory_use_md="results/{run}/report/tables/memory_use.md",
        memory_use_tex="results/{run}/report/tables/memory_use.tex",
        comparisons_csv=report(
            "results/{run}/report/tables/comparisons.csv", category="Tables"
        ),
        comparisons_md="results/{run}/report/tables/comparisons.md",
        comparisons_tex="results/{run}/report/tables/comparisons.tex",
        seeds=expand(
            "results/{{run}}/report/tables/seeds.{form}",
            form=["csv", "md", "tex"] if config["seeds"] else [],
        ),
        files=expand(
            "results/{{run}}/report/files/{name}",
            name=[f"scorecard.{form}" for form in ["csv", "md", "tex", "json"]]
            + [Path(path).name for path in [*drawn_figures(), *seeds_file()]]
            + [f"{Path(path).stem}.png" for path in drawn_figures()]
            + ["samples.html", "review.json"],
        ),
        loss=report("results/{run}/report/figures/loss.svg", category="Figures"),
        recall=report("results/{run}/report/figures/recall.svg", category="Figures"),
        memory_use=report(
            "results/{run}/report/figures/memory_use.svg", category="Figures"
        ),
        answers=report("results/{run}/report/figures/answers.svg", category="Figures"),
        png=expand(
            "results/{{run}}/report/figures/{name}.png",
            name=["loss", "recall", "memory_use", "answers"],
        ),
    log:
        "logs/{run}/build_report.log",
    benchmark:
        "benchmarks/{run}/build_report.jsonl"
    threads: 1
    resources:
        mem_mb=sized("build_report", "memory"),
    params:
        settings=settings("build_report"),
        code=PLAN.code("build_report"),
    message:
        "Writing the report"
    shell:
        "python {input.script} --settings {params.settings:q} --metrics {input.metrics:q} --histories {input.histories:q}"
        " --memory-use {input.memory_use:q} --diagnostics {input.diagnostics:q} --corpus-report {input.corpus:q} --synthesis-report {input.synthesis:q}"
        " --scorecard {input.scorecard:q} --paper-tables {input.tables:q} --specifications {input.specifications:q} --data {input.data:q} --seeds {input.seeds:q} --paper-figures {input.figures:q}"
        " --samples {input.samples:q} --numbers {input.numbers:q}"
        " --predictions {input.predictions:q} --candidates {input.candidates:q} --page {output.page:q}"
        " --results-csv {output.results_csv:q} --results-md {output.results_md:q} --results-tex {output.results_tex:q}"
        " --memory-use-csv {output.memory_use_csv:q} --memory-use-md {output.memory_use_md:q}"
        " --memory-use-tex {output.memory_use_tex:q} --comparisons-csv {output.comparisons_csv:q}"
        " --comparisons-md {output.comparisons_md:q} --comparisons-tex {output.comparisons_tex:q} --loss-figure {output.loss:q} --recall-figure {output.recall:q}"
        " --memory-use-figure {output.memory_use:q} --answers-figure {output.answers:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
