"""Facts are spans found by form; templates ask for them."""

import pytest

from clara.records import Passage
from clara.synthesis.facts import Fact, find_facts, sentences
from clara.synthesis.templates import gap, inverted


def test_facts_come_by_kind_with_the_beginning_of_their_question(town: Passage) -> None:
    found = {(fact.kind, fact.answer, fact.beginning) for fact in find_facts(town.title, town.text)}
    assert found == {
        ("definition", "a small town on the river Brisk", ""),
        ("year", "1204", "In what year"),
        ("year", "1902", "In what year"),
        ("name", "Ida Thorne", ""),
        ("number", "3,200", "How many people"),
    }


def test_an_answer_stands_where_the_fact_says(town: Passage) -> None:
    facts = find_facts(town.title, town.text)
    assert facts
    for fact in facts:
        assert fact.sentence[fact.start :].startswith(fact.answer)
        assert fact.sentence in town.text


def test_every_sentence_gives_its_first_fact_before_any_gives_a_second() -> None:
    text = "The bridge was built in 1204 by Ida Thorne of Oslo. The square was paved in 1902 by Maren Cole of Bergen."
    assert [fact.answer for fact in find_facts("Aldermoor", text)][:2] == ["1204", "1902"]


def test_an_answer_that_stands_twice_or_in_the_title_is_no_fact() -> None:
    assert find_facts("Aldermoor", "People say that in 1204 or even after 1204 the town of Aldermoor was old.") == []


def test_sentences_that_are_fragments_or_too_long_are_left_out() -> None:
    assert sentences("Short one. " + "word " * 40 + "end. The bridge over the Brisk is old now.") == [
        "The bridge over the Brisk is old now."
    ]


@pytest.mark.parametrize(
    ("kind", "sentence", "answer", "question"),
    [
        (
            "year",
            "The market square was paved in 1902 after a dispute.",
            "1902",
            "In what year was the market square paved?",
        ),
        ("year", "It was founded in 1204.", "1204", "In what year was Aldermoor founded?"),
        ("place", "Adobe bricks were used in Spain for long.", "Spain", "Where were Adobe bricks used?"),
        ("agent", "The bridge was built by Ida Thorne.", "Ida Thorne", "By whom or by what was the bridge built?"),
        ("definition", "The cello is a bowed string instrument.", "a bowed string instrument", "What is the cello?"),
        ("subject", "Ida Thorne founded the town.", "Ida Thorne", "Who or what founded the town?"),
        ("year", "Thorne left in 1204.", "1204", None),  # no auxiliary to move
        ("year", "The town, which was old, burnt in 1204.", "1204", None),  # the auxiliary belongs to a clause
        ("year", "Its square was paved in 1902.", "1902", None),  # whose square?
        ("name", "The bridge was built for Ida Thorne.", "Ida Thorne", None),
    ],
)
def test_an_auxiliary_is_moved_only_in_plain_sentences(
    kind: str, sentence: str, answer: str, question: str | None
) -> None:
    fact = Fact(kind, sentence, sentence.index(answer), answer)  # type: ignore[arg-type]
    assert inverted("Aldermoor", fact) == question


def test_a_gap_takes_the_place_of_the_answer_alone() -> None:
    fact = Fact("name", "She met Ida Thorne in Oslo.", 8, "Ida Thorne")
    assert gap("Maren Cole", fact) == 'What fills the gap in this statement about Maren Cole: "She met ____ in Oslo"?'


@pytest.mark.parametrize(
    ("sentence", "kind", "answer"),
    [
        ("Darwin and Wallace unveiled the theory of evolution.", "subject", "Darwin and Wallace"),
        ("Many British settlers were in Western thought circles.", None, None),
        ("The old bridge there was painted in Oslo by the mayor.", "place", "Oslo"),
        ("The square was paved on 4 May 1902 after rain.", "date", "4 May 1902"),
        ("The council there had counted 1,204 old houses by then.", "number", "1,204"),
        ("It is said that 40% of the houses burnt then.", "percentage", "40%"),
        ("The old bridge was designed by Ida Thorne for the town.", "agent", "Ida Thorne"),
        ("It also brought a measure of independence to the valley.", "term", "independence"),
    ],
)
def test_each_kind_has_its_form(sentence: str, kind: str | None, answer: str | None) -> None:
    found = [(fact.kind, fact.answer) for fact in find_facts("Aldermoor", sentence)]
    assert (found[0] == (kind, answer)) if kind else not {"subject", "place"} & {kind for kind, _ in found}
