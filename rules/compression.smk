# Every document of the pools becomes a few memory vectors, once, in a store that later stages read.


rule compress_documents:
    input:
        script=program("compress_documents"),
        prompts=PLAN.prompts("compress_documents"),
        checkpoint=lambda w: f"{owned(w.init, w.ratio, w.variant)}/card.json",
        weights=lambda w: f"{owned(w.init, w.ratio, w.variant)}/adapters.safetensors",
        documents="results/{run}/corpus/documents.parquet",
    output:
        manifest="results/{run}/compression/{init}-cr{ratio}-{variant}/manifest.json",
    log:
        "logs/{run}/compress_documents/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/compress_documents/{init}-cr{ratio}-{variant}.jsonl"
    priority: 10  # before the baselines, which nothing waits for
    threads: CPU_THREADS
    resources:
        mem_mb=sized("compress_documents", "memory"),
        runtime=sized("compress_documents", "minutes"),
        gpu=gpus("compress_documents"),
        gpu_mem_mb=sized("compress_documents", "gpu_memory"),
    params:
        settings=settings("compress_documents"),
        code=PLAN.code("compress_documents"),
        state=state("compress_documents"),
    message:
        "Compressing the documents at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --documents {input.documents:q} --state {params.state:q}"
        " --manifest {output.manifest:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
