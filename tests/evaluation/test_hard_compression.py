"""Hard compression: which words stay, that the budget holds, and what a task then shows."""

import math

import pytest

from clara.evaluation.answering import Pool, Task
from clara.evaluation.hard_compression import WordInformation, compress_tasks, compress_text
from clara.records import Question

DOCUMENTS = ["the sea is blue", "the sea is cold", "the moon is cold"]


def count(text: str) -> int:
    return len(text.split())


def test_information_is_the_logarithm_of_rarity_and_a_word_counts_once() -> None:
    found = WordInformation([*DOCUMENTS, DOCUMENTS[0]])(["The", "sea,", "moon", "moon", "zebra"])
    assert found == pytest.approx([0.0, math.log(4 / 3), math.log(2), 0.0, math.log(4)])


def test_the_rarest_words_stay_in_their_order() -> None:
    text = "the cold moon is not the blue sea"
    importance = WordInformation(DOCUMENTS)
    assert compress_text(text, importance, budget=3, count=count) == "moon not blue"
    assert compress_text(text, importance, budget=1, count=count) == "not"


def test_a_text_that_fits_is_left_as_it_is() -> None:
    text = "Sea\nThe  sea"
    assert compress_text(text, WordInformation(DOCUMENTS), budget=3, count=count) == text


def test_a_long_word_leaves_room_to_shorter_ones_and_the_budget_holds_for_the_whole() -> None:
    letters = len  # tokens are letters, the space before a word one of them
    kept = compress_text("incomprehensible sea cat", lambda words: [3.0, 2.0, 1.0], budget=8, count=letters)
    assert kept == "sea cat"[:7]

    def together(text: str) -> int:
        return count(text) ** 2  # two words cost four

    assert compress_text("sea cat", lambda words: [1.0, 2.0], budget=3, count=together) == "cat"


def test_only_what_is_read_is_compressed_and_the_ranking_stays() -> None:
    asked = Question(id="q", question="q?", golden_answers=["x"], docs=DOCUMENTS, pos_index=[0])
    task = Task(Pool("nq", "oracle", [asked]), asked, [2, 0, 1], [1.0, 0.0, 2.0], [2])
    (short,) = compress_tasks([task], WordInformation(DOCUMENTS), budget=1, count=count)
    assert short.question.docs == [*DOCUMENTS[:2], "moon"]
    assert (short.ranking, short.selected, task.question.docs) == ([2, 0, 1], [2], DOCUMENTS)
