# The paper's tables, as paper/tables specifies them, and the scorecard of its claims (docs/paper.md).
#
# A table asks for nothing that the configuration does not make anyway: what it lacks stands in it with the command. It keeps
# what a command has made beside.


rule make_paper_table:
    input:
        script=program("make_paper_table"),
        table="paper/tables/{table}.yaml",
        values="paper/values/{table}.csv",
        results=lambda w: table_results(w.table),
        data=lambda w: data_file() if "{ratio}" in str(table_of(w.table)) else [],
    output:
        csv=report("results/{run}/paper/{table}.csv", category="Paper"),
        markdown="results/{run}/paper/{table}.md",
        latex="results/{run}/paper/{table}.tex",
        diff="results/{run}/paper/{table}.diff.md",
        macros="results/{run}/paper/{table}.macros.tex",
        numbers="results/{run}/paper/{table}.json",
    log:
        "logs/{run}/make_paper_table/{table}.log",
    benchmark:
        "benchmarks/{run}/make_paper_table/{table}.jsonl"
    threads: 1
    resources:
        mem_mb=500,
    params:
        settings=settings("make_paper_table"),
        equal=lambda w: json.dumps(
            EQUALS.among(table_of(w.table).systems(shown_ratios()))
        ),
        departures=lambda w: departures_of(table_of(w.table).source),
        code=PLAN.code("make_paper_table"),
    message:
        "Filling {wildcards.table} of the paper"
    shell:
        "python {input.script} --settings {params.settings:q} --table {input.table:q} --values {input.values:q}"
        " --results {input.results:q} --equal {params.equal:q} --departures {params.departures:q} --data {input.data:q} --csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q}"
        " --diff {output.diff:q} --macros {output.macros:q} --numbers {output.numbers:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule make_scorecard:
    input:
        script=program("make_scorecard"),
        claims="paper/claims.yaml",
        values=expand("paper/values/{table}.csv", table=paper_tables()),
        predictions=claimed_predictions(),
        data=data_file(),
    output:
        json=report("results/{run}/paper/scorecard.json", category="Paper"),
        markdown="results/{run}/paper/scorecard.md",
        csv="results/{run}/paper/scorecard.csv",
        latex="results/{run}/paper/scorecard.tex",
        verdicts="results/{run}/paper/verdicts.json",
    log:
        "logs/{run}/make_scorecard.log",
    benchmark:
        "benchmarks/{run}/make_scorecard.jsonl"
    threads: 1
    resources:
        mem_mb=1500,
    params:
        settings=settings("make_scorecard"),
        equal=json.dumps(EQUALS.among(claimed_systems())),
        departures=departures_of("scores"),
        code=PLAN.code("make_scorecard"),
    message:
        "Testing the paper's claims"
    shell:
        "python {input.script} --settings {params.settings:q} --claims {input.claims:q} --values {input.values:q}"
        " --predictions {input.predictions:q} --data {input.data:q} --equal {params.equal:q} --departures {params.departures:q}"
        " --json {output.json:q} --markdown {output.markdown:q} --csv {output.csv:q} --latex {output.latex:q}"
        " --verdicts {output.verdicts:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
