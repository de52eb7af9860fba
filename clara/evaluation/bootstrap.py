"""Percentile bootstrap intervals over questions, and of the difference of two systems on the same questions."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clara.errors import DataError
from clara.files import text_id

Floats = NDArray[np.float64]
Scores = Mapping[str, Mapping[str, float]]
"""Benchmark → question id → value."""

_CELLS = 1 << 20
"""Counts held at once while resampling: 8 MB."""
_TAILS = 100
"""Draws of Student's t for each resample: its tails are long where there are few seeds."""


class Estimate(NamedTuple):
    """A mean with its interval."""

    value: float
    low: float
    high: float
    n: int
    """Questions behind it."""

    @property
    def verdict(self) -> str:
        """`above`, `below` or `unclear`: where the whole interval lies relative to zero."""
        return "above" if self.low > 0 else "below" if self.high < 0 else "unclear"


def generator_for(seed: int, key: str) -> np.random.Generator:
    """A generator that depends on `seed` and `key` alone, so that one more benchmark moves no other's interval."""
    return np.random.Generator(np.random.PCG64([seed, int(text_id(key), 16)]))


def resampled_means(values: Floats, samples: int, generator: np.random.Generator) -> Floats:
    """Means of `samples` resamples of the rows: shape (samples, columns).

    The columns of a row stay together, so that metrics of one question are resampled together. Rows drawn are counted,
    which makes a resample one line of a matrix product.

    Args:
        values: one row a question, one column a metric; at least one row.
        samples: number of resamples.
        generator: source of randomness.
    """
    rows = len(values)
    means = np.empty((samples, values.shape[1]))
    step = max(1, _CELLS // rows)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = generator.integers(rows, size=(size, rows)) + rows * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        means[start : start + size] = counts @ values / rows
    return means


def interval(means: Floats, confidence: float) -> Floats:
    """Lower and upper bound of the percentile interval, as two rows, one column each column of `means`."""
    bounds: Floats = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return bounds


def paired_difference(
    first: Scores,
    second: Scores,
    *,
    samples: int,
    confidence: float,
    generator: np.random.Generator,
    of_trainings: Sequence[float] = (),
) -> Estimate:
    """Macro mean over benchmarks of `first` minus `second` on the same questions, with its interval.

    Both systems' values of a question are resampled together, each benchmark by itself. Where the values are means over
    several trainings, the interval speaks of trainings that were not made as well: to every resample are added, one
    after the other, draws of sd / √n · t, where sd is the standard deviation of the n trainings' differences and t is
    Student's with n - 1 degrees of freedom. What questions and trainings do together counts in both parts, so such an
    interval is rather too wide.

    Args:
        first: benchmark → question id → value.
        second: the same of the other system.
        samples: number of resamples.
        confidence: coverage of the interval.
        generator: source of randomness.
        of_trainings: the difference under each seed, where there are several.

    Raises:
        DataError: the two do not hold the same questions, or none.
    """
    ours, theirs = ({(b, id_) for b, values in scores.items() for id_ in values} for scores in (first, second))
    lone = sorted(ours ^ theirs)
    if lone or not ours:
        example = f", for example {lone[0][1]} of {lone[0][0]}" if lone else ""
        raise DataError(
            f"a paired comparison needs the same questions in both systems, but {len(lone)} of {len(ours | theirs)} "
            f"stand in one only{example}; predict both on the same candidates"
        )
    means, values = [], []
    for benchmark in sorted(first):
        ids = sorted(first[benchmark])
        differences = np.array([[first[benchmark][id_] - second[benchmark][id_]] for id_ in ids])
        means.append(resampled_means(differences, samples, generator)[:, 0])
        values.append(float(differences.mean()))
    drawn = np.mean(means, axis=0)
    if len(of_trainings) > 1:
        error = statistics.stdev(of_trainings) / math.sqrt(len(of_trainings))
        drawn = np.repeat(drawn, _TAILS)
        drawn += error * generator.standard_t(len(of_trainings) - 1, drawn.size)
    low, high = interval(drawn[:, None], confidence)[:, 0]
    return Estimate(sum(values) / len(values), float(low), float(high), len(ours))
