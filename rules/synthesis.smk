# Questions, answers and paraphrases made from passages: what pretraining learns from.


rule synthesize:
    input:
        script=program("synthesize"),
        prompts=PLAN.prompts("synthesize"),
        published=PLAN.user_files("synthesize"),
        passages="results/{run}/corpus/passages.parquet",
        backbone="results/{run}/backbone/card.json",
    output:
        pairs="results/{run}/synthesis/pairs.parquet",
        rejected="results/{run}/synthesis/rejected.parquet",
        report="results/{run}/synthesis/report.json",
    log:
        "logs/{run}/synthesize.log",
    benchmark:
        "benchmarks/{run}/synthesize.jsonl"
    priority: 10  # before the baselines, which nothing waits for
    threads: 1
    resources:
        mem_mb=3500,
    params:
        settings=settings("synthesize"),
        code=PLAN.code("synthesize"),
        # One folder for all settings: the replies in it are kept under the hash of what was asked, of whom and how.
        state="state/{run}/synthesize",
    message:
        "Synthesizing questions, answers and paraphrases"
    shell:
        "OMP_NUM_THREADS={threads} python {input.script} --settings {params.settings:q} --passages {input.passages:q}"
        " --backbone {input.backbone:q} --state {params.state:q} --pairs {output.pairs:q}"
        " --rejected {output.rejected:q} --report {output.report:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
