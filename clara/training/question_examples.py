"""Questions to examples, one at a time: of instruction tuning and of joint training; and which questions."""

import random
import sys
from collections.abc import Iterable, Iterator

from clara.errors import DataError
from clara.records import Prediction, Question
from clara.tokens import Encoder
from clara.training.examples import Example, target_of


def shown_documents(question: Question, *, top_k: int, seed: int) -> list[int]:
    """Indices of the documents that instruction tuning shows with a question, in their order.

    The gold documents come first into the choice, the rest are distractors of the pool; their order is shuffled.
    """
    choose = random.Random(f"{seed}-{question.id}")
    gold = list(question.pos_index)
    others = [index for index in range(len(question.docs)) if index not in gold]
    choose.shuffle(others)
    chosen = (gold + others)[:top_k]
    choose.shuffle(chosen)
    return chosen


def instruction_examples(
    questions: Iterable[Question],
    tokens: Encoder,
    *,
    top_k: int,
    max_target_tokens: int,
    seed: int,
    as_text: bool = False,
) -> Iterator[Example]:
    """Examples of instruction tuning (section 2.3): a question, top_k of its documents, its answer.

    Args:
        questions: with gold documents, gone through once.
        tokens: encoder of the model.
        top_k: documents a question.
        max_target_tokens: of an answer.
        seed: of the choice and the order of the documents.
        as_text: show the documents' text instead of their memories.
    """
    for question in questions:
        chosen = shown_documents(question, top_k=top_k, seed=seed)
        documents = tuple(question.docs[index] for index in chosen)
        prompt = tokens.answer_prompt(question.question, documents if as_text else len(documents))
        target, lost = target_of(question.golden_answers[0], tokens, max_target_tokens)
        yield Example(question.id, question.id, documents, prompt, target, question.question, lost=lost)


def answered_by_teacher(questions: Iterable[Question], answers: Iterable[Prediction]) -> Iterator[Question]:
    """The questions with a teacher's answer in place of the gold ones; those without a word of it are left out.

    Args:
        questions: gone through twice, not before the first answered one is asked for.
        answers: gone through once, and held.

    Raises:
        DataError: the teacher was not asked one of the questions, or answered none.
    """
    found = {row.id: (row.prediction or "").strip() for row in answers}
    asked = [question.id for question in questions]
    if missing := [name for name in asked if name not in found]:
        raise DataError(
            f"the teacher has no answer to {len(missing)} of {len(asked)} questions, first {missing[0]}; run "
            "answer_as_teacher again"
        )
    left = sum(not found[name] for name in asked)
    if left == len(asked):
        raise DataError("the teacher answered no question with a word; use instruction.answers: gold")
    if left:
        print(f"the teacher said nothing to {left} of {len(asked)} questions; left out", file=sys.stderr)
    for question in questions:
        if answer := found[question.id]:
            yield question.model_copy(update={"golden_answers": [answer]})


def joint_examples(
    questions: Iterable[Question], tokens: Encoder, *, top_k: int, max_target_tokens: int
) -> Iterator[Example]:
    """Examples of joint training (section 3): a question, its whole pool, its answer; the model chooses top_k."""
    for question in questions:
        prompt = tokens.answer_prompt(question.question, min(top_k, len(question.docs)))
        target, lost = target_of(question.golden_answers[0], tokens, max_target_tokens)
        documents, gold = tuple(question.docs), tuple(question.pos_index)
        yield Example(question.id, question.id, documents, prompt, target, question.question, gold, lost=lost)


def narrowed(question: Question, most: int | None) -> Question:
    """The question with `most` of its candidates, in their order: the gold ones first, then the first of the others."""
    if most is None or len(question.docs) <= most:
        return question
    others = [number for number in range(len(question.docs)) if number not in question.pos_index]
    kept = sorted([*question.pos_index, *others][:most])
    gold = [place for place, number in enumerate(kept) if number in question.pos_index]
    docs = [question.docs[number] for number in kept]
    return question.model_copy(update={"docs": docs, "pos_index": gold, "bm25": None})


def distinct_questions(questions: Iterable[Question]) -> Iterator[Question]:
    """The same questions.

    Raises:
        DataError: at the second of two with one id.
    """
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise DataError(
                f"the question id {question.id} stands on two rows of the candidates; give every row its own"
            )
        seen.add(question.id)
        yield question


def rankable(questions: Iterable[Question]) -> Iterator[Question]:
    """Questions with gold documents and with others; says at the end how many are left out.

    Raises:
        DataError: there are none, at the end.
    """
    asked = kept = 0
    for question in questions:
        asked += 1
        if 0 < len(question.pos_index) < len(question.docs):
            kept += 1
            yield question
    if not kept:
        raise DataError(
            f"none of {asked} questions has both gold and other documents among its candidates, so no ranking can be "
            "learned; use candidates whose pos_index names the gold ones"
        )
    if left := asked - kept:
        print(f"{left} of {asked} questions lack gold or other documents; left out", file=sys.stderr)
