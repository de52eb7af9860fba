"""How much data a configuration has: questions counted, official or supposed, and rows of a large corpus."""

from pathlib import Path
from typing import Any

import pytest

from clara import config as configuration
from clara.sizing import data
from clara.sizing.data import data_mb, held_mb, num_examples, num_passages, question_counts, synthesis_mb
from clara.synthesis import loop, tables
from tests.sizing.estimates import DEMO, PAPER


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
    assert data_mb("make_candidates", config) == 1500  # the index of what is above a hundred
    assert data_mb("gather_pairs", config) == 6000
    assert data_mb("score", config) == 0
    pools = config | benchmark("2wiki", train="far.json") | {"candidates": {"size": 20}}
    counted = 120  # bytes of each passage beyond ten thousand: of a million
    assert data_mb("measure_data", pools) == round(0.02 * (167_454 - 50_000)) + counted
    few = config | benchmark("musique", train="far.json") | {"candidates": {"size": 20}}
    assert data_mb("measure_data", few) == counted
    collected = 0.02 * (167_454 - 50_000) + 0.001 / 8 * (20 * (167_454 + 2 * 12_576) - 1_000_000)
    both = pools | {"candidates": {"size": 20, "train_size": None, "settings": ["oracle", "normal"]}}
    assert data_mb("collect_documents", both) == round(collected)  # by the pools, not by the corpus
    location.unlink()
    assert data_mb("split_passages", config) == 0


def asked(source: Path | str, **synthesis: Any) -> dict[str, Any]:
    changes = {"synthesis": {"num_passages": None, **synthesis}, "corpus": {"source": {"location": str(source)}}}
    return configuration.merge(DEMO, changes)


def test_passages_are_those_asked_for_or_about_those_of_the_file_that_they_come_from(tmp_path: Path) -> None:
    for name in ("rows.jsonl", "rows.jsonl.gz"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(6_000_000)
    assert num_passages(asked(tmp_path / "rows.jsonl")) == 10_000
    assert num_passages(asked(tmp_path / "rows.jsonl.gz")) == 30_000
    assert num_passages(asked(tmp_path / "rows.jsonl", num_passages=7)) == 7
    published = str(tmp_path / "rows.jsonl.gz")
    assert num_passages(asked(tmp_path / "rows.jsonl", num_passages=7, published=published)) == 30_000
    assert num_passages(asked("$CLARA_NOT_SET/far")) == num_passages(asked(tmp_path)) == 1_000_000


def test_the_papers_pretraining_has_six_million_examples_of_twenty_seven_million_rows() -> None:
    assert num_examples("pretrain", PAPER) == 6_000_000
    assert num_examples("pretrain", PAPER, rows=True) == pytest.approx(26.84e6)
    each = configuration.merge(PAPER, {"pretraining": {"qa_target": "answer", "document_share": 0.5}})
    assert num_examples("pretrain", each) == pytest.approx(13.42e6)
    assert num_examples("train_joint", PAPER) == question_counts(PAPER)[0]


def test_rows_are_counted_as_held_only_where_they_are_sorted() -> None:
    assert held_mb(PAPER) < 2_000  # of 67,000 that all rows would take
    assert held_mb(configuration.merge(PAPER, {"pretraining": {"rows": "all"}})) > 2 * 67_000


def test_pools_of_a_packed_corpus_count_the_text_that_it_holds(tmp_path: Path) -> None:
    for name, times in (("rows.jsonl.gz", 3), ("rows.jsonl", 1), ("dump.xml.bz2", 1)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(200_000_000)
        assert data_mb("make_candidates", asked(tmp_path / name)) == 750 * times


def test_synthesis_holds_bounded_tables_and_outcomes_and_a_number_for_each_passage(
    tmp_path: Path,
) -> None:
    assert (data.GROUP_ROWS, data.AHEAD) == (tables.ROWS_WRITTEN, loop.AHEAD)
    with (tmp_path / "wiki.jsonl").open("wb") as file:
        file.truncate(33_000_000 * 600)
    kinds = {"kinds": ["simple", "complex", "paraphrase"], "num_passages_for": {}}
    large = [asked(tmp_path / "wiki.jsonl", num_passages=2_000_000, shards=n, **kinds) for n in (1, 64)]
    buffers = (2 * 65536 * 2600 + 8192 * 23_000) / 1e6
    assert [synthesis_mb(config) for config in large] == [pytest.approx(264 + buffers)] * 2
    assert buffers < 600
    few = asked(tmp_path / "wiki.jsonl", num_passages=64, shards=2, kinds=["simple"], num_passages_for={})
    assert synthesis_mb(few) == pytest.approx(264 + (2 * 64 / 2 * 7.8 * 2600 + 64 / 2 * 23_000) / 1e6)
    with (tmp_path / "ready.jsonl").open("wb") as file:
        file.truncate(2_000_000 * 600)
    ready = asked(tmp_path / "wiki.jsonl", published=str(tmp_path / "ready.jsonl"), shards=64, **kinds)
    assert synthesis_mb(ready) == pytest.approx((26.84e6 * 170 + 65536 * 2600) / 1e6)
