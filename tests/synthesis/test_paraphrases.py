"""A paraphrase keeps numbers and names, adds none, and is no copy."""

import pytest

from clara.synthesis.paraphrases import copied_share, names, numbers, paraphrase_fault

TEXT = (
    "Built in 1902 by Ida Thorne, the lighthouse on the island Utvaer was automated in 2004 after a century of service."
)
GOOD = (
    "The lighthouse on Utvaer had served for a hundred years when it became automatic in 2004; "
    "Ida Thorne had built it in 1902."
)


@pytest.mark.parametrize(
    ("paraphrase", "fault"),
    [
        (GOOD, None),
        ("", "refusal"),
        ("I'm sorry, the passage cannot be rewritten in any other words than those that it uses now.", "refusal"),
        ("Ida Thorne built it.", "paraphrase_length"),
        (GOOD * 3, "paraphrase_length"),
        (TEXT, "copy"),
        (GOOD.replace("2004", "later on"), "number_lost"),
        (GOOD.replace("hundred", "100"), "number_added"),
        (GOOD.replace("The lighthouse on", "The Norwegian lighthouse on the isle of"), "name_added"),
        (GOOD.replace("Ida Thorne", "A century of service: I"), "name_lost"),
        (GOOD.replace("lighthouse", "tower").replace("century", "age") + " Good.", None),
        (
            "On Utvaer in 1902 and 2004 Ida Thorne went out for a walk and had lunch at noon with her two good cats.",
            "content_lost",
        ),
        (GOOD[:50] + GOOD[:50] + GOOD[:50], "repetition"),
    ],
)
def test_a_paraphrase_says_the_same_in_other_words(paraphrase: str, fault: str | None) -> None:
    assert paraphrase_fault(paraphrase, TEXT, "Lighthouse") == fault


def test_the_title_is_no_added_name() -> None:
    renamed = GOOD.replace("The lighthouse", "The so-called Nordlys lighthouse")
    assert paraphrase_fault(renamed, TEXT, "Nordlys") is None


def test_names_are_capitals_inside_sentences() -> None:
    assert names('The Vasa sank. It was Swedish. "Old Tom" saw Oslo\'s king.') == {"vasa", "swedish", "tom", "oslo"}
    assert names("He is d'Anconia; the painter O'Keeffe knew 'Arthur'.") == {"o'keeffe", "arthur"}
    assert numbers("In 1,628 and 3.5 of 7%") == {"1628", "3.5", "7"}


def test_the_copied_share_counts_runs_of_five_words() -> None:
    assert copied_share("a b c d e f", "a b c d e x") == 0.5
    assert copied_share("a b", "a b") == 0.0
