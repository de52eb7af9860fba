"""Means with bootstrap intervals of values that belong to documents or answers, in percent."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clara.evaluation.bootstrap import generator_for, interval, resampled_means
from clara.evaluation.scoring import Resampling

DECIMALS = 6


def rows(
    groups: Mapping[tuple[str, ...], Sequence[Mapping[str, float]]], names: Sequence[str], resampling: Resampling
) -> list[dict[str, Any]]:
    """One row a group and metric: the group's labels, metric, value, low, high and n; percent.

    Args:
        groups: labels → metric → value (0 to 1) of each item; an item without a metric is left out of it.
        names: what the labels are called.
        resampling: how intervals are made.
    """
    found = []
    for labels, items in groups.items():
        for metric in dict.fromkeys(name for item in items for name in item):
            values = np.array([[item[metric]] for item in items if metric in item])
            means = resampled_means(values, resampling.samples, generator_for(resampling.seed, "/".join(labels)))
            low, high = interval(means, resampling.confidence)[:, 0]
            numbers = {"value": values.mean(), "low": low, "high": high}
            found.append(
                dict(zip(names, labels, strict=True))
                | {"metric": metric}
                | {name: round(100 * float(number), DECIMALS) for name, number in numbers.items()}
                | {"n": len(values)}
            )
    return found
