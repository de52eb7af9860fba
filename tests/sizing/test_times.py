"""Seconds of steps without a model: by the corpus, the questions, the rows, the pools, the judge's answers."""

from pathlib import Path

import pytest

from clara import config as configuration
from clara.measurements import judge
from clara.sizing.data import question_counts
from clara.sizing.times import JUDGE_AT_ONCE, data_seconds
from tests.sizing.estimates import DEMO, PAPER


def test_time_of_a_step_without_a_model_grows_with_what_it_reads(tmp_path: Path) -> None:
    location = tmp_path / "passages.jsonl"
    with location.open("wb") as file:
        file.truncate(6_000_000_000)
    config = configuration.merge(PAPER, {"corpus": {"source": {"location": str(location)}}})
    seconds = {rule: data_seconds(rule, config) for rule in ("split_passages", "make_candidates", "gather_pairs")}
    assert seconds["split_passages"] == 6000
    # 2WikiMultiHopQA's questions, each scored over ten million documents in half a second.
    assert seconds["make_candidates"] == pytest.approx(6000 + 0.512 * (167_454 + 3 * 12_576))
    assert seconds["gather_pairs"] == pytest.approx(2e-4 * 26.84e6)
    packed = location.rename(tmp_path / "passages.jsonl.gz")
    smaller = configuration.merge(config, {"corpus": {"source": {"location": str(packed)}}})
    assert data_seconds("split_passages", smaller) == 18000


def test_a_judge_takes_time_for_each_answer_that_it_sees() -> None:
    assert judge.AT_ONCE == JUDGE_AT_ONCE
    server = {"base_url": "http://localhost/v1", "model": "m"}
    asked = [
        data_seconds("score_grounding", configuration.merge(PAPER, {"measurements": {"grounding": grounding}}))
        for grounding in ({"judge": None}, {"judge": server, "questions": 100}, {"judge": server, "questions": None})
    ]
    settings = len(PAPER["candidates"]["settings"])
    assert asked[1] - asked[0] == settings * 4 * 100
    assert asked[2] - asked[0] == settings * question_counts(PAPER)[1]


def test_the_demos_steps_without_a_model_are_short() -> None:
    rules = ("split_passages", "prepare_questions", "make_candidates", "collect_documents", "gather_pairs")
    assert all(data_seconds(rule, DEMO) < 60 for rule in (*rules, "review_pairs", "measure_data", "score_grounding"))
