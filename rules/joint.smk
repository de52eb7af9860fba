# Query reasoner and generator learn together through the selection (the paper's stage 2).


rule train_joint:
    input:
        script=program("train_joint"),
        prompts=PLAN.prompts("train_joint"),
        checkpoint=lambda w: f"{owned(w.init, w.ratio, w.variant)}/card.json",
        weights=lambda w: f"{owned(w.init, w.ratio, w.variant)}/adapters.safetensors",
        store=lambda w: f"{owned('compression', w.ratio, w.variant, w.init)}/manifest.json",
        candidates=candidates("train", ["oracle"]),
    output:
        card="results/{run}/joint/{init}-cr{ratio}-{variant}/card.json",
        weights="results/{run}/joint/{init}-cr{ratio}-{variant}/adapters.safetensors",
        history="results/{run}/joint/{init}-cr{ratio}-{variant}/history.jsonl",
        settings="results/{run}/joint/{init}-cr{ratio}-{variant}/settings.json",
        environment="results/{run}/joint/{init}-cr{ratio}-{variant}/environment.json",
    log:
        "logs/{run}/train_joint/{init}-cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/train_joint/{init}-cr{ratio}-{variant}.jsonl"
    priority: 10  # before the baselines, which nothing waits for
    threads: CPU_THREADS
    resources:
        mem_mb=sized("train_joint", "memory"),
        runtime=sized("train_joint", "minutes"),
        gpu=gpus("train_joint"),
        gpu_mem_mb=sized("train_joint", "gpu_memory"),
        aside=lambda w: PLAN.aside("train_joint", w.variant),
    params:
        settings=settings("train_joint"),
        code=PLAN.code("train_joint"),
        state=state("train_joint"),
    message:
        "Training selection and answers together at ratio {wildcards.ratio} ({wildcards.init}, {wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python workflow_scripts/launch.py {input.script} --settings {params.settings:q} --aside {resources.aside:q}"
        " --checkpoint {input.checkpoint:q} --store {input.store:q} --candidates {input.candidates:q}"
        " --state {params.state:q} --card {output.card:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
