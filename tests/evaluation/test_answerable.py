import pytest

from clara.errors import DataError
from clara.evaluation.answerable import calibrate, features

QUESTIONS = [f"Question {number}?" for number in range(40)]
HIGH = [[0.9 + number / 1000, 0.5, 0.4] for number in range(40)]
LOW = [[0.5 + number / 1000, 0.45, 0.4] for number in range(40)]


def test_the_features_are_the_best_score_and_its_lead() -> None:
    assert features([0.9, 0.5, 0.3]) == pytest.approx((0.9, 0.5))
    assert features([0.9]) == (0.9, 0.0)
    assert features([1.0, *[0.5] * 19, -9.0]) == pytest.approx((1.0, 0.5))  # the twentieth after it is not looked at


def test_scores_that_tell_the_kinds_apart_are_learnt_and_measured_as_such() -> None:
    found = calibrate(QUESTIONS, HIGH, LOW, compressor="c")
    assert (found.auroc, found.answered, found.refused) == (1.0, 1.0, 1.0)
    assert found.brier < 0.05
    assert found.fitted + found.held_out == 40
    assert found.probability(HIGH[0]) > found.threshold > found.probability(LOW[0])


def test_scores_that_say_nothing_are_measured_as_chance() -> None:
    found = calibrate(QUESTIONS, HIGH, HIGH, compressor="c")
    assert found.auroc == 0.5
    assert found.brier == pytest.approx(0.25, abs=1e-6)


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(DataError, match="at least 8 questions with gold documents, got 2"):
        calibrate(QUESTIONS[:2], HIGH[:2], LOW[:2], compressor="c")
