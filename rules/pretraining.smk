# The compressor learns to keep what a document says (the paper's stage 1).


rule pretrain:
    input:
        script=program("pretrain"),
        prompts=PLAN.prompts("pretrain"),
        pairs=rows_to_learn,
        backbone="results/{run}/backbone/card.json",
    output:
        card="results/{run}/pretraining/cr{ratio}-{variant}/card.json",
        weights="results/{run}/pretraining/cr{ratio}-{variant}/adapters.safetensors",
        history="results/{run}/pretraining/cr{ratio}-{variant}/history.jsonl",
        settings="results/{run}/pretraining/cr{ratio}-{variant}/settings.json",
        environment="results/{run}/pretraining/cr{ratio}-{variant}/environment.json",
    log:
        "logs/{run}/pretrain/cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/pretrain/cr{ratio}-{variant}.jsonl"
    priority: 10  # before the baselines, which nothing waits for
    threads: CPU_THREADS
    resources:
        mem_mb=sized("pretrain", "memory"),
        runtime=sized("pretrain", "minutes"),
        gpu=gpus("pretrain"),
        gpu_mem_mb=sized("pretrain", "gpu_memory"),
        aside=lambda w: PLAN.aside("pretrain", w.variant),
    params:
        settings=settings("pretrain"),
        code=PLAN.code("pretrain"),
        state=state("pretrain"),
    message:
        "Pretraining the compressor at ratio {wildcards.ratio} ({wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python workflow_scripts/launch.py {input.script} --settings {params.settings:q} --aside {resources.aside:q}"
        " --ratio {wildcards.ratio} --pairs {input.pairs:q} --backbone {input.backbone:q}"
        " --state {params.state:q} --card {output.card:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
