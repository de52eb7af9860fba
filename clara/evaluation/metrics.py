"""Metrics of answers and rankings: pure functions on strings and indices, standard library only.

Every value lies between 0 and 1. The normalisation is SQuAD's, with one addition of the released CLaRa evaluation: an
answer that is exactly `True` or `False` counts as yes or no. An answer whose normalised form is empty (an article, a
punctuation mark) can be given by saying nothing, so it is correct under no metric; the released code counts it as
always covered.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Collection, Sequence

Metric = Callable[[str, str], float]

VERDICTS = frozenset({"yes", "no", "noanswer"})
"""Normalised answers that are right or wrong as a whole; token overlap with them means nothing."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_TRUTH_VALUES = {"True": "yes", "False": "no"}


def normalise(text: str) -> str:
    """`text` lower-cased, without ASCII punctuation and English articles, its spaces squeezed.

    >>> normalise("The  U.S. dollar!")
    'us dollar'
    """
    text = _TRUTH_VALUES.get(text, text)
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, gold: str) -> float:
    """1 where both are equal after normalisation."""
    wanted = normalise(gold)
    return float(bool(wanted) and normalise(prediction) == wanted)


def f1(prediction: str, gold: str) -> float:
    """Harmonic mean of precision and recall of tokens, counted with multiplicity.

    0 where either side is yes, no or noanswer and the other differs.
    """
    given, wanted = normalise(prediction), normalise(gold)
    if given != wanted and (given in VERDICTS or wanted in VERDICTS):
        return 0.0
    given_tokens, wanted_tokens = given.split(), wanted.split()
    common = sum((Counter(given_tokens) & Counter(wanted_tokens)).values())
    return 2 * common / (len(given_tokens) + len(wanted_tokens)) if common else 0.0


def cover_em(prediction: str, gold: str) -> float:
    """1 where every gold token occurs somewhere in the prediction, in any order (the released "ACC")."""
    wanted = normalise(gold).split()
    return float(bool(wanted) and set(wanted) <= set(normalise(prediction).split()))


def span_em(prediction: str, gold: str) -> float:
    """1 where the gold tokens occur in the prediction side by side and in order."""
    wanted = normalise(gold)
    return float(bool(wanted) and f" {wanted} " in f" {normalise(prediction)} ")


def best(metric: Metric, prediction: str, golds: Sequence[str]) -> float:
    """The highest value of `metric` over the gold answers."""
    return max(metric(prediction, gold) for gold in golds)


ANSWER_METRICS: dict[str, Metric] = {"em": exact_match, "f1": f1, "cover_em": cover_em, "span_em": span_em}
FIRST_GOLD = ("em", "f1", "cover_em")
"""Metrics that are also given against the first gold answer alone, as the released evaluation does."""


def answer_scores(prediction: str, golds: Sequence[str]) -> dict[str, float]:
    """Metric name → value of one answer; `*_first` looks at the first gold answer only.

    Args:
        prediction: the answer given.
        golds: the gold answers, at least one.
    """
    scores = {name: best(metric, prediction, golds) for name, metric in ANSWER_METRICS.items()}
    return scores | {f"{name}_first": ANSWER_METRICS[name](prediction, golds[0]) for name in FIRST_GOLD}


def recall_at(ranking: Sequence[int], gold: Collection[int], k: int) -> float:
    """|first k of the ranking ∩ gold| / |gold|.

    Defined only for questions that have gold documents: the caller leaves the others out, where the released
    evaluation counts them as 0.

    Args:
        ranking: candidates' indices, best first; may be shorter than `k`.
        gold: indices of the gold documents, at least one.
        k: the cut-off.
    """
    wanted = set(gold)
    return len(wanted & set(ranking[:k])) / len(wanted)
