# Compression instruction tuning: answers from compressed documents (the paper's stage 1_2).


rule tune_instructions:
    input:
        script=program("tune_instructions"),
        prompts=PLAN.prompts("tune_instructions"),
        checkpoint=lambda w: f"{owned('pretraining', w.ratio, w.variant)}/card.json",
        weights=lambda w: f"{owned('pretraining', w.ratio, w.variant)}/adapters.safetensors",
        candidates=candidates("train", ["oracle"]),
        teacher=teacher_answers,
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
    threads: CPU_THREADS
    resources:
        mem_mb=sized("tune_instructions", "memory"),
        runtime=sized("tune_instructions", "minutes"),
        gpu=gpus("tune_instructions"),
        gpu_mem_mb=sized("tune_instructions", "gpu_memory"),
        aside=lambda w: PLAN.aside("tune_instructions", w.variant),
    params:
        settings=settings("tune_instructions"),
        code=PLAN.code("tune_instructions"),
        state=state("tune_instructions"),
    message:
        "Tuning on questions over compressed documents at ratio {wildcards.ratio} ({wildcards.variant})"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python workflow_scripts/launch.py {input.script} --settings {params.settings:q} --aside {resources.aside:q}"
        " --checkpoint {input.checkpoint:q} --teacher {input.teacher:q} --candidates {input.candidates:q}"
        " --state {params.state:q} --card {output.card:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule answer_as_teacher:
    input:
        script=program("answer_as_teacher"),
        prompts=PLAN.prompts("answer_as_teacher"),
        backbone="results/{run}/backbone/card.json",
        candidates=candidates("train", ["oracle"]),
    output:
        answers="results/{run}/teacher/answers.jsonl",
    log:
        "logs/{run}/answer_as_teacher.log",
    benchmark:
        "benchmarks/{run}/answer_as_teacher.jsonl"
    threads: CPU_THREADS
    resources:
        mem_mb=sized("answer_as_teacher", "memory"),
        runtime=sized("answer_as_teacher", "minutes"),
        gpu=gpus("answer_as_teacher"),
        gpu_mem_mb=sized("answer_as_teacher", "gpu_memory"),
    params:
        settings=settings("answer_as_teacher"),
        code=PLAN.code("answer_as_teacher"),
    message:
        "Answering the training questions from text, to learn from"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python {input.script} --settings {params.settings:q}"
        " --backbone {input.backbone:q} --candidates {input.candidates:q} --answers {output.answers:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule tune_text_rag:
    input:
        script=program("tune_text_rag"),
        prompts=PLAN.prompts("tune_text_rag"),
        backbone="results/{run}/backbone/card.json",
        candidates=candidates("train", ["oracle"]),
    output:
        card="results/{run}/text_rag/card.json",
        weights="results/{run}/text_rag/adapters.safetensors",
        history="results/{run}/text_rag/history.jsonl",
        settings="results/{run}/text_rag/settings.json",
        environment="results/{run}/text_rag/environment.json",
    log:
        "logs/{run}/tune_text_rag.log",
    benchmark:
        "benchmarks/{run}/tune_text_rag.jsonl"
    priority: 10  # the tuned baseline answers with it
    threads: CPU_THREADS
    resources:
        mem_mb=sized("tune_text_rag", "memory"),
        runtime=sized("tune_text_rag", "minutes"),
        gpu=gpus("tune_text_rag"),
        gpu_mem_mb=sized("tune_text_rag", "gpu_memory"),
        aside=lambda w: PLAN.aside("tune_text_rag"),
    params:
        settings=settings("tune_text_rag"),
        code=PLAN.code("tune_text_rag"),
        state=state("tune_text_rag"),
    message:
        "Tuning the backbone on answering from text"
    shell:
        "OMP_NUM_THREADS={threads} CLARA_GPUS={resources.gpu} python workflow_scripts/launch.py {input.script} --settings {params.settings:q} --aside {resources.aside:q}"
        " --backbone {input.backbone:q} --candidates {input.candidates:q} --state {params.state:q}"
        " --card {output.card:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
