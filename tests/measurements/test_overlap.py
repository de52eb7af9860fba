"""ROUGE, names and numbers on examples worked by hand."""

import pytest

from clara.measurements import overlap


def test_rouge_1_counts_tokens_with_multiplicity_and_rouge_l_their_order() -> None:
    reference = "The cat sat on the mat."
    assert overlap.rouge_1("the the the", reference) == pytest.approx(2 * 2 / (3 + 6))
    assert overlap.rouge_1("mat the on sat cat the", reference) == 1.0
    # the longest common subsequence of the words and the same reversed: the … on … the
    assert overlap.rouge_l("mat the on sat cat the", reference) == pytest.approx(2 * 3 / 12)
    assert overlap.rouge_l("The CAT sat -- on, the mat", reference) == 1.0


def test_rouge_equals_the_reference_implementation() -> None:
    # f-measures of rouge-score 0.1.2: RougeScorer(["rouge1", "rougeL"]).score(reference, prediction), no stemmer
    prediction = "Bel, founded in 1887, had 12 people at first; 4,596 lived there in 2003."
    reference = "Bel was founded in 1887 by 12 people; in 2003 there were 4,596 of them, and many left."
    assert overlap.rouge_1(prediction, reference) == pytest.approx(0.6470588235294117)
    assert overlap.rouge_l(prediction, reference) == pytest.approx(0.47058823529411764)


def test_an_empty_text_shares_nothing() -> None:
    for metric in (overlap.rouge_1, overlap.rouge_l):
        assert metric("", "a b") == metric("a", "!") == 0.0


def test_names_are_runs_of_capitals_without_the_common_word_that_opens_a_sentence() -> None:
    text = (
        "The river Ems rises in North Rhine. It meets Lake Dollart. Queen Anne of Great Britain died; In 1714 he left."
    )
    assert overlap.names(text) == {"ems", "north rhine", "lake dollart", "queen anne of great britain"}


def test_numbers_lose_thousands_commas_and_keep_decimals() -> None:
    assert overlap.numbers("1,234,567 of 12.5 in 1887, 3,000") == {"1234567", "12.5", "1887", "3000"}


def test_kept_are_whole_words_whatever_stands_around_them() -> None:
    assert overlap.kept({"aro", "4596", "12.5"}, "In ARO, 4,596 and 12.5!") == 1.0
    assert overlap.kept({"aro"}, "Arolla") == 0.0
    assert overlap.kept({"great britain", "ems"}, "Britain is great, and so is the Ems") == 0.5
    assert overlap.kept(set(), "anything") is None
