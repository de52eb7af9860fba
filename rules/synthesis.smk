# Questions, answers and paraphrases made from passages: what pretraining learns from.


rule synthesize:
    input:
        script=program("synthesize"),
        prompts=PLAN.prompts("synthesize"),
        source=PLAN.user_files("synthesize"),
        passages="results/{run}/corpus/passages.parquet",
        backbone="results/{run}/backbone/card.json",
    output:
        pairs="results/{run}/synthesis/shards/{shard}-of-{shards}/pairs.parquet",
        rejected="results/{run}/synthesis/shards/{shard}-of-{shards}/rejected.parquet",
        report="results/{run}/synthesis/shards/{shard}-of-{shards}/report.json",
    log:
        "logs/{run}/synthesize/{shard}-of-{shards}.log",
    benchmark:
        "benchmarks/{run}/synthesize/{shard}-of-{shards}.jsonl"
    priority: 10  # before the baselines, which nothing waits for
    threads: CPU_THREADS
    resources:
        mem_mb=sized("synthesize", "memory"),
        runtime=sized("synthesize", "minutes"),
        gpu=gpus("synthesize"),
        gpu_mem_mb=sized("synthesize", "gpu_memory"),
        aside=lambda w: PLAN.aside("synthesize"),
    params:
        settings=settings("synthesize"),
        code=PLAN.code("synthesize"),
        # One folder for all settings: the replies in it are kept under the hash of what was asked, of whom and how. One
        # for each shard, because SQLite does not bear two machines in one file.
        state="state/{run}/synthesize/{shard}-of-{shards}",
    message:
        "Synthesizing questions, answers and paraphrases, shard {wildcards.shard} of {wildcards.shards}"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q} --aside {resources.aside:q} --shard {wildcards.shard}"
        " --passages {input.passages:q} --backbone {input.backbone:q} --state {params.state:q} --pairs {output.pairs:q}"
        " --rejected {output.rejected:q} --report {output.report:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule gather_pairs:
    input:
        script=program("gather_pairs"),
        pairs=shards("pairs.parquet"),
        rejected=shards("rejected.parquet"),
        reports=shards("report.json"),
        # The pairs depend on the test questions only where these decide.
        questions=test_questions() if config["synthesis"]["exclude_leaks"] else [],
    output:
        pairs="results/{run}/synthesis/pairs.parquet",
        rejected="results/{run}/synthesis/rejected.parquet",
        report="results/{run}/synthesis/report.json",
    log:
        "logs/{run}/gather_pairs.log",
    benchmark:
        "benchmarks/{run}/gather_pairs.jsonl"
    priority: 20  # a step with a model waits for it
    threads: 1
    resources:
        mem_mb=sized("gather_pairs", "memory"),
        runtime=sized("gather_pairs", "minutes"),
    params:
        settings=settings("gather_pairs"),
        code=PLAN.code("gather_pairs"),
    message:
        "Gathering the synthesized pairs"
    shell:
        "python {input.script} --settings {params.settings:q} --shard-pairs {input.pairs:q}"
        " --shard-rejected {input.rejected:q} --shard-reports {input.reports:q} --questions {input.questions:q}"
        " --pairs {output.pairs:q} --rejected {output.rejected:q} --report {output.report:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule export_pairs:
    input:
        script=program("export_pairs"),
        pairs="results/{run}/synthesis/pairs.parquet",
    output:
        export="results/{run}/synthesis/exports/{export,pairs|released}.jsonl",
    log:
        "logs/{run}/export_pairs/{export}.log",
    benchmark:
        "benchmarks/{run}/export_pairs/{export}.jsonl"
    threads: 1
    resources:
        mem_mb=sized("export_pairs", "memory"),
        runtime=sized("export_pairs", "minutes"),
    params:
        settings=settings("export_pairs"),
        code=PLAN.code("export_pairs"),
    message:
        "Writing the synthesized pairs as {wildcards.export}.jsonl"
    shell:
        "python {input.script} --settings {params.settings:q} --pairs {input.pairs:q} --export {output.export:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule review_pairs:
    input:
        script=program("review_pairs"),
        template="clara/synthesis/samples.html.jinja",
        pairs="results/{run}/synthesis/pairs.parquet",
        rejected="results/{run}/synthesis/rejected.parquet",
        report="results/{run}/synthesis/report.json",
        questions=test_questions(),
    output:
        review="results/{run}/synthesis/review.json",
        page=report("results/{run}/synthesis/samples.html", category="Page"),
    log:
        "logs/{run}/review_pairs.log",
    benchmark:
        "benchmarks/{run}/review_pairs.jsonl"
    threads: 1
    resources:
        mem_mb=sized("review_pairs", "memory"),
        runtime=sized("review_pairs", "minutes"),
    params:
        settings=settings("review_pairs"),
        code=PLAN.code("review_pairs"),
    message:
        "Reviewing a sample of the pairs"
    shell:
        "python {input.script} --settings {params.settings:q} --pairs {input.pairs:q} --rejected {input.rejected:q}"
        " --report {input.report:q} --questions {input.questions:q} --review {output.review:q} --page {output.page:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
