"""How much data a configuration has: questions counted, official or supposed, and rows of a large corpus."""

from pathlib import Path
from typing import Any

from clara.sizing.data import data_mb, question_counts


def benchmark(format: str, **given: Any) -> dict[str, Any]:
    return {
        "benchmarks": {
            "b": {"format": format, "train": None, "test": "far.json", "num_train": None, "num_test": None, **given}
        }
    }


def test_questions_of_a_small_file_are_counted_and_of_others_those_of_the_official_files(tmp_path: Path) -> None:
    small = tmp_path / "questions.jsonl"
    small.write_text("{}\n" * 70)
    assert question_counts(benchmark("supports", test=str(small), num_test=30)) == (40, 30)  # the rest is learned from
    assert question_counts(benchmark("supports", train=str(small), test=str(small))) == (70, 70)
    assert question_counts(benchmark("nq", train="far.json", num_train=500)) == (500, 8757)
    assert question_counts(benchmark("rows", train="$CLARA_NOT_SET/far.jsonl")) == (20000, 5000)
    both = {"benchmarks": {**benchmark("nq", num_test=1)["benchmarks"], "c": benchmark("musique")["benchmarks"]["b"]}}
    assert question_counts(both) == (8756, 1 + 2417)


def test_a_corpus_takes_three_times_its_text_above_a_hundred_megabytes(tmp_path: Path) -> None:
    location = tmp_path / "passages.jsonl"
    with location.open("wb") as file:
        file.truncate(300_000_000)  # no block of it is written
    config = {"corpus": {"source": {"location": str(location)}}, "synthesis": {"num_passages": 1_010_000}}
    assert data_mb("split_passages", config) == 600
    assert data_mb("gather_pairs", config) == 6000
    assert data_mb("score", config) == 0
    pools = config | benchmark("2wiki", train="far.json") | {"candidates": {"size": 20}}
    assert data_mb("measure_data", pools) == round(0.02 * (167_454 - 50_000))
    assert data_mb("measure_data", config | benchmark("musique", train="far.json") | {"candidates": {"size": 20}}) == 0
    location.unlink()
    assert data_mb("split_passages", config) == 0
