"""Whether a pair is right, told by a program that is not the generator: the passage must give the answer back.

None of these is a judgement of style. A pair is right when

1. the answer stands in a sentence of the passage, word by word, and not in the question;
2. it is of the sort that the question asks for: a year for "in what year", a number for "how many";
3. that sentence holds what the question asks about: most content words that are not the title's;
4. no other sentence fits the question better: who looks the question up arrives at the answer's sentence.

For a statement with a gap, in place of 3 and 4: filled with the answer it stands in the passage.

The check is stricter than a reader where an answer is put in other words or joins two sentences, and laxer where a
sentence holds several answers of one sort, and where a question made of the right words makes no sense. What it is
worth is measured beside it: of the same questions with another answer of the same passage, few may pass.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Any

from clara.data.candidates import passage_of
from clara.data.sentences import sentences
from clara.records import Pair
from clara.synthesis.checks import content, stands_in, words
from clara.synthesis.facts import find_facts
from clara.synthesis.report import ratio
from clara.synthesis.templates import GAP

HELD = 0.7
"""Share of the question's content words that the sentence must hold; the rest may be wording."""
NUMBER = r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million)\b"
SORTS = (
    (r"^(?:in |by |since )?(?:what|which) year\b", r"^(?:in )?\d{3,4}\b"),
    (r"^(?:how many|how much|how old|how long|what percentage)\b", NUMBER),
    (r"^(?:on what date|when)\b", r"\d|century|day|spring|summer|autumn|winter"),
    (r"^who\b(?! or what)", r"^(?!\W*\d[\d.,%]*\W*$)"),
)
"""How a question begins, and what its answer must look like."""


def fault(pair: Pair) -> str | None:
    """Why a pair of question and answer is not seen to be right, or None when it is."""
    passage = passage_of(pair.document)
    found = sentences(passage.text)
    holding = [number for number, sentence in enumerate(found) if stands_in(pair.answer, sentence)]
    if not holding:
        return "answer_not_in_a_sentence"
    if stands_in(pair.answer, pair.question):
        return "answer_in_question"
    for beginning, form in SORTS:
        if re.search(beginning, pair.question, re.IGNORECASE) and not re.search(form, pair.answer, re.IGNORECASE):
            return "answer_of_another_sort"
    if statement := re.search(rf'"(.*{GAP}.*)"', pair.question):
        return None if stands_in(statement[1].replace(GAP, pair.answer), passage.text) else "does_not_fill_the_gap"
    asked = set(content(pair.question)) - set(content(passage.title)) or set(content(pair.question))
    shared = [len(asked & set(content(sentence))) for sentence in found]
    best = max(shared[number] for number in holding)
    if best < HELD * len(asked):
        return "question_not_in_that_sentence"
    return "another_sentence_fits_better" if max(shared) > best else None


def measure(pairs: Sequence[Pair], seed: int) -> dict[str, Any]:
    """How many of some pairs are right, with a 95 % interval, and how many are when their answers are wrong.

    Args:
        pairs: questions and answers, a random sample.
        seed: of the wrong answers: each another fact of the same passage.
    """
    faults = [fault(pair) for pair in pairs]
    wrong = [other for pair in pairs if (other := _with_another_answer(pair, random.Random(f"{seed}-{pair.id}")))]
    low, high = wilson(faults.count(None), len(faults))
    return {
        "pairs": len(pairs),
        "right": faults.count(None),
        "low": low,
        "high": high,
        "faults": dict(sorted(Counter(name for name in faults if name).items())),
        "with_another_answer": {"pairs": len(wrong), "right": sum(fault(pair) is None for pair in wrong)},
    }


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not trials:
        return 0.0, 1.0
    z, share = 1.96, successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return ratio(max(0.0, middle - half), 1), ratio(min(1.0, middle + half), 1)


def _with_another_answer(pair: Pair, choice: random.Random) -> Pair | None:
    passage = passage_of(pair.document)
    given = " ".join(words(pair.answer))
    others = [fact.answer for fact in find_facts(passage.title, passage.text)]
    others = [other for other in others if (plain := " ".join(words(other))) not in given and given not in plain]
    return pair.model_copy(update={"answer": choice.choice(others)}) if others else None
