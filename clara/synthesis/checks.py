"""Checks of pairs that need no model. Each gives the reason of a rejection, or None."""

import re

from clara.synthesis.parse import refused

QUESTION_WORDS = (3, 40)
ANSWER_WORDS = 40
GROUNDED_SHARE = 0.8
"""Share of an answer's content words that must stand in the passage; the rest may be joined by the model."""
NEAR_DUPLICATE = 0.75
"""Share of content words that two questions may have in common (Jaccard)."""

DOCUMENT = re.compile(
    r"\b(?:the|this|that|these|given|above)\s+(?:\w+\s+)?"
    r"(?:document|passage|text|article|excerpt|paragraph|author|writer|fact)s?\b"
    r"|\bthis question\b|\bmentioned above\b",
    re.IGNORECASE,
)
PRONOUNS = frozenset("it he she they him them his her hers its their theirs this these those".split())
CLOSED = re.compile(
    r"^(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|may|must)\b", re.IGNORECASE
)
STOP = frozenset(
    """a an the of in on at by to for from with and or as is was were are be been being did do does done has have had
    having what which who whom whose where when why how many much not no its it their his her this that these those
    there than then also into year date kind percentage name named called can could will would may""".split()
)


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


def question_fault(question: str, title: str, *, complex_kind: bool) -> str | None:
    """Why a question cannot stand alone, if it cannot."""
    count = len(question.split())
    if not question.endswith("?"):
        return "no_question"
    if not QUESTION_WORDS[0] <= count <= QUESTION_WORDS[1]:
        return "question_length"
    if DOCUMENT.search(question):
        return "not_self_contained"
    if _dangling(question, title):
        return "dangling_pronoun"
    if complex_kind and CLOSED.match(question):
        return "yes_no"
    return "repetition" if _repeats(question) else None


def answer_fault(answer: str, question: str, document: str) -> str | None:
    """Why an answer is unusable, if it is: empty, a refusal, too long, given away, or not from the passage."""
    if not answer or not words(answer):
        return "empty_answer"
    if refused(answer):
        return "refusal"
    if len(answer.split()) > ANSWER_WORDS:
        return "answer_length"
    if " ".join(words(answer)) in " ".join(words(question)):
        return "answer_in_question"
    return None if grounded(answer, document) else "not_grounded"


def grounded(answer: str, document: str) -> bool:
    """Whether every number and nearly every content word of the answer stands in the document."""
    known = {stem(word) for word in words(document)}
    needed = content(answer) or [stem(word) for word in words(answer)]
    numbers = [word for word in words(answer) if word[0].isdigit()]
    if any(stem(number) not in known for number in numbers):
        return False
    return sum(word in known for word in needed) >= GROUNDED_SHARE * len(needed)


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


def _dangling(question: str, title: str) -> bool:
    """A pronoun with no name before it that it could stand for."""
    names = {word for word in words(title) if word not in STOP}
    before: list[str] = []
    for token in re.findall(r"[^\W_]+", re.sub(r'"[^"]*"', "", question)):
        if token.lower() in PRONOUNS:
            named = any(word[0].isupper() or word[0].isdigit() for word in before[1:])
            if not named and not names & {word.lower() for word in before}:
                return True
        before.append(token)
    return False


def _repeats(question: str) -> bool:
    """The same three words twice: a small model's loop."""
    found = words(question)
    triples = list(zip(found, found[1:], found[2:], strict=False))
    return len(triples) != len(set(triples))
