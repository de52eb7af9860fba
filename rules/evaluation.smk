# Predictions of CLaRa and of the baselines, and their scores, which can be made again without a model.


rule predict:
    input:
        script=program("predict"),
        prompts=PLAN.prompts("predict"),
        checkpoint=lambda w: f"{owned('joint', w.ratio, w.variant, w.init)}/card.json",
        weights=lambda w: f"{owned('joint', w.ratio, w.variant, w.init)}/adapters.safetensors",
        store=lambda w: f"{owned('compression', w.ratio, w.variant, w.init)}/manifest.json",
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/{init}-cr{ratio}-{variant}.jsonl",
    log:
        "logs/{run}/predict/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/predict/{init}-cr{ratio}-{variant}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("predict", "memory"),
        runtime=sized("predict", "minutes"),
        gpu=gpus("predict"),
        gpu_mem_mb=sized("predict", "gpu_memory"),
    params:
        settings=settings("predict"),
        code=PLAN.code("predict"),
        state=state("predict"),
    message:
        "Answering the test questions at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --store {input.store:q} --candidates {input.candidates:q}"
        " --system {wildcards.init}-cr{wildcards.ratio}-{wildcards.variant} --state {params.state:q}"
        " --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule predict_baseline:
    input:
        script=program("predict_baseline"),
        prompts=PLAN.prompts("predict_baseline"),
        backbone="results/{run}/backbone/card.json",
        checkpoint=lambda w: (
            [f"results/{RUN}/text_rag/card.json"]
            if w.baseline == "text_rag_tuned"
            else []
        ),
        weights=lambda w: (
            [f"results/{RUN}/text_rag/adapters.safetensors"]
            if w.baseline == "text_rag_tuned"
            else []
        ),
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/{baseline}.jsonl",
    log:
        "logs/{run}/predict_baseline/{baseline}.log",
    benchmark:
        "benchmarks/{run}/predict_baseline/{baseline}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("predict_baseline", "memory"),
        runtime=sized("predict_baseline", "minutes"),
        gpu=gpus("predict_baseline"),
        gpu_mem_mb=sized("predict_baseline", "gpu_memory"),
    params:
        settings=settings("predict_baseline"),
        code=PLAN.code("predict_baseline"),
    message:
        "Answering the test questions by the baseline {wildcards.baseline}"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --baseline {wildcards.baseline} --backbone {input.backbone:q} --checkpoint {input.checkpoint:q}"
        " --candidates {input.candidates:q}"
        " --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule predict_compressed_text:
    input:
        script=program("predict_compressed_text"),
        prompts=PLAN.prompts("predict_compressed_text"),
        model=lambda w: PLAN.user_files("predict_compressed_text", method=w.method),
        backbone="results/{run}/backbone/card.json",
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/{method}_cr{ratio}.jsonl",
    log:
        "logs/{run}/predict_compressed_text/{method}_cr{ratio}.log",
    benchmark:
        "benchmarks/{run}/predict_compressed_text/{method}_cr{ratio}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("predict_compressed_text", "memory"),
        runtime=sized("predict_compressed_text", "minutes"),
        gpu=gpus("predict_compressed_text"),
        gpu_mem_mb=sized("predict_compressed_text", "gpu_memory"),
    params:
        settings=settings("predict_compressed_text"),
        code=PLAN.code("predict_compressed_text"),
    message:
        "Answering from text cut by {wildcards.method} to ratio {wildcards.ratio}"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --method {wildcards.method} --ratio {wildcards.ratio} --backbone {input.backbone:q}"
        " --candidates {input.candidates:q} --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule predict_released:
    input:
        script=program("predict_released"),
        prompts=PLAN.prompts("predict_released"),
        source=lambda w: PLAN.user_files("predict_released", released=w.released),
        documents="results/{run}/corpus/documents.parquet",
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/released_{released}.jsonl",
    log:
        "logs/{run}/predict_released/{released}.log",
    benchmark:
        "benchmarks/{run}/predict_released/{released}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("predict_released", "memory"),
        runtime=sized("predict_released", "minutes"),
        gpu=gpus("predict_released"),
        gpu_mem_mb=sized("predict_released", "gpu_memory"),
    params:
        settings=settings("predict_released"),
        code=PLAN.code("predict_released"),
        state=lambda w: (
            f"state/{RUN}/predict_released/{w.released}/{PLAN.state('predict_released', released=w.released)}"
        ),
    message:
        "Answering with the released checkpoint {wildcards.released}"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q} --name {wildcards.released}"
        " --documents {input.documents:q} --candidates {input.candidates:q} --state {params.state:q}"
        " --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule rank_neural:
    input:
        script=program("rank_neural"),
        model=lambda w: PLAN.user_files("rank_neural", ranker=w.ranker),
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/{ranker}.jsonl",
    log:
        "logs/{run}/rank_neural/{ranker}.log",
    benchmark:
        "benchmarks/{run}/rank_neural/{ranker}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("rank_neural", "memory"),
        runtime=sized("rank_neural", "minutes"),
        gpu=gpus("rank_neural"),
        gpu_mem_mb=sized("rank_neural", "gpu_memory"),
    params:
        settings=settings("rank_neural"),
        code=PLAN.code("rank_neural"),
    message:
        "Ranking the pools by the model of {wildcards.ranker}"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q} --ranker {wildcards.ranker}"
        " --candidates {input.candidates:q} --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule rank_bm25:
    input:
        script=program("rank_bm25"),
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/bm25.jsonl",
    log:
        "logs/{run}/rank_bm25.log",
    benchmark:
        "benchmarks/{run}/rank_bm25.jsonl"
    threads: 1
    resources:
        mem_mb=sized("rank_bm25", "memory"),
    params:
        code=PLAN.code("rank_bm25"),
    message:
        "Ranking the pools by BM25"
    shell:
        "python {input.script} --candidates {input.candidates:q}"
        " --predictions {output.predictions:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule measure_memory_use:
    input:
        script=program("measure_memory_use"),
        prompts=PLAN.prompts("measure_memory_use"),
        checkpoint="results/{run}/{stage}/{name}/card.json",
        weights="results/{run}/{stage}/{name}/adapters.safetensors",
        history="results/{run}/{stage}/{name}/history.jsonl",
        candidates=candidates("test", ["oracle"]),
    output:
        memory_use="results/{run}/{stage}/{name}/memory_use.json",
        diagnostics="results/{run}/{stage}/{name}/diagnostics.json",
    log:
        "logs/{run}/measure_memory_use/{stage}/{name}.log",
    benchmark:
        "benchmarks/{run}/measure_memory_use/{stage}/{name}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("measure_memory_use", "memory"),
        runtime=sized("measure_memory_use", "minutes"),
        gpu=gpus("measure_memory_use"),
        gpu_mem_mb=sized("measure_memory_use", "gpu_memory"),
    params:
        settings=lambda w: PLAN.settings("measure_memory_use", variant_of(w.name)),
        code=PLAN.code("measure_memory_use"),
    message:
        "Measuring what the generator takes from its memories: {wildcards.stage} {wildcards.name}"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --history {input.history:q} --candidates {input.candidates:q}"
        " --memory-use {output.memory_use:q} --diagnostics {output.diagnostics:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule score:
    input:
        script=program("score"),
        predictions=lambda w: predictions(w.system),
    output:
        metrics="results/{run}/evaluation/metrics/{system}.json",
    log:
        "logs/{run}/score/{system}.log",
    benchmark:
        "benchmarks/{run}/score/{system}.jsonl"
    threads: 1
    resources:
        mem_mb=sized("score", "memory"),
    params:
        settings=lambda w: PLAN.settings("score", variant_of(w.system)),
        code=PLAN.code("score"),
    message:
        "Scoring {wildcards.system}"
    shell:
        "python {input.script} --settings {params.settings:q} --predictions {input.predictions:q}"
        " --metrics {output.metrics:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
