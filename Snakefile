# CLaRa as steps that make files: snakemake [TARGET] --profile profiles/local [--configfile configs/NAME.yaml]
#
# docs/pipeline.md lists the rules with their files, config.yaml the settings. A rule runs again when its inputs, its own
# settings or the code behind its program change; comments, formatting, threads and profiles rerun nothing.

from snakemake.utils import min_version

min_version("9.20")


include: "rules/common.smk"
include: "rules/files.smk"
include: "rules/asked.smk"
include: "rules/corpus.smk"
include: "rules/synthesis.smk"
include: "rules/pretraining.smk"
include: "rules/instruction.smk"
include: "rules/compression.smk"
include: "rules/joint.smk"
include: "rules/evaluation.smk"
include: "rules/measurements/answers.smk"
include: "rules/measurements/checkpoints.smk"
include: "rules/measurements/gathered.smk"
include: "rules/report.smk"
include: "rules/paper.smk"


localrules:
    all,
    corpus_all,
    synthesis_all,
    pretraining_all,
    instruction_all,
    compression_all,
    joint_all,
    evaluation_all,
    measurements_all,
    report_all,
    paper,
    fetch_corpus,
    rank_bm25,
    score,
    score_by_k,
    score_recovery,
    aggregate_seeds,
    collect_training,
    draw_figure,
    build_report,
    make_paper_table,
    make_scorecard,


rule all:
    default_target: True
    input:
        f"results/{RUN}/report/index.html",
        paper_files(filled_tables()),
        measured(),
        exported(),


rule corpus_all:
    input:
        f"results/{RUN}/corpus/passages.parquet",
        f"results/{RUN}/corpus/documents.parquet",


rule synthesis_all:
    input:
        f"results/{RUN}/synthesis/pairs.parquet",
        f"results/{RUN}/synthesis/samples.html",
        exported(),


rule pretraining_all:
    input:
        every("pretraining"),
        every("pretraining", "memory_use.json"),


rule instruction_all:
    input:
        every("instruction"),
        every("instruction", "memory_use.json"),


rule compression_all:
    input:
        every("compression", "manifest.json"),


rule joint_all:
    input:
        every("joint"),
        every("joint", "memory_use.json"),


rule evaluation_all:
    input:
        expand(
            "results/{run}/evaluation/metrics/{system}.json", run=RUN, system=systems()
        ),
        scored_beside(),


rule measurements_all:
    input:
        measured(),


rule report_all:
    input:
        f"results/{RUN}/report/index.html",


rule paper:
    input:
        paper_files(paper_tables()),
        expand("results/{run}/figures/{figure}.svg", run=RUN, figure=FIGURES),
