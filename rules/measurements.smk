# Measurements beside the scores: what the paper's other tables and figures need. docs/measurements.md describes each.
#
# Before joint training a checkpoint is named like a system, with its stage in place of `init`.


rule predict_given:
    input:
        script=program("predict_given"),
        prompts=PLAN.prompts("predict_given"),
        checkpoint=lambda w: f"{owned(w.init, w.ratio, w.variant)}/card.json",
        weights=lambda w: f"{owned(w.init, w.ratio, w.variant)}/adapters.safetensors",
        store=lambda w: f"{owned('compression', w.ratio, w.variant, w.init)}/manifest.json",
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/given-{init}-cr{ratio}-{variant}.jsonl",
    log:
        "logs/{run}/predict_given/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/predict_given/{init}-cr{ratio}-{variant}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("predict_given", "memory"),
        runtime=sized("predict_given", "minutes"),
        gpu=gpus("predict_given"),
        gpu_mem_mb=sized("predict_given", "gpu_memory"),
    params:
        settings=settings("predict_given"),
        code=PLAN.code("predict_given"),
        state=state("predict_given"),
    message:
        "Answering from given documents at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --store {input.store:q} --candidates {input.candidates:q}"
        " --system given-{wildcards.init}-cr{wildcards.ratio}-{wildcards.variant} --state {params.state:q}"
        " --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule predict_given_text:
    input:
        script=program("predict_given_text"),
        prompts=PLAN.prompts("predict_given_text"),
        backbone="results/{run}/backbone/card.json",
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/given-text.jsonl",
    log:
        "logs/{run}/predict_given_text.log",
    benchmark:
        "benchmarks/{run}/predict_given_text.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("predict_given_text", "memory"),
        runtime=sized("predict_given_text", "minutes"),
        gpu=gpus("predict_given_text"),
        gpu_mem_mb=sized("predict_given_text", "gpu_memory"),
    params:
        settings=settings("predict_given_text"),
        code=PLAN.code("predict_given_text"),
    message:
        "Answering from the text of given documents"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --backbone {input.backbone:q} --candidates {input.candidates:q} --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule predict_by_k:
    input:
        script=program("predict_by_k"),
        prompts=PLAN.prompts("predict_by_k"),
        checkpoint=lambda w: f"{owned('joint', w.ratio, w.variant, w.init)}/card.json",
        weights=lambda w: f"{owned('joint', w.ratio, w.variant, w.init)}/adapters.safetensors",
        store=lambda w: f"{owned('compression', w.ratio, w.variant, w.init)}/manifest.json",
        candidates=candidates("test", POOLS),
    output:
        predictions=expand(
            "results/{{run}}/evaluation/predictions/{{init}}-cr{{ratio}}-{{variant}}-k{k}.jsonl",
            k=config["measurements"]["by_k"],
        ),
    log:
        "logs/{run}/predict_by_k/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/predict_by_k/{init}-cr{ratio}-{variant}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("predict_by_k", "memory"),
        runtime=sized("predict_by_k", "minutes"),
        gpu=gpus("predict_by_k"),
        gpu_mem_mb=sized("predict_by_k", "gpu_memory"),
    params:
        settings=settings("predict_by_k"),
        code=PLAN.code("predict_by_k"),
        state=state("predict_by_k"),
    message:
        "Answering from k documents, for every k, at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --store {input.store:q} --candidates {input.candidates:q}"
        " --system {wildcards.init}-cr{wildcards.ratio}-{wildcards.variant} --state {params.state:q}"
        " --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule score_by_k:
    input:
        script=program("score_by_k"),
        predictions=expand(
            "results/{{run}}/evaluation/predictions/{{init}}-cr{{ratio}}-{{variant}}-k{k}.jsonl",
            k=config["measurements"]["by_k"],
        ),
    output:
        scores="results/{run}/measurements/by_k/{init}-cr{ratio}-{variant}.json",
    log:
        "logs/{run}/score_by_k/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/score_by_k/{init}-cr{ratio}-{variant}.jsonl"
    threads: 1
    resources:
        mem_mb=sized("score_by_k", "memory"),
    params:
        settings=settings("score_by_k"),
        code=PLAN.code("score_by_k"),
    message:
        "Scoring answers by k at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "python {input.script} --settings {params.settings:q}"
        " --predictions {input.predictions:q} --scores {output.scores:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule rewrite_documents:
    input:
        script=program("rewrite_documents"),
        prompts=PLAN.prompts("rewrite_documents"),
        checkpoint=lambda w: f"{owned(w.init, w.ratio, w.variant)}/card.json",
        weights=lambda w: f"{owned(w.init, w.ratio, w.variant)}/adapters.safetensors",
        pairs=rows_to_learn,
        candidates=candidates("test", ["oracle"]),
    output:
        rewritten="results/{run}/measurements/recovery/{init}-cr{ratio}-{variant}.jsonl",
    log:
        "logs/{run}/rewrite_documents/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/rewrite_documents/{init}-cr{ratio}-{variant}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("rewrite_documents", "memory"),
        runtime=sized("rewrite_documents", "minutes"),
        gpu=gpus("rewrite_documents"),
        gpu_mem_mb=sized("rewrite_documents", "gpu_memory"),
    params:
        settings=settings("rewrite_documents"),
        code=PLAN.code("rewrite_documents"),
        state=state("rewrite_documents"),
    message:
        "Rewriting documents from their memories at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --pairs {input.pairs:q} --candidates {input.candidates:q}"
        " --system {wildcards.init}-cr{wildcards.ratio}-{wildcards.variant} --state {params.state:q}"
        " --rewritten {output.rewritten:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule score_recovery:
    input:
        script=program("score_recovery"),
        rewritten="results/{run}/measurements/recovery/{init}-cr{ratio}-{variant}.jsonl",
    output:
        scores="results/{run}/measurements/recovery/{init}-cr{ratio}-{variant}.json",
    log:
        "logs/{run}/score_recovery/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/score_recovery/{init}-cr{ratio}-{variant}.jsonl"
    threads: 1
    resources:
        mem_mb=sized("score_recovery", "memory"),
    params:
        settings=settings("score_recovery"),
        code=PLAN.code("score_recovery"),
    message:
        "Comparing rewritten documents at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "python {input.script} --settings {params.settings:q}"
        " --rewritten {input.rewritten:q} --scores {output.scores:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule score_grounding:
    input:
        script=program("score_grounding"),
        prompts=PLAN.prompts("score_grounding"),
        predictions=lambda w: predictions(w.system),
        candidates=candidates("test", POOLS),
    output:
        scores="results/{run}/measurements/grounding/{system}.json",
    log:
        "logs/{run}/score_grounding/{system}.log",
    benchmark:
        "benchmarks/{run}/score_grounding/{system}.jsonl"
    threads: 1
    resources:
        mem_mb=sized("score_grounding", "memory"),
    params:
        settings=lambda w: PLAN.settings("score_grounding", variant_of(w.system)),
        code=PLAN.code("score_grounding"),
        state="state/{run}/score_grounding/{system}",
    message:
        "Grounding of the answers of {wildcards.system}"
    shell:
        "python {input.script} --settings {params.settings:q}"
        " --predictions {input.predictions:q} --candidates {input.candidates:q} --state {params.state:q}"
        " --scores {output.scores:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule measure_efficiency:
    input:
        script=program("measure_efficiency"),
        prompts=PLAN.prompts("measure_efficiency"),
        checkpoint=lambda w: f"{owned('joint', w.ratio, w.variant, w.init)}/card.json",
        weights=lambda w: f"{owned('joint', w.ratio, w.variant, w.init)}/adapters.safetensors",
        store=lambda w: f"{owned('compression', w.ratio, w.variant, w.init)}/manifest.json",
        backbone="results/{run}/backbone/card.json",
        candidates=candidates("test", ["oracle"]),
    output:
        measured="results/{run}/measurements/efficiency/{init}-cr{ratio}-{variant}.json",
    log:
        "logs/{run}/measure_efficiency/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/measure_efficiency/{init}-cr{ratio}-{variant}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("measure_efficiency", "memory"),
        runtime=sized("measure_efficiency", "minutes"),
        gpu=gpus("measure_efficiency"),
        gpu_mem_mb=sized("measure_efficiency", "gpu_memory"),
    params:
        settings=settings("measure_efficiency"),
        code=PLAN.code("measure_efficiency"),
    message:
        "Timing answers at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --store {input.store:q} --backbone {input.backbone:q}"
        " --candidates {input.candidates:q} --measured {output.measured:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule measure_states:
    input:
        script=program("measure_states"),
        prompts=PLAN.prompts("measure_states"),
        checkpoint=lambda w: f"{owned(w.init, w.ratio, w.variant)}/card.json",
        weights=lambda w: f"{owned(w.init, w.ratio, w.variant)}/adapters.safetensors",
        documents="results/{run}/corpus/documents.parquet",
    output:
        states="results/{run}/measurements/states/{init}-cr{ratio}-{variant}.json",
    log:
        "logs/{run}/measure_states/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/measure_states/{init}-cr{ratio}-{variant}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("measure_states", "memory"),
        runtime=sized("measure_states", "minutes"),
        gpu=gpus("measure_states"),
        gpu_mem_mb=sized("measure_states", "gpu_memory"),
    params:
        settings=settings("measure_states"),
        code=PLAN.code("measure_states"),
    message:
        "Comparing memory and document states at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --documents {input.documents:q} --states {output.states:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


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
        histories=lambda w: (
            [] if w.figure in ("logit_lens", "recall_bars") else histories()
        ),
        diagnostics=lambda w: (
            every("joint", "diagnostics.json") if w.figure == "logit_lens" else []
        ),
        metrics=lambda w: (
            expand(
                "results/{run}/evaluation/metrics/{system}.json",
                run=RUN,
                system=systems(),
            )
            if w.figure == "recall_bars"
            else []
        ),
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
