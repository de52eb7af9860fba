"""Questions made from facts by rule, without a model: right by construction, plain in style."""

import re

from clara.synthesis.facts import Fact

AUXILIARY = re.compile(r"\b(is|was|are|were|(?:has|have|had)(?= been\b)|can|could|may|will)\b")
CLAUSE = re.compile(
    r"[,;:()]|\b(that|which|who|whose|where|when|while|because|although|if|and|or|but)\b", re.IGNORECASE
)
PREPOSITION = re.compile(r"(?:To|In|On|At|By|For|From|With|Of|Among|Under|After|Before)\b")
PRONOUN = re.compile(r"^(It|He|She)\b")
OTHER_PRONOUN = re.compile(
    r"\b(it|its|he|his|she|her|they|their|them|this|these|those|here|there|such|former|latter)\b", re.IGNORECASE
)
LOWERED = frozenset(
    {"The", "A", "An", "Both", "Most", "Some", "Many", "Several", "All", "Each", "Every", "One", "Two", "Three"}
)
GAP = "____"


def inverted(title: str, fact: Fact) -> str | None:
    """`X was built in 1902 by Y` as `In what year was X built by Y?`; None for a less plain sentence."""
    if fact.kind == "definition":
        return _definition(title, fact)
    if fact.kind == "subject":
        return f"Who or what{fact.sentence[len(fact.answer) :].rstrip('.!? ')}?"
    asked = {"year": "In what year", "date": "On what date", "place": "Where", "agent": "By whom or by what"}.get(
        fact.kind
    )
    if asked is None:
        return None
    sentence = PRONOUN.sub(title, fact.sentence)
    start = sentence.index(fact.answer)
    # The preposition goes with the answer.
    phrase_start = sentence.rindex(" ", 0, start - 1) if " " in sentence[: start - 1] else 0
    auxiliary = AUXILIARY.search(sentence)
    if auxiliary is None or auxiliary.start() > phrase_start or not auxiliary.start():
        return None
    subject = sentence[: auxiliary.start()].strip()
    between = sentence[auxiliary.end() : phrase_start].strip()
    if (
        CLAUSE.search(subject)
        or len(subject.split()) > 8
        or CLAUSE.search(between)
        or not between
        or OTHER_PRONOUN.search(subject + " " + between)
    ):
        return None
    first, _, others = subject.partition(" ")
    subject = f"{first.lower()} {others}".strip() if first in LOWERED else subject
    return f"{asked} {auxiliary.group()} {subject} {between}?"


def _definition(title: str, fact: Fact) -> str | None:
    match = re.match(r"(.{2,60}?) (is|was|are|were) $", fact.sentence[: fact.start])
    if match is None:
        return None
    subject = PRONOUN.sub(title, match.group(1))
    if (
        CLAUSE.search(subject)
        or PREPOSITION.match(subject)
        or OTHER_PRONOUN.search(subject)
        or fact.sentence[: fact.start].count(f" {match.group(2)} ") != 1
    ):
        return None
    first, _, others = subject.partition(" ")
    subject = f"{first.lower()} {others}".strip() if first in LOWERED else subject
    return f"What {match.group(2)} {subject}?"


def gap(title: str, fact: Fact) -> str:
    """The sentence with a gap in the answer's place."""
    end = fact.start + len(fact.answer)
    sentence = (fact.sentence[: fact.start] + GAP + fact.sentence[end:]).rstrip(".!? ")
    return f'What fills the gap in this statement about {title}: "{sentence}"?'
