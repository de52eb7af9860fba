"""The SCP data that comes with the project: every row passes the checks that synthesis makes."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from clara.records import Pair
from clara.synthesis import published
from clara.synthesis.checks import answer_fault, duplicate_fault
from clara.synthesis.paraphrases import copied_share, paraphrase_fault
from clara.synthesis.standalone import question_fault

FILE = Path(__file__).parents[2] / "data" / "scp" / "written.jsonl"


@pytest.fixture(scope="module")
def by_document() -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = defaultdict(list)
    for pair in published.Pairs(FILE):
        found[pair.document].append(pair)
    return found


def test_every_passage_has_all_three_kinds(by_document: dict[str, list[Pair]]) -> None:
    kinds = {tuple(sorted(Counter(pair.kind for pair in pairs).items())) for pairs in by_document.values()}
    assert kinds == {(("complex", 2), ("paraphrase", 1), ("simple", 3))}
    assert len(by_document) == 294


def test_every_row_passes_the_checks(by_document: dict[str, list[Pair]]) -> None:
    faults = []
    for document, pairs in by_document.items():
        title, text = document.split("\n", 1)
        asked: list[tuple[str, str]] = []
        for pair in pairs:
            if pair.kind == "paraphrase":
                fault = paraphrase_fault(pair.answer, text, title)
                fault = fault or ("copied" if copied_share(pair.answer, text) > 0.35 else None)
            else:
                fault = question_fault(pair.question, title, complex_kind=pair.kind == "complex")
                fault = fault or answer_fault(pair.answer, pair.question, document)
                fault = fault or duplicate_fault(pair.question, pair.answer, asked)
                asked.append((pair.question, pair.answer))
            if fault:
                faults.append((fault, pair.question or pair.answer[:40], title))
    assert faults == []
