"""What a run was made of, counted by hand."""

from pathlib import Path

import pytest

from clara.data.tokenization import TokenCounter
from clara.files import write_json
from clara.measurements.data import describe, question_rows, ratio_rows, synthesis_rows
from clara.records import Pair
from clara.row_files import write_rows
from tests import tiny


def test_synthesized_rows_are_counted_by_kind_in_words() -> None:
    pairs = [pair for pair in tiny.pairs() if pair.document in tiny.TEXTS[:2]]
    found, documents = synthesis_rows(pairs, {"rejections": {"simple: empty": 2, "simple: long": 1}})
    simple, complex_, paraphrase = found
    assert documents == 2
    assert (simple["documents"], simple["rows"], simple["rows_per_document"], simple["rejected"]) == (2, 4, 2.0, 3)
    first, second = (text.split() for text in tiny.TEXTS[:2])
    assert simple["input_words"] == (len(first) + len(second)) / 2
    # "Where is Aro?" with the body, "Who left Aro?" with the title; so for each document
    assert simple["output_words"] == (3 + len(first) - 1 + 3 + 1 + 3 + len(second) - 1 + 3 + 1) / 2
    assert paraphrase["output_words"] == (len(first) + len(second)) / 2
    assert complex_ == dict.fromkeys(complex_, 0) | {"kind": "complex"}


def test_a_document_whose_rows_lie_apart_is_counted_once() -> None:
    pairs = tiny.pairs()
    apart = [*pairs[::2], *pairs[1::2], *pairs[::2]]
    (once, documents), (found, again) = synthesis_rows(pairs, {}), synthesis_rows(apart, {})
    assert documents == again == len({pair.document_id for pair in pairs})
    for name in ("documents", "input_words"):
        assert [row[name] for row in found] == [row[name] for row in once]
    assert found[0]["rows"] == sum(pair.kind == "simple" for pair in apart)


def test_questions_are_counted_by_file(tmp_path: Path) -> None:
    rows = [*tiny.questions(), tiny.question(9, docs=[0, 1], gold=[])]
    write_rows(tmp_path / "nq.test.normal.jsonl", rows)
    (found,) = question_rows([tmp_path / "nq.test.normal.jsonl"])
    assert (found["benchmark"], found["split"], found["setting"]) == ("nq", "test", "normal")
    assert (found["questions"], found["with_gold"], found["gold_per_question"]) == (5, 4, 1.0)
    assert (found["candidates"], found["gold_answers"]) == ((4 + 3 + 6 + 4 + 2) / 5, 1.0)


def test_gold_documents_that_training_knows_are_counted_over_all_benchmarks(tmp_path: Path) -> None:
    write_rows(tmp_path / "nq.train.oracle.jsonl", [tiny.question(0, docs=[0, 1], gold=[0])])
    write_rows(tmp_path / "musique.train.oracle.jsonl", [tiny.question(1, docs=[2, 3], gold=[0, 1])])
    write_rows(tmp_path / "nq.test.oracle.jsonl", [tiny.question(2, docs=[2, 1, 4], gold=[0, 1, 2])])
    write_rows(tmp_path / "nq.test.normal.jsonl", [tiny.question(3, docs=[5], gold=[])])
    names = ["nq.train.oracle", "musique.train.oracle", "nq.test.oracle", "nq.test.normal"]
    first, _, test, empty = question_rows([tmp_path / f"{name}.jsonl" for name in names])
    assert (test["gold_seen_as_gold"], test["gold_seen"]) == (0.333, 0.667)
    assert (empty["gold_seen_as_gold"], empty["gold_seen"]) == (0.0, 0.0)
    assert "gold_seen" not in first
    assert question_rows([tmp_path / f"{name}.jsonl" for name in reversed(names)])[1] == test


def test_the_effective_ratio_is_that_of_a_mean_document() -> None:
    four, all_ = ratio_rows([16, 32, 48, 64], [4, 64], 64)
    assert (four["memory_vectors"], four["nominal"], four["effective"]) == (16, 4.0, 2.5)
    assert four["longer_than_memory"] == 0.75
    assert (all_["memory_vectors"], all_["effective"]) == (1, 40.0)


def test_the_description_of_a_run_holds_all_parts(tmp_path: Path) -> None:
    card = tiny.prepare("llama", tmp_path / "backbone")
    write_json(tmp_path / "review.json", {"rejections": {}})
    write_json(tmp_path / "report.json", {"articles": {"read": 6}})
    write_rows(tmp_path / "nq.train.oracle.jsonl", tiny.questions())
    pairs: list[Pair] = tiny.pairs()
    counter = TokenCounter.of_backbone(card.path)
    found = describe(
        pairs, tmp_path / "review.json", tmp_path / "report.json", [tmp_path / "nq.train.oracle.jsonl"],
        tiny.passages(), counter, ratios=[8], document_max_tokens=16,
    )  # fmt: skip
    lengths = [min(16, count) for count in counter.count(tiny.TEXTS)]
    assert max(counter.count(tiny.TEXTS)) > 16
    assert found["documents"]["tokens"]["mean"] == pytest.approx(sum(lengths) / 6, abs=0.01)
    assert found["ratios"][0]["effective"] == pytest.approx(sum(lengths) / 6 / 2, abs=0.01)
    assert found["corpus"] == {"articles": {"read": 6}, "synthesized_documents": 6}
    assert (len(found["synthesis"]), len(found["questions"])) == (3, 1)
