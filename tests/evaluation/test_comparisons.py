"""Paired comparisons, the level of a random order, and headline sentences."""

from typing import Any

import pytest

from clara.errors import DataError
from clara.evaluation.bootstrap import Estimate
from clara.evaluation.comparisons import Comparison, compare, random_order
from clara.evaluation.findings import findings
from clara.evaluation.labels import Checkpoint, Name
from clara.evaluation.results import History, Point, Score, SystemScore
from clara.evaluation.scoring import Resampling
from clara.records import Prediction

CLARA = "instruction-cr4-base"
RESAMPLING = Resampling(samples=100, confidence=0.95, seed=1)


def prediction(id_: str, answer: str | None, **changes: Any) -> Prediction:
    row = {
        "system": "x",
        "benchmark": "nq",
        "setting": "oracle",
        "id": id_,
        "question": "Where?",
        "golden_answers": ["Paris"],
        "prediction": answer,
        "ranking": None,
        "scores": None,
        "selected": [],
        "pos_index": [0],
    }
    return Prediction(**(row | changes))


def test_a_system_that_is_right_where_the_baseline_is_wrong_is_higher_by_all_points() -> None:
    rows = {
        CLARA: [prediction(str(i), "Paris") for i in range(5)],
        "text_rag": [prediction(str(i), "Rome") for i in range(5)],
    }
    assert compare(rows, [1], RESAMPLING) == [
        Comparison("oracle", metric, CLARA, "text_rag", Estimate(100.0, 100.0, 100.0, 5))
        for metric in ("f1", "cover_em")
    ]
    assert compare(rows, [1], RESAMPLING)[0].verdict == "higher"


def test_only_what_both_systems_do_is_compared() -> None:
    rows = {
        CLARA: [prediction("1", "Paris", ranking=[0, 1])],
        "bm25": [prediction("1", None, ranking=[1, 0])],
        "no_retrieval": [prediction("1", "Paris")],
    }
    compared = [(row.metric, row.baseline, row.estimate.value) for row in compare(rows, [1, 2], RESAMPLING)]
    assert compared == [
        ("f1", "no_retrieval", 0.0),
        ("cover_em", "no_retrieval", 0.0),
        ("recall@1", "bm25", 100.0),
        ("recall@2", "bm25", 0.0),
    ]


def test_systems_asked_different_questions_are_refused() -> None:
    rows = {CLARA: [prediction("1", "Paris")], "text_rag": [prediction("2", "Paris")]}
    with pytest.raises(DataError, match="2 of 2 stand in one only, for example 1 of nq"):
        compare(rows, [1], RESAMPLING)


def test_a_random_order_reaches_k_over_the_pool_size_on_questions_with_gold() -> None:
    rows = [
        prediction("1", None, ranking=[0, 1, 2, 3]),
        prediction("2", None, ranking=[0, 1]),
        prediction("3", None, ranking=[0], pos_index=[]),
        prediction("4", None, benchmark="2wiki", ranking=[0]),
    ]
    # nq: (1/4 + 1/2) / 2; a pool smaller than k gives 100; the average is over benchmarks.
    assert random_order(rows, [1]) == {
        ("oracle", "recall@1", "nq"): 37.5,
        ("oracle", "recall@1", "2wiki"): 100.0,
        ("oracle", "recall@1", "average"): 68.75,
    }


def comparison(low: float, high: float) -> Comparison:
    return Comparison("oracle", "f1", CLARA, "text_rag", Estimate((low + high) / 2, low, high, 9))


@pytest.mark.parametrize(
    ("bounds", "mood"),
    [
        ([(1, 3), (2, 4)], "good"),
        ([(-3, -1)], "bad"),
        ([(-1, 1), (-2, 3)], "unclear"),
        ([(1, 3), (-1, 1)], "mixed"),
        ([(-3, -1), (-1, 1)], "mixed"),
    ],
)
def test_a_headline_on_a_baseline_says_whether_all_some_or_no_systems_differ(
    bounds: list[tuple[float, float]], mood: str
) -> None:
    [finding] = findings([], [], [], [comparison(*pair) for pair in bounds], {})
    assert finding.mood == mood


def test_a_headline_on_a_baseline_counts_systems_and_spans_their_differences() -> None:
    [finding] = findings([], [], [], [comparison(1, 3), comparison(-1, 0)], {})
    assert finding.text == (
        "Oracle pool: better F1 than Text RAG in 1 of 2 CLaRa systems, worse in 0, not clearly different in 1 "
        "(-0.5 to +2.0 points, averaged over benchmarks)."
    )


def test_a_validation_loss_that_rises_is_named() -> None:
    def history(ratio: int, *losses: float) -> History:
        points = [Point(step=step, split="validation", loss=loss) for step, loss in enumerate(losses)]
        return History(Checkpoint("pretraining", Name("", ratio, "base")), points)

    [finding] = findings([], [history(4, 2.0, 1.0), history(16, 1.0, 1.0), history(64, 1.0)], [], [], {})
    assert finding.mood == "mixed"
    assert finding.text.endswith("in 1 of 2 runs; not for pretraining CR 16.")


def test_a_ranking_beats_chance_only_with_its_whole_interval() -> None:
    def scored(ratio: int, low: float) -> SystemScore:
        score = Score(benchmark="average", setting="oracle", metric="recall@1", value=50, low=low, high=60, n=9)
        return SystemScore(f"instruction-cr{ratio}-base", 0.95, score)

    chance = {("oracle", "recall@1", "average"): 25.0}
    [finding] = findings([], [], [scored(4, 26.0), scored(16, 25.0)], [], chance)
    assert finding.text == "Oracle pool: better Recall@1 than a random order (25.0 %) in 1 of 2 CLaRa systems."
