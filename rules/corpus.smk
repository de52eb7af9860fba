# From a dump to passages, questions and candidate pools; and the backbone, whose tokenizer splits the passages.


rule fetch_corpus:
    input:
        script=program("fetch_corpus"),
        source=PLAN.user_files("fetch_corpus"),
    output:
        dump="results/{run}/corpus/source/dump",
        card="results/{run}/corpus/source/card.json",
    log:
        "logs/{run}/fetch_corpus.log",
    benchmark:
        "benchmarks/{run}/fetch_corpus.jsonl"
    priority: 20  # a step with a model waits for it
    threads: 1
    resources:
        mem_mb=sized("fetch_corpus", "memory"),
    params:
        settings=settings("fetch_corpus"),
        code=PLAN.code("fetch_corpus"),
    message:
        "Fetching the corpus"
    shell:
        "python {input.script} --settings {params.settings:q} --dump {output.dump:q} --card {output.card:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule prepare_backbone:
    input:
        script=program("prepare_backbone"),
        source=PLAN.user_files("prepare_backbone"),
    output:
        card="results/{run}/backbone/card.json",
    log:
        "logs/{run}/prepare_backbone.log",
    benchmark:
        "benchmarks/{run}/prepare_backbone.jsonl"
    priority: 20  # a step with a model waits for it
    threads: 1
    resources:
        mem_mb=sized("prepare_backbone", "memory"),
        runtime=sized("prepare_backbone", "minutes"),
    params:
        settings=settings("prepare_backbone"),
        code=PLAN.code("prepare_backbone"),
    message:
        "Preparing the language model"
    shell:
        "OMP_NUM_THREADS={threads} python {input.script} --settings {params.settings:q} --card {output.card:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule split_passages:
    input:
        script=program("split_passages"),
        dump="results/{run}/corpus/source/dump",
        backbone="results/{run}/backbone/card.json",
    output:
        passages="results/{run}/corpus/passages.parquet",
        report="results/{run}/corpus/report.json",
    log:
        "logs/{run}/split_passages.log",
    benchmark:
        "benchmarks/{run}/split_passages.jsonl"
    priority: 20  # a step with a model waits for it
    threads: 1
    resources:
        mem_mb=sized("split_passages", "memory"),
        runtime=sized("split_passages", "minutes"),
    params:
        settings=settings("split_passages"),
        code=PLAN.code("split_passages"),
    message:
        "Splitting the corpus into passages"
    shell:
        "python {input.script} --settings {params.settings:q} --dump {input.dump:q} --backbone {input.backbone:q}"
        " --passages {output.passages:q} --report {output.report:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule prepare_questions:
    input:
        script=program("prepare_questions"),
        passages="results/{run}/corpus/passages.parquet",
        files=lambda w: PLAN.user_files("prepare_questions", benchmark=w.benchmark),
    output:
        train="results/{run}/questions/{benchmark}.train.jsonl",
        test="results/{run}/questions/{benchmark}.test.jsonl",
        test_normal="results/{run}/questions/{benchmark}.test_normal.jsonl",
        report="results/{run}/questions/{benchmark}.report.json",
    log:
        "logs/{run}/prepare_questions/{benchmark}.log",
    benchmark:
        "benchmarks/{run}/prepare_questions/{benchmark}.jsonl"
    priority: 20  # a step with a model waits for it
    threads: 1
    resources:
        mem_mb=sized("prepare_questions", "memory"),
        runtime=sized("prepare_questions", "minutes"),
    params:
        settings=settings("prepare_questions"),
        code=PLAN.code("prepare_questions"),
    message:
        "Reading the questions of {wildcards.benchmark}"
    shell:
        "python {input.script} --settings {params.settings:q} --benchmark {wildcards.benchmark:q}"
        " --passages {input.passages:q} --train {output.train:q} --test {output.test:q}"
        " --test-normal {output.test_normal:q} --report {output.report:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule make_candidates:
    input:
        script=program("make_candidates"),
        passages="results/{run}/corpus/passages.parquet",
        train="results/{run}/questions/{benchmark}.train.jsonl",
        test="results/{run}/questions/{benchmark}.test.jsonl",
        test_normal="results/{run}/questions/{benchmark}.test_normal.jsonl",
    output:
        train_oracle="results/{run}/candidates/{benchmark}.train.oracle.jsonl",
        test_oracle="results/{run}/candidates/{benchmark}.test.oracle.jsonl",
        test_normal="results/{run}/candidates/{benchmark}.test.normal.jsonl",
    log:
        "logs/{run}/make_candidates/{benchmark}.log",
    benchmark:
        "benchmarks/{run}/make_candidates/{benchmark}.jsonl"
    priority: 20  # a step with a model waits for it
    threads: 1
    resources:
        mem_mb=sized("make_candidates", "memory"),
        runtime=sized("make_candidates", "minutes"),
    params:
        settings=settings("make_candidates"),
        code=PLAN.code("make_candidates"),
    message:
        "Filling the candidate pools of {wildcards.benchmark}"
    shell:
        "python {input.script} --settings {params.settings:q} --passages {input.passages:q} --train {input.train:q}"
        " --test {input.test:q} --test-normal {input.test_normal:q} --out-train-oracle {output.train_oracle:q}"
        " --out-test-oracle {output.test_oracle:q} --out-test-normal {output.test_normal:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"


rule collect_documents:
    input:
        script=program("collect_documents"),
        candidates=candidates("train", ["oracle"]) + candidates("test", POOLS),
    output:
        documents="results/{run}/corpus/documents.parquet",
    log:
        "logs/{run}/collect_documents.log",
    benchmark:
        "benchmarks/{run}/collect_documents.jsonl"
    priority: 20  # a step with a model waits for it
    threads: 1
    resources:
        mem_mb=sized("collect_documents", "memory"),
        runtime=sized("collect_documents", "minutes"),
    params:
        code=PLAN.code("collect_documents"),
    message:
        "Collecting the documents of all pools"
    shell:
        "python {input.script} --candidates {input.candidates:q} --documents {output.documents:q}"
        " 2> >(trap '' INT TERM; exec tee {log:q} >&2)"
