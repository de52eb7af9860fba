"""Checks of pairs that need no model: each gives the reason of a rejection, or None. `standalone` has the rest."""

import re
from itertools import combinations

from clara.synthesis.parse import refused

ANSWER_WORDS = 40
GROUNDED_SHARE = 0.8
"""Share of an answer's content words that must stand in the passage; the rest may be joined by the model."""
COUNTED = 12
"""Largest number that may be counted without standing in the passage, where a model judges it."""
NEAR_DUPLICATE = 0.75
"""Share of content words that two questions may have in common (Jaccard)."""

STOP = frozenset(
    """a an the of in on at by to for from with and or as is was were are be been being did do does done has have had
    having what which who whom whose where when why how many much not no its it their his her this that these those
    there than then also into year date kind percentage name named called can could will would may""".split()
)

NUMERALS = {
    word: str(number)
    for number, word in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)
}
CHOICE = re.compile(r"\bor\b|\b(?:which|who|whose) of\b|\bof the (?:two|three|four)\b|\bbetween\b", re.IGNORECASE)
"""In a question that names what to choose from."""


def words(text: str) -> list[str]:
    """Lower-case words and numbers; thousands separators removed, possessive endings cut."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower().replace("\u2019", "'"))
    return [word.removesuffix("'s").strip("'") for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?(?:\.\d+)?", plain)]


def stem(word: str) -> str:
    """A word without a common ending: crude, and enough to match `started` with `start`."""
    return re.sub(r"(?:ied|ies|ing|ed|es|s|e|y)$", "", word) if len(word) > 4 else word


def content(text: str) -> list[str]:
    """Stems of the words that carry meaning."""
    return [stem(word) for word in words(text) if word not in STOP]


def stands_in(part: str, text: str) -> bool:
    """Whether a text holds another, whole word by whole word."""
    return f" {' '.join(words(part))} " in f" {' '.join(words(text))} "


def answer_fault(
    answer: str, question: str, document: str, *, complex_kind: bool = False, judged: bool = False
) -> str | None:
    """Why an answer is unusable, if it is: empty, a refusal, too long, given away, or not from the passage.

    Args:
        answer: the answer.
        question: what it answers.
        document: the passage.
        complex_kind: the answer may be one of the things that the question compares, or a number worked out.
        judged: a model will judge the pair; counts of a complex question are left to it.
    """
    if not answer or not words(answer):
        return "empty_answer"
    if refused(answer):
        return "refusal"
    if len(answer.split()) > ANSWER_WORDS:
        return "answer_length"
    if stands_in(answer, question) and not (complex_kind and _is_alternative(answer, question)):
        return "answer_in_question"
    return None if grounded(answer, document, complex_kind=complex_kind, judged=judged) else "not_grounded"


def grounded(answer: str, document: str, *, complex_kind: bool = False, judged: bool = False) -> bool:
    """Whether every number and nearly every content word of the answer stands in the document; see `answer_fault`."""
    found = words(document)
    known = {stem(word) for word in found} | {NUMERALS[word] for word in found if word in NUMERALS}

    def stands(word: str) -> bool:
        value = NUMERALS.get(word, word)
        if stem(word) in known or value in known:
            return True
        counted = judged and value.isdigit() and int(value) <= COUNTED
        return complex_kind and (counted or _worked_out(value, found))

    needed = [word for word in words(answer) if word not in STOP] or words(answer)
    if any(word[0].isdigit() and not stands(word) for word in words(answer)):
        return False
    return sum(map(stands, needed)) >= GROUNDED_SHARE * len(needed)


def duplicate_fault(question: str, answer: str, others: list[tuple[str, str]]) -> str | None:
    """Whether the question repeats one of `others`, pairs as well: word by word, or nearly with the same answer."""
    mine = set(content(question))
    for other, other_answer in others:
        if words(question) == words(other):
            return "duplicate"
        theirs = set(content(other))
        near = len(mine & theirs) >= NEAR_DUPLICATE * max(1, len(mine | theirs))
        if near and words(answer) == words(other_answer):
            return "near_duplicate"
    return None


def fact_fault(question: str, sentence: str, title: str) -> str | None:
    """Whether a question about a given sentence brings in words that are not there, or says too little."""
    known = set(content(sentence + " " + title))
    asked = content(question)
    if len(set(asked)) < 2:
        return "vague"
    return None if set(asked) <= known else "not_faithful"


def _is_alternative(answer: str, question: str) -> bool:
    """Whether a question offers the answer to choose from: `Which is older, the Vasa or the Mary Rose?`."""
    parts = re.split(r"[,;](?!\d{3})", question)
    listed = f" {' , '.join(' '.join(words(part)) for part in parts)} "
    named = "(?: ,)? ".join(map(re.escape, words(answer)))
    # Up to two words may stand before a name: `or the ship Vasa`.
    beside = rf" (?:,|and|or|between) (?:[^ ,]+ ){{0,2}}{named} | {named} (?:, )?(?:and|or) "
    return CHOICE.search(question) is not None and re.search(beside, listed) is not None


def _worked_out(value: str, found: list[str]) -> bool:
    """Whether a number is the sum or the difference of two that stand among the words of a passage."""
    plain = re.compile(r"\d+(?:\.\d+)?")
    if not plain.fullmatch(value):
        return False
    given = [float(number) for word in found if plain.fullmatch(number := NUMERALS.get(word, word))]
    return any(
        round(result - float(value), 6) == 0 for a, b in combinations(given, 2) for result in (a + b, abs(a - b))
    )
