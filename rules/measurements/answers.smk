# Answers from documents other than the evaluation's: given ones, and fewer or more of those that were found
#
# docs/measurements.md describes each. Before joint training a checkpoint is named like a system, with its stage in place of `init`.


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


rule predict_given_compressed_text:
    input:
        script=program("predict_given_compressed_text"),
        prompts=PLAN.prompts("predict_given_compressed_text"),
        model=lambda w: PLAN.user_files(
            "predict_given_compressed_text", method=w.method
        ),
        backbone="results/{run}/backbone/card.json",
        candidates=candidates("test", POOLS),
    output:
        predictions="results/{run}/evaluation/predictions/given-{method}_cr{ratio}.jsonl",
    log:
        "logs/{run}/predict_given_compressed_text/{method}_cr{ratio}.log",
    benchmark:
        "benchmarks/{run}/predict_given_compressed_text/{method}_cr{ratio}.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("predict_given_compressed_text", "memory"),
        runtime=sized("predict_given_compressed_text", "minutes"),
        gpu=gpus("predict_given_compressed_text"),
        gpu_mem_mb=sized("predict_given_compressed_text", "gpu_memory"),
    params:
        settings=settings("predict_given_compressed_text"),
        code=PLAN.code("predict_given_compressed_text"),
    message:
        "Answering from the text of given documents, cut by {wildcards.method} to ratio {wildcards.ratio}"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --method {wildcards.method} --ratio {wildcards.ratio} --backbone {input.backbone:q}"
        " --candidates {input.candidates:q} --predictions {output.predictions:q}"
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
