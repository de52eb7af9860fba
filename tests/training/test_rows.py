"""Which rows are learned from, and which of them make one example, with few of them in memory."""

import random
from collections.abc import Sequence

import pytest

from clara.records import Pair
from clara.training.rows import Unit, chosen_rows, distinct, units
from tests import tiny
from tests.training.counted import Counted


def test_rows_are_chosen_by_who_made_them_and_empty_ones_teach_nothing() -> None:
    def row(question: str, answer: str, source: str, kind: str = "simple") -> Pair:
        return Pair(
            id=question, document_id="", document="D", kind=kind, question=question, answer=answer, source=source
        )  # type: ignore[arg-type]

    made = row("Who?", "Ida", "templates")
    others = [row("When?", "1204", "facts"), row("", "Rewritten.", "model", "paraphrase")]
    unread = [row("", "{oops", "model"), row("Who?", "", "model")]
    assert list(chosen_rows([made, *others, *unread], "all")) == [others[1], others[0], made], "by id, not by file"
    assert list(chosen_rows([made, *others], "accepted")) == [made, *others]
    assert list(chosen_rows([made, *others], "templates")) == [made]


def test_fewer_documents_are_a_part_of_more_with_all_of_their_rows() -> None:
    pairs = tiny.pairs()
    two, four = (
        {pair.document for pair in chosen_rows(pairs, "accepted", document_share=share)} for share in (0.3, 0.6)
    )
    assert (len(two), len(four)) == (2, 4)
    assert two < four
    assert list(chosen_rows(pairs, "accepted")) == list(chosen_rows(pairs, "accepted", document_share=1.0)) == pairs
    kept = [pair.document for pair in chosen_rows(pairs, "accepted", document_share=0.3)]
    assert all(kept.count(text) == 3 for text in two)


def rows(documents: int) -> list[Pair]:
    """By document, kind and number, as synthesis writes them."""
    return [
        Pair(
            id=f"{kind}{document}{number}", document_id=f"{document:04}", document=f"Document {document}", kind=kind,
            question="" if kind == "paraphrase" else f"{number}?", answer="a",
        )
        for document in range(documents) for kind in ("simple", "complex", "paraphrase") for number in range(3)
    ]  # fmt: skip


def plain_units(pairs: Sequence[Pair], kinds: Sequence[str], qa_target: str) -> list[Unit]:
    """The same with all rows in memory."""
    alone, lists = [], dict[tuple[str, str], list[Pair]]()
    for pair in pairs:
        if pair.kind not in kinds:
            continue
        if pair.kind == "paraphrase" or qa_target == "answer":
            alone.append(Unit(pair, []))
        else:
            lists.setdefault((pair.document_id, pair.kind), []).append(pair)
    return alone + [
        Unit(group[0], [f"Question: {pair.question}\nAnswer: {pair.answer}" for pair in group])
        for group in lists.values()
    ]


@pytest.mark.parametrize("order", ["by document", "apart"])
@pytest.mark.parametrize("qa_target", ["list", "answer"])
@pytest.mark.parametrize("kinds", [["simple", "complex", "paraphrase"], ["complex"], ["paraphrase", "simple"]])
def test_examples_come_in_the_order_of_a_plain_twin(order: str, qa_target: str, kinds: list[str]) -> None:
    pairs = rows(7)
    if order == "apart":
        random.Random(1).shuffle(pairs)
    assert list(units(pairs, kinds=kinds, qa_target=qa_target)) == plain_units(pairs, kinds, qa_target)


@pytest.mark.parametrize("qa_target", ["list", "answer"])
def test_a_handful_of_rows_is_alive_at_once(qa_target: str) -> None:
    pairs = Counted(rows(50))
    chosen = chosen_rows(pairs, "accepted", document_share=0.9)
    for _ in units(chosen, kinds=["simple", "complex", "paraphrase"], qa_target=qa_target):
        pass
    assert pairs.most <= 6  # the last example's, the first of the next list, and the one just read, a step behind each
    assert pairs.passes <= 4


def test_a_text_comes_once_wherever_it_stands() -> None:
    assert list(distinct(["a", "a", "b", "a", "c", "b"])) == ["a", "b", "c"]
