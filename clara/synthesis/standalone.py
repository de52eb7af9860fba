"""Whether a question makes sense to a reader who has not seen its passage: by form, without a model."""

import re

from clara.synthesis.checks import STOP, words

QUESTION_WORDS = (3, 40)
SEEN = re.compile(
    r"\b(?P<which>the|this|that|these|given|above)\s+(?:\w+\s+)?(?P<noun>document|passage|text|article|excerpt|paragraph|"
    r"author|writer|fact)s?\b|\bthis question\b|\bmentioned above\b",
    re.IGNORECASE,
)
"""What may be the passage in front of the writer, or something else that the question names."""
OTHERS_TOO = frozenset("author writer fact text article".split())
"""Nouns that passages speak of as well: `the author of The Hobbit`, `the American writer Anna`."""
NAMED_BEHIND = re.compile(r"\s+(?:(?:of|by|behind|who|whose|whom)\b|[\"\u201c]?[A-Z0-9])")
PRONOUNS = frozenset("it he she they him them his her hers its their theirs this these those".split())
CLOSED = re.compile(
    r"^(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|may|must)\b", re.IGNORECASE
)


def question_fault(question: str, title: str, *, complex_kind: bool) -> str | None:
    """Why a question cannot stand alone, if it cannot."""
    count = len(question.split())
    if not question.endswith("?"):
        return "no_question"
    if not QUESTION_WORDS[0] <= count <= QUESTION_WORDS[1]:
        return "question_length"
    if any(_is_passage(match, question) for match in SEEN.finditer(question)):
        return "not_self_contained"
    if _dangling(question, title):
        return "dangling_pronoun"
    if complex_kind and CLOSED.match(question):
        return "yes_no"
    return "repetition" if _repeats(question) else None


def _is_passage(match: re.Match[str], question: str) -> bool:
    """Whether words such as `the text` mean the passage itself, or someone whom only the passage tells."""
    if (match["which"] or "").lower() != "the":
        return True
    noun, before = match["noun"].lower(), question[: match.start()]
    if noun not in OTHERS_TOO:
        return match["noun"].islower()  # the Northwest Passage has a name
    if NAMED_BEHIND.match(question, match.end()) or (noun == "fact" and question[match.end() :].startswith(" that ")):
        return False
    told = re.search(r"\baccording to\s*$", before, re.IGNORECASE)
    # A person may be one who was named before; a text is not named by the people in it.
    return bool(told or noun not in ("author", "writer") or not re.search(r"\s[A-Z]", before))


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
    """A small model's loop: three words or more that follow themselves, or the same three words three times.

    A comparison may say three words twice: `… the director of the film A or the director of the film B?`.
    """
    found = words(question)
    triples = [tuple(found[place : place + 3]) for place in range(len(found) - 2)]
    if any(triples.count(triple) > 2 for triple in triples):
        return True
    return any(
        found[place : place + length] == found[place + length : place + 2 * length]
        for length in range(3, len(found) // 2 + 1)
        for place in range(len(found) - 2 * length + 1)
    )
