"""Every shipped configuration is valid and gives a graph; wrong ones are refused in one sentence, before any job."""

import re
import shlex
import time
from pathlib import Path

import pytest

from clara import config as configuration
from clara.evaluation.paper.commands import command_for
from clara.plan import Plan
from tests.workflow.checkout import CI, DATA, LOCAL, ROOT, planned, pretend_finished, run, snakemake

OVERLAYS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_a_shipped_configuration_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in DATA.items():
        monkeypatch.setenv(name, value)
    merged = configuration.merge(configuration.load(ROOT / "config.yaml"), configuration.load(path))
    own = "run" in configuration.load(path)  # an overlay without a run lies over another's
    assert configuration.validate(merged).run.replace("_", "-") == (path.stem if own else "demo")


def test_the_two_paper_configurations_differ_in_backbone_and_names_only() -> None:
    mistral, phi = (configuration.load(ROOT / "configs" / f"paper-{name}.yaml") for name in ("mistral", "phi4"))
    assert {key for key in phi if mistral.get(key) != phi[key]} == {"run", "backbone", "paper", "report"}


@pytest.mark.parametrize("name", ["small", "small-cpu", "paper-mistral", "paper-phi4"])
def test_a_hard_compression_without_a_model_is_always_compared(name: str) -> None:
    assert "hard_words" in configuration.load(ROOT / "configs" / f"{name}.yaml")["evaluation"]["baselines"]


@pytest.mark.slow
@pytest.mark.parametrize("path", [None, *OVERLAYS], ids=lambda path: path.stem if path else "demo")
def test_a_shipped_configuration_gives_a_graph(finished: Path, path: Path | None) -> None:
    below = configuration.load(path).get("paper", {}).get("lies_over", []) if path else []
    overlay = ["--configfile", *below, str(path)] if path else []
    profile = "profiles/gpu" if path and path.stem.startswith("paper") else "profiles/local"
    profile = "profiles/gpu-shared" if path and path.stem == "small-gpu" else profile
    jobs = planned(finished, "--forceall", "--profile", profile, *overlay)
    config = configuration.load(ROOT / "config.yaml")
    for file in [*(ROOT / name for name in below), path] if path else []:
        config = configuration.merge(config, configuration.load(file))
    plan = Plan(configuration.with_seeds(config), ROOT)
    owners = {plan.owner("pretraining", name) for name in plan.variants}
    ratios = len(plan.variants["base"]["ratios"])
    other = {
        "ablation-synthesis": 1,
        "small": 3,
        "small-full": 3,
        "small-kinds": 1,
        "small-labels": 1,
        "small-ranking": 1,
        "small-gpu": 3,
    }
    assert ratios == (6 if profile == "profiles/gpu" else other.get(path.stem, 2) if path else 2)
    assert jobs["pretrain"] == ratios * len(owners)
    assert jobs["prepare_questions"] == 4
    assert jobs["build_report"] == 1
    assert jobs["make_scorecard"] == 1
    # Every table of the paper has a number at small scale, from that configuration alone.
    assert jobs["make_paper_table"] >= (14 if path and path.stem == "small" else 3)


@pytest.mark.slow
def test_each_initial_checkpoint_has_its_joint_training(finished: Path) -> None:
    (finished / "overlay.yaml").write_text("inits: [pretraining, instruction]\nratios: [4]\n")
    jobs = planned(finished, "--forceall", *CI, "overlay.yaml")
    assert (jobs["pretrain"], jobs["tune_instructions"]) == (1, 1)
    assert (jobs["compress_documents"], jobs["train_joint"], jobs["predict"]) == (2, 2, 2)
    (finished / "overlay.yaml").write_text("inits: [pretraining]\n")
    assert "tune_instructions" not in planned(finished, "--forceall", *CI, "overlay.yaml")


@pytest.mark.slow
def test_a_variant_runs_only_the_stages_that_it_changes(finished: Path) -> None:
    (finished / "overlay.yaml").write_text("variants: {soft: {joint: {selection: soft}}}\n")
    jobs = planned(finished, *CI, "overlay.yaml")
    papers = {"make_paper_table": 1}  # an ablation of ours has a variant now
    assert jobs == {"train_joint": 2, "measure_memory_use": 2, "predict": 2, "score": 2, "build_report": 1} | papers


@pytest.mark.slow
def test_the_papers_tables_and_figures_ask_for_no_more_trainings_than_they_show(finished: Path) -> None:
    overlays = [f"configs/{name}.yaml" for name in ("paper-mistral", "ablations", "baselines")]
    jobs = planned(finished, "paper", *LOCAL, "--configfile", *overlays)
    # Base at six ratios; at 32 no pretraining, three mixes, a quarter, a half and three other forms of a memory; at 32
    # and 128 no alignment loss; at 16 no pretraining, for PISCO.
    assert jobs["pretrain"] == 6 + (1 + 3 + 2 + 3) + 2 + 1
    assert jobs["predict_by_k"] == jobs["measure_memory_use"] == jobs["measure_efficiency"] == 2 * 6
    assert jobs["measure_states"] == 2 * 2
    # From both starts at six ratios: base, its start, by labels. From pretraining at two: frozen and random reasoner.
    ablations = {"candidates": 2, "memory": 3, "selection": 4, "temperature": 3, "map": 4}
    assert jobs["train_joint"] == 3 * 12 + 2 * 2 + sum(ablations.values())


@pytest.mark.slow
def test_nothing_is_trained_on_rows_that_the_runs_data_has_not(finished: Path) -> None:
    overlays = ("configs/small.yaml", "configs/ablations.yaml")  # simple questions alone, and variants of every kind
    jobs = planned(finished, "results/small/paper/table_3.csv", *LOCAL, "--configfile", *overlays)
    assert jobs["pretrain"] == 3 * 2, "base, which is `simple`, and `no_pretraining`, at three ratios"


@pytest.mark.slow
def test_every_baseline_has_its_jobs(finished: Path) -> None:
    (finished / "overlay.yaml").write_text(
        "variants: {pisco: {pretraining: {optimization: {steps: 0}}, instruction: {answers: teacher}}}\n"
        "evaluation:\n"
        "  baselines: [text_rag_tuned, hard_words, llmlingua2, dense, cross_encoder]\n"
        "  cross_encoder: {source: some/model}\n"
        "  llmlingua2: {source: some/model}\n"
        "  released: {official: {source: /nowhere, base: null}}\n"
    )
    jobs = planned(finished, "--forceall", *CI, "overlay.yaml")
    assert (jobs["tune_text_rag"], jobs["predict_baseline"], jobs["answer_as_teacher"]) == (1, 1, 1)
    assert (jobs["predict_compressed_text"], jobs["rank_neural"], jobs["predict_released"]) == (4, 2, 1)
    assert jobs["score"] == 12  # these eight, and two ratios with two variants of ours
    ranking = planned(finished, "results/ci/paper/table_7.csv", *CI, "overlay.yaml")
    assert ranking["predict_released"] == 1  # a table with rows of released checkpoints asks for them
    assert "predict_released" not in planned(finished, "results/ci/paper/table_1.csv", *CI, "overlay.yaml")


@pytest.mark.slow
def test_given_documents_are_shortened_where_they_and_a_baseline_are_asked_for(finished: Path) -> None:
    rule, scores = "predict_given_compressed_text", "results/ci/evaluation/metrics"
    asked = "measurements: {which: [given]}\n"
    (finished / "overlay.yaml").write_text(asked)
    assert rule not in planned(finished, "evaluation_all", *CI, "overlay.yaml")
    (finished / "overlay.yaml").write_text(asked + "evaluation: {baselines: [hard_words]}\n")
    jobs = planned(finished, "evaluation_all", *CI, "overlay.yaml")
    assert (jobs[rule], jobs["predict_compressed_text"], jobs["predict_given_text"]) == (2, 2, 1)
    assert planned(finished, "results/ci/paper/table_1.csv", *CI, "overlay.yaml")[rule] == 2
    # Of the other documents' none stands there, though the run has them.
    assert "predict_compressed_text" not in planned(finished, "results/ci/paper/table_1.csv", *CI, "overlay.yaml")
    (finished / "overlay.yaml").write_text("evaluation: {llmlingua2: {source: some/model}}\n")
    named = [f"{scores}/given-hard_words_cr8.json", f"{scores}/given-llmlingua2_cr4.json"]
    assert planned(finished, *named, *CI, "overlay.yaml") == {rule: 2, "score": 2}
    # A table that is named beside shows them.
    table = planned(finished, *named, "results/ci/paper/table_1.csv", *CI, "overlay.yaml")
    assert table == {rule: 2, "score": 2, "make_paper_table": 1}


@pytest.mark.slow
def test_an_encoder_is_loaded_where_bert_score_is_asked_for(finished: Path) -> None:
    (finished / "overlay.yaml").write_text("measurements: {which: [recovery]}\n")
    assert "measure_bert_score" not in planned(finished, "--forceall", *CI, "overlay.yaml")
    (finished / "overlay.yaml").write_text("measurements: {which: [recovery], recovery: {bert_score: some/model}}\n")
    jobs = planned(finished, "--forceall", *CI, "overlay.yaml")
    assert jobs["measure_bert_score"] == jobs["rewrite_documents"] == jobs["score_recovery"] > 0


@pytest.mark.slow
def test_a_dry_run_imports_no_heavy_library(finished_run: Path) -> None:
    # Snakemake's SLURM plugin brings pandas; what this project adds must stay light.
    program = (
        "import sys; from snakemake.cli import main\n"
        f"try: main({['-n', '-q', *CI]!r})\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'matplotlib', 'vllm', 'scipy') if name in sys.modules])"
    )
    started = time.monotonic()
    done = run(finished_run, "-c", program)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr
    assert time.monotonic() - started < 20, "generous, for a busy machine; alone it takes less than two seconds"


REFUSED = {
    "an unknown key": ("pretraining: {stepps: 3}", "pretraining.stepps is no known key"),
    "a number that YAML reads as text": (
        "joint: {optimization: {learning_rate: 1e-4}}",
        "joint.optimization.learning_rate = '1e-4'.*write 0.0001",
    ),
    "a word that YAML reads as false": ("backbone: {attention: off}", "backbone.attention = False.*quotes"),
    "an octal number": ("seed: 012", "overlay.yaml line 1: YAML 1.1 reads 012 as an octal number"),
    "a key that stands twice": ("seed: 1\nseed: 2", "overlay.yaml line 2: the key seed stands twice"),
    "a configuration without the one that it lies over": (
        "run: upper\npaper: {lies_over: [configs/lower.yaml]}",
        "the configuration of run upper lies over configs/lower.yaml .*--configfile configs/lower.yaml",
    ),
    "a run that is no folder name": ("run: ../../etc", "the name '../../etc' must be letters"),
    "a benchmark that could be shell": ('benchmarks: {"x; touch hacked": {test: y}}', "must be letters|is missing"),
    "a variant of what all share": (
        "variants: {big: {corpus: {passages: {words: 50}}}}",
        "variants.big.corpus: only memory, lora",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("overlay", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_setting_ends_the_run_before_any_job(finished: Path, overlay: str, sentence: str) -> None:
    (finished / "overlay.yaml").write_text(overlay)
    done = snakemake(finished, *LOCAL, "--configfile", "overlay.yaml")
    assert done.returncode == 1
    assert re.search(sentence, done.stderr, re.DOTALL), done.stderr
    assert "Traceback" not in done.stderr
    assert "Job stats" not in done.stderr + done.stdout
    assert not (finished / "hacked").exists()


@pytest.mark.slow
def test_a_broken_config_file_is_named(finished: Path) -> None:
    (finished / "config.yaml").write_text("seed: [1\n")
    done = snakemake(finished, *LOCAL)
    assert done.returncode == 1
    assert "cannot read the configuration config.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_command_under_a_table_makes_what_another_overlay_gave_its_run(finished: Path) -> None:
    # Neither the run's configuration nor the command has the variant, the start or the ratio: the name is enough.
    target = "results/small_cpu/evaluation/metrics/given-instruction-cr32-no_pretraining.json"
    words = shlex.split(command_for([target], "small_cpu", configs=ROOT / "configs"))
    jobs = planned(finished, *[word.removeprefix(f"{ROOT}/") for word in words[1:]])
    assert jobs["predict_given"] == jobs["score"] == 1


@pytest.mark.slow
def test_a_table_shows_what_its_command_names_and_then_what_the_configuration_makes(finished: Path) -> None:
    table, made = "results/ci/paper/table_4.csv", "results/ci/evaluation/metrics/given-instruction-cr4-no_mse.json"
    assert planned(finished, made, table, *CI)["predict_given"] == 1
    pretend_finished(finished, made, table, *CI)
    assert planned(finished, made, table, *CI) == {}
    # Not named, it is neither shown nor made again when settings change.
    assert planned(finished, table, *CI) == {"make_paper_table": 1}
    assert "pretrain" not in planned(finished, table, *CI, "--config", "pretraining={mse_weight: 0.5}")


@pytest.mark.slow
def test_what_one_command_measured_stays_in_its_figure(finished: Path) -> None:
    figure = "results/ci/figures/by_k.svg"
    pretend_finished(finished, figure, *CI, "--config", "measurements={which: [by_k], by_k: [1, 2]}")
    assert planned(finished, figure, *CI, "--config", "measurements={by_k: [1, 2]}") == {}
    # Of other settings it is measured again rather than shown as it was.
    assert {"score_by_k", "draw_figure"} <= planned(
        finished, figure, *CI, "--config", "measurements={by_k: [1]}"
    ).keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "overlay", "sentence"),
    [
        ("all", "paper: {complete: [table_5]}", r"paper.complete names table_5, which is none of .*table_4.* in 1"),
        ("results/ci/paper/table_19.csv", "seed: 1", r"results/ci/paper/table_19.csv names table_19, which is none of"),
        ("results/ci/evaluation/metrics/instruction-cr4-odd.json", "variants: {odd: {pretraining: {kinds: [simple]}}}",
         r"of variant odd, which learns from simple; synthesis.kinds of this run does not"),
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_made_is_refused_with_why(
    finished: Path, target: str, overlay: str, sentence: str
) -> None:
    kinds = "{kinds: [paraphrase]}"
    (finished / "overlay.yaml").write_text(f"synthesis: {kinds}\npretraining: {kinds}\n{overlay}\n")
    done = snakemake(finished, "-n", target, *CI, "overlay.yaml")
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert re.search(sentence, said), said
    if "odd" in overlay:
        told = snakemake(finished, "-n", "corpus_all", *CI, "overlay.yaml")
        assert "Variant odd is left out: it learns from simple" in told.stderr
