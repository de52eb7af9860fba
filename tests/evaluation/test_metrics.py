"""Metrics, worked by hand."""

import pytest

from clara.evaluation.metrics import answer_scores, best, cover_em, exact_match, f1, normalise, recall_at, span_em


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  U.S. Dollar!", "us dollar"),
        ("a cat, an owl and the dog", "cat owl and dog"),
        ("theatre of another Anna", "theatre of another anna"),
        ("True", "yes"),
        ("False", "no"),
        ("true", "true"),
        ("It is True", "it is true"),
        ("ÉCOLE Polytechnique", "école polytechnique"),
        ("東京\u00a0タワー", "東京 タワー"),
        ("well-known", "wellknown"),
        ("  \n\t ", ""),
        ("The", ""),
        ("?!", ""),
    ],
)
def test_normalisation_lowers_drops_punctuation_and_articles_and_squeezes_spaces(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ("The Beatles.", "beatles", 1.0),
        ("Beatles band", "Beatles", 0.0),
        ("Yes", "True", 1.0),
        ("", "", 0.0),
        ("", "the", 0.0),
        ("", "Paris", 0.0),
    ],
)
def test_exact_match_compares_normalised_answers_and_never_accepts_an_empty_gold(
    prediction: str, gold: str, expected: float
) -> None:
    assert exact_match(prediction, gold) == expected


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        # 2 common tokens; precision 2/3, recall 2/2: 2 * (2/3) / (5/3)
        ("Neil Alden Armstrong", "Neil Armstrong", 0.8),
        # "very" counts twice in the prediction, once in the gold: 2 common; precision 2/3, recall 2/4
        ("very very big", "very big red dog", 4 / 7),
        ("the", "a", 0.0),
        ("", "Paris", 0.0),
        ("Paris", "", 0.0),
        ("yes", "yes", 1.0),
        ("yes it is", "yes", 0.0),
        ("no", "no man's land", 0.0),
        ("noanswer", "answer", 0.0),
        ("Straße 9", "straße", 2 / 3),
    ],
)
def test_f1_is_the_harmonic_mean_over_tokens_and_zero_for_unequal_verdicts(
    prediction: str, gold: str, expected: float
) -> None:
    assert f1(prediction, gold) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prediction", "gold", "cover", "span"),
    [
        ("It was Neil Armstrong, in 1969.", "Neil Armstrong", 1.0, 1.0),
        ("Armstrong, whose first name was Neil", "Neil Armstrong", 1.0, 0.0),
        ("Neil the Armstrong", "Neil Armstrong", 1.0, 1.0),  # articles are gone before the span is looked for
        ("Neil Alden Armstrong", "Neil Armstrong", 1.0, 0.0),
        ("Armstrongs", "Armstrong", 0.0, 0.0),  # tokens, not substrings
        ("1 of 10", "0", 0.0, 0.0),
        ("New", "New New", 1.0, 0.0),  # the released definition does not count multiplicity
        ("anything", "", 0.0, 0.0),
        ("anything", "the", 0.0, 0.0),
        ("", "", 0.0, 0.0),
    ],
)
def test_cover_em_takes_gold_tokens_in_any_order_and_span_em_side_by_side(
    prediction: str, gold: str, cover: float, span: float
) -> None:
    assert (cover_em(prediction, gold), span_em(prediction, gold)) == (cover, span)


def test_the_best_gold_answer_counts() -> None:
    assert best(f1, "New York", ["Boston", "New York City", "York"]) == pytest.approx(0.8)


def test_first_gold_variants_ignore_the_other_gold_answers() -> None:
    assert answer_scores("the USA", ["United States", "USA"]) == {
        "em": 1.0,
        "f1": 1.0,
        "cover_em": 1.0,
        "span_em": 1.0,
        "em_first": 0.0,
        "f1_first": 0.0,
        "cover_em_first": 0.0,
    }


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, 0.0), (2, 0.5), (3, 0.5), (4, 1.0), (99, 1.0)],
)
def test_recall_is_the_share_of_gold_documents_among_the_first_k(k: int, expected: float) -> None:
    assert recall_at([7, 2, 5, 0, 1], [2, 0], k) == expected


def test_recall_counts_a_gold_document_named_twice_once() -> None:
    assert recall_at([3, 1], [3, 3], 1) == 1.0
