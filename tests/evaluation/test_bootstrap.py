"""Intervals: their bounds, their reproducibility, their pairing."""

import numpy as np
import pytest

from clara.errors import DataError
from clara.evaluation import bootstrap
from clara.evaluation.bootstrap import Estimate, generator_for, interval, paired_difference, resampled_means


def test_a_resampled_mean_is_the_mean_of_as_many_rows_drawn_with_replacement() -> None:
    values = np.array([[0.0, 3.0], [1.0, 3.0]])
    means = resampled_means(values, 4000, generator_for(1, "x"))
    # Two rows: the first column's mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4; the second is constant.
    shares = [(means[:, 0] == value).mean() for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert (means[:, 1] == 3.0).all()


def test_the_interval_of_a_share_agrees_with_the_normal_approximation() -> None:
    values = np.repeat([[0.0], [1.0]], [300, 100], axis=0)
    low, high = interval(resampled_means(values, 4000, generator_for(2, "x")), 0.95)[:, 0]
    half = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.005)


def test_drawing_in_pieces_gives_the_same_means(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(10.0)[:, None]
    whole = resampled_means(values, 50, generator_for(3, "x"))
    monkeypatch.setattr(bootstrap, "_CELLS", 70)
    np.testing.assert_array_equal(resampled_means(values, 50, generator_for(3, "x")), whole)


def test_generators_differ_by_seed_and_by_key_only() -> None:
    draws = {(seed, key): generator_for(seed, key).random() for seed in (1, 2) for key in ("a", "b")}
    assert len(set(draws.values())) == 4
    assert generator_for(1, "a").random() == draws[1, "a"]


def test_a_constant_advantage_has_an_interval_of_no_width_however_noisy_the_questions() -> None:
    second = {str(i): float(i % 7) for i in range(30)}
    first = {id_: value + 0.5 for id_, value in reversed(second.items())}
    estimate = paired_difference(
        {"nq": first}, {"nq": second}, samples=200, confidence=0.95, generator=generator_for(0, "x")
    )
    assert estimate == Estimate(pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.5), 30)
    assert estimate.verdict == "above"


def test_verdicts_say_where_the_whole_interval_lies() -> None:
    assert [Estimate(0, *bounds, 1).verdict for bounds in [(0.1, 1), (-1, -0.1), (-1, 1), (0, 1)]] == [
        "above",
        "below",
        "unclear",
        "unclear",
    ]


def test_systems_with_different_questions_are_not_compared() -> None:
    first, second = {"nq": {"a": 1.0, "b": 1.0}}, {"nq": {"a": 1.0, "c": 0.0}}
    with pytest.raises(DataError, match="2 of 3 stand in one only, for example b of nq"):
        paired_difference(first, second, samples=10, confidence=0.9, generator=generator_for(0, "x"))


def test_a_difference_weighs_benchmarks_equally_however_many_questions_they_have() -> None:
    first = {"small": {"a": 1.0}, "large": {str(i): 0.0 for i in range(9)}}
    second = {"small": {"a": 0.0}, "large": {str(i): 0.0 for i in range(9)}}
    estimate = paired_difference(first, second, samples=10, confidence=0.9, generator=generator_for(0, "x"))
    assert (estimate.value, estimate.n) == (0.5, 10)


def test_few_trainings_widen_the_interval_by_students_t_whatever_the_draws() -> None:
    same = {"nq": {f"{number}": 0.5 for number in range(5)}}
    nothing = {"nq": {f"{number}": 0.0 for number in range(5)}}
    for key in ("one", "another"):
        found = paired_difference(
            same, nothing, samples=2000, confidence=0.95, generator=generator_for(3, key), of_trainings=[0.4, 0.6]
        )
        # One degree of freedom: 12.71 standard errors of 0.1414 / sqrt(2).
        assert found.high - found.value == pytest.approx(1.271, rel=0.05)
        assert found.value - found.low == pytest.approx(1.271, rel=0.05)
    agreed = paired_difference(
        same, nothing, samples=50, confidence=0.95, generator=generator_for(3, "x"), of_trainings=[0.5, 0.5]
    )
    assert agreed[:3] == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("questions", "share", "held"),
    [(14, 0.07, 0.61), (14, 0.2, 0.92), (48, 0.04, 0.81), (48, 0.2, 0.94), (100, 0.2, 0.97)],
)
def test_how_often_an_interval_of_few_questions_holds_the_truth(questions: int, share: float, held: float) -> None:
    """What docs/evaluation.md says of percentile intervals: below their nominal 95 % where there are few questions."""
    chance = np.random.Generator(np.random.PCG64(5))
    found = []
    for _ in range(400):
        right = (chance.random(questions) < share).astype(float)[:, None]
        low, high = interval(resampled_means(right, 1000, chance), 0.95)[:, 0]
        found.append(low <= share <= high)
    assert np.mean(found) == pytest.approx(held, abs=0.04)
