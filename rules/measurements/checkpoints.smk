# What a trained checkpoint keeps of its documents and costs: recovery, grounding, efficiency, states
#
# docs/measurements.md describes each. Before joint training a checkpoint is named like a system, with its stage in place of `init`.


rule rewrite_documents:
    input:
        script=program("rewrite_documents"),
        prompts=PLAN.prompts("rewrite_documents"),
        checkpoint=lambda w: f"{owned(w.init, w.ratio, w.variant)}/card.json",
        weights=lambda w: f"{owned(w.init, w.ratio, w.variant)}/adapters.safetensors",
        pairs=rows_to_learn,
        candidates=candidates("test", ["oracle"]),
    output:
        rewritten="results/{run}/measurements/rewritten/{init}-cr{ratio}-{variant}.jsonl",
    log:
        "logs/{run}/rewrite_documents/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/rewrite_documents/{init}-cr{ratio}-{variant}.jsonl"
    priority: 10  # before the baselines; BERTScore may wait for it
    threads: CPU_THREADS
    resources:
        mem_mb=sized("rewrite_documents", "memory"),
        runtime=sized("rewrite_documents", "minutes"),
        gpu=gpus("rewrite_documents"),
        gpu_mem_mb=sized("rewrite_documents", "gpu_memory"),
        aside=lambda w: PLAN.aside("rewrite_documents", w.variant),
    params:
        settings=settings("rewrite_documents"),
        code=PLAN.code("rewrite_documents"),
        state=state("rewrite_documents"),
    message:
        "Rewriting documents from their memories at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q} --aside {resources.aside:q}"
        " --checkpoint {input.checkpoint:q} --pairs {input.pairs:q} --candidates {input.candidates:q}"
        " --system {wildcards.init}-cr{wildcards.ratio}-{wildcards.variant} --state {params.state:q}"
        " --rewritten {output.rewritten:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule measure_bert_score:
    input:
        script=program("measure_bert_score"),
        model=lambda w: PLAN.user_files("measure_bert_score"),
        rewritten="results/{run}/measurements/rewritten/{init}-cr{ratio}-{variant}.jsonl",
    output:
        measured="results/{run}/measurements/bert_score/{init}-cr{ratio}-{variant}.json",
    log:
        "logs/{run}/measure_bert_score/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/measure_bert_score/{init}-cr{ratio}-{variant}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("measure_bert_score", "memory"),
        runtime=sized("measure_bert_score", "minutes"),
        gpu=gpus("measure_bert_score"),
        gpu_mem_mb=sized("measure_bert_score", "gpu_memory"),
    params:
        settings=settings("measure_bert_score"),
        code=PLAN.code("measure_bert_score"),
    message:
        "BERTScore of rewritten documents at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --rewritten {input.rewritten:q} --measured {output.measured:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule score_recovery:
    input:
        script=program("score_recovery"),
        rewritten="results/{run}/measurements/rewritten/{init}-cr{ratio}-{variant}.jsonl",
        bert_score=lambda w: (
            "results/{run}/measurements/bert_score/{init}-cr{ratio}-{variant}.json"
            if PLAN.variants[w.variant]["measurements"]["recovery"]["bert_score"]
            else []
        ),
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
        " --rewritten {input.rewritten:q} --bert-score {input.bert_score:q} --scores {output.scores:q}"
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
        runtime=sized("score_grounding", "minutes"),
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
