"""Documents that are given, not chosen."""

from typing import Any

import pytest

from clara.data.bm25 import Bm25
from clara.evaluation.answering import Pool
from clara.evaluation.selection import select_given
from clara.records import Question

DOCS = ["rivers flow", "the river Ems, a river", "towns", "the river Ems and its mouth", "nothing of it"]


def read(setting: Any, gold: list[int], top_k: int) -> list[int]:
    asked = Question(id="q", question="Which river is the Ems?", golden_answers=["x"], docs=DOCS, pos_index=gold)
    asked = asked.model_copy(update={"bm25": Bm25(DOCS, k1=0.9, b=0.4).scores_of(asked.question, DOCS)})
    (task,) = select_given([Pool("nq", setting, [asked])], top_k=top_k)
    assert task.ranking is None
    return task.selected


@pytest.mark.parametrize(
    ("setting", "gold", "top_k", "selected"),
    [
        ("normal", [4], 2, [1, 3]),  # BM25's best, gold or not
        ("oracle", [4], 2, [1, 4]),  # gold is among them, in BM25's order
        ("oracle", [4, 2], 3, [1, 2, 4]),
        ("oracle", [4, 2], 1, [4]),  # no more than are read
        ("oracle", [1], 9, [1, 3, 0, 2, 4]),  # a pool smaller than what may be read
    ],
)
def test_gold_documents_are_given_in_oracle_pools_and_stand_where_bm25_puts_them(
    setting: str, gold: list[int], top_k: int, selected: list[int]
) -> None:
    assert read(setting, gold, top_k) == selected
