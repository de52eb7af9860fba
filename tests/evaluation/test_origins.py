"""Where numbers come from: the files of results, and the corpus and questions behind them."""

from pathlib import Path
from typing import Any

from clara.evaluation.origins import Birth, Records, births, sources
from clara.files import sha256_file, write_json, write_text


def made(first: Path, program: str, inputs: dict[Path, str], *others: Path, device: str = "cpu", **more: Any) -> None:
    """Writes what a program would have: its results and the record beside the first; every hash is of ones."""
    for path in (first, *others):
        write_text(path, path.name)
    content = {"command": [program], "inputs": {str(path): digest for path, digest in inputs.items()}, "device": device}
    outputs = {path.name: "1" * 64 for path in (first, *others)}
    write_json(first.parent / "provenance" / f"{first.stem}.json", {**content, "outputs": outputs, **more})


def test_the_command_of_a_birth_names_the_runs_files_and_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "evaluation/metrics/instruction-cr4-no_mse_seed43.json"
    write_json(path, {})
    [birth] = births([path], tmp_path, "small_cpu", Records())
    assert birth.name == "instruction-cr4-no_mse_seed43"
    assert birth.command.endswith("--configfile configs/small.yaml configs/small-cpu.yaml --config 'seeds=[43]'")
    assert (birth.sha256, birth.commit, birth.device) == (sha256_file(path), "", "")


def test_every_result_has_a_birth_under_its_path_in_the_run(tmp_path: Path) -> None:
    run = tmp_path / "results/small_cpu"
    path = run / "joint/instruction-cr4-base/memory_use.json"
    words = path.with_name("diagnostics.json")
    made(path, "measure_memory_use.py", {}, words, commit="abc")
    write_json(path.with_name("environment.json"), {"command": ["train_joint.py"], "commit": "abd", "device": "H100"})
    write_text(path.with_name("history.jsonl"), "")
    found = births([path, words, path.with_name("history.jsonl"), path], run, "small_cpu", Records())
    assert [(birth.name.rpartition("/")[2], birth.commit, birth.device) for birth in found] == [
        ("memory_use", "abc", "cpu"),
        ("diagnostics", "abc", "cpu"),
        ("history", "abd", "H100"),
    ]
    assert found[0].name == "joint/instruction-cr4-base/memory_use"
    assert found[0].command.startswith("snakemake ")


def test_scores_are_told_by_the_program_that_answered_whatever_its_answers_are_called(tmp_path: Path) -> None:
    folder = tmp_path / "evaluation"
    answers, scores = folder / "predictions/instruction-cr4-base.jsonl", folder / "metrics/instruction-cr4-twin.json"
    made(answers, "predict.py", {}, device="H100", commit="abc")
    made(scores, "score.py", {answers: "2" * 64}, commit="abd")
    [birth] = births([scores], tmp_path, "small", Records())
    assert (birth.sha256, birth.commit, birth.device) == ("1" * 64, "abc", "H100")
    # A measurement stands on inputs as well, but was not counted from answers.
    measured = tmp_path / "measurements/efficiency/instruction-cr4-base.json"
    made(measured, "measure_efficiency.py", {answers: "2" * 64}, device="H200")
    assert births([measured], tmp_path, "small", Records())[0].device == "H200"


def test_a_record_that_another_step_has_overwritten_tells_nothing_of_what_it_read(tmp_path: Path) -> None:
    folder = tmp_path / "measurements/recovery"
    rewritten, scores = folder / "pretraining-cr4-base.jsonl", folder / "pretraining-cr4-base.json"
    write_text(rewritten, "")
    made(scores, "score_recovery.py", {rewritten: "2" * 64}, device="cpu", commit="abd")
    records = Records()
    assert records.of(rewritten) == {}
    assert births([scores], tmp_path, "small", records)[0].commit == "abd"


def test_corpus_and_questions_are_found_by_following_records_with_the_hashes_of_their_readers(tmp_path: Path) -> None:
    run = tmp_path / "results/toy"
    benchmark, model = tmp_path / "data/nq.jsonl", tmp_path / "toy.gguf"
    dump, passages = run / "corpus/source/dump", run / "corpus/passages.parquet"
    report, card = run / "corpus/report.json", run / "backbone/card.json"
    test, train = run / "questions/nq.test.jsonl", run / "questions/nq.train.jsonl"
    pool, training_pool = run / "candidates/nq.test.normal.jsonl", run / "candidates/nq.train.oracle.jsonl"
    documents, pairs = run / "corpus/documents.parquet", run / "synthesis/pairs.parquet"
    made(card, "prepare_backbone.py", {model: "m" * 64})
    made(dump, "fetch_corpus.py", {}, commit="abc")
    made(passages, "split_passages.py", {dump: "d" * 64, card: "0" * 64}, report)
    made(test, "prepare_questions.py", {passages: "p" * 64, benchmark: "b" * 64}, train)
    made(pool, "make_candidates.py", {passages: "p" * 64, train: "r" * 64, test: "t" * 64}, training_pool)
    made(documents, "collect_documents.py", {pool: "c" * 64, training_pool: "e" * 64})
    made(pairs, "gather_pairs.py", {passages: "p" * 64})
    store, history = run / "compression/pretraining-cr4-base/manifest.json", run / "joint/x/history.jsonl"
    store_record = {"command": ["compress_documents.py"], "inputs": {str(documents): "f" * 64, str(card): "0" * 64}}
    write_json(store.with_name("environment.json"), store_record)
    joint = {"command": ["train_joint.py"], "inputs": {str(store): "0" * 64, str(pairs): "0" * 64}}
    write_json(history.with_name("environment.json"), joint)
    dump.unlink()  # what was read is told all the same
    found = sources([pool, report, history], run, "toy", Records())
    assert found[0] == Birth("nq.jsonl", benchmark.as_posix(), "b" * 64, "", "", "")
    assert {birth.name: birth.sha256[0] for birth in found[1:]} == {
        "candidates/nq.test.normal": "c",
        "candidates/nq.train.oracle": "e",
        "corpus/documents": "f",
        "corpus/passages": "p",
        "corpus/source/dump": "d",
        "questions/nq.test": "t",
        "questions/nq.train": "r",
    }
    told = next(birth for birth in found if birth.file == dump.as_posix())
    assert (told.commit, told.device) == ("abc", "cpu")
    assert told.command.startswith(f"snakemake {dump}")


def test_pools_without_records_are_told_by_their_own_hashes(tmp_path: Path) -> None:
    pool = tmp_path / "candidates/nq.test.oracle.jsonl"
    write_text(pool, "")
    [birth] = sources([pool], tmp_path, "toy", Records())
    assert (birth.name, birth.sha256) == ("candidates/nq.test.oracle", sha256_file(pool))
