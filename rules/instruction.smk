# Compression instruction tuning: answers from compressed documents (the paper's stage 1_2).


rule tune_instructions:
    input:
        script=program("tune_instructions"),
        prompts=PLAN.prompts("tune_instructions"),
        checkpoint=lambda w: f"{owned('pretraining', w.ratio, w.variant)}/card.json",
        weights=lambda w: f"{owned('pretraining', w.ratio, w.variant)}/adapters.safetensors",
        candidates=candidates("train", ["oracle"]),
    output:
        card="results/{run}/instruction/cr{ratio}-{variant}/card.json",
        weights="results/{run}/instruction/cr{ratio}-{variant}/adapters.safetensors",
        history="results/{run}/instruction/cr{ratio}-{variant}/history.jsonl",
        settings="results/{run}/instruction/cr{ratio}-{variant}/settings.json",
        environment="results/{run}/instruction/cr{ratio}-{variant}/environment.json",
    log:
        "logs/{run}/tune_instructions/cr{ratio}-{variant}.log",
    benchmark:
        "benchmarks/{run}/tune_instructions/cr{ratio}-{variant}.jsonl"
    priority: 10  # before the baselines, which nothing waits for
    threads: 1
    resources:
        mem_mb=sized("tune_instructions", "memory"),
        runtime=sized("tune_instructions", "minutes"),
        gpu=gpus("tune_instructions"),
    params:
        settings=settings("tune_instructions"),
        code=PLAN.code("tune_instructions"),
        state=state("tune_instructions"),
    message:
        "Tuning on questions over compressed documents at ratio {wildcards.ratio} ({wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python workflow_scripts/launch.py {input.script} --settings {params.settings:q}"
        " --checkpoint {input.checkpoint:q} --candidates {input.candidates:q} --state {params.state:q}"
        " --card {output.card:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
