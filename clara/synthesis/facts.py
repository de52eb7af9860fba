"""Facts that a passage states, found by form alone: a sentence and the words in it that can be asked for.

Asking a model for the question to a given answer, instead of an answer to its own question, makes every answer a span
of the passage. A model of 135M parameters, which cannot answer reliably, can still phrase such questions.
"""

import re
from dataclasses import dataclass
from typing import Literal

FactKind = Literal["year", "date", "number", "percentage", "place", "agent", "definition", "subject", "name", "term"]

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
WORD = r"[A-Z][\w'\u2019&-]*\w"
COUNTED = r"(?:people|children|women|men|(?:[a-z-]{3,} )?[a-z-]{3,}s)\b"
AFTER_PLACE = "and|or|by|from|to|for|with|on|after|before|during|until|since|when|where|as|between|near"
NOUN_ENDINGS = "tion|sion|ment|ness|ity|ism|ist|ance|ence|logy|graphy|ture|ship|ics"
NAME = rf"{WORD}(?: (?:of |the |de |von |van |du )*{WORD})*"
PATTERNS: tuple[tuple[FactKind, re.Pattern[str]], ...] = (
    ("date", re.compile(rf"\b[Oo]n (\d{{1,2}} (?:{MONTHS}) \d{{4}}|(?:{MONTHS}) \d{{1,2}}, \d{{4}})")),
    ("year", re.compile(r"\b[Ii]n (1\d{3}|20\d\d)\b(?![-\u2013'\u2019]|s\b)")),
    ("percentage", re.compile(r"(?<![\d.\u2013-])(\d+(?:\.\d+)?(?:%| percent| per cent))(?= of )")),
    (
        "number",
        re.compile(
            r"(?<![\w.,:/$£€\u2013-])(\d+(?:,\d{3})*(?:\.\d+)?(?: (?:million|billion))?)"
            rf"(?= {COUNTED})"
        ),
    ),
    (
        "definition",
        re.compile(
            r"^(?:The |An? )?[\w'\u2019 -]{2,50} (?:is|was|are|were) ((?:an?|the) [^,.;:()]{8,70}?)"
            r"(?=,|\.|;| that | which | who | \()"
        ),
    ),
    ("subject", re.compile(rf"^((?:The )?{NAME}(?: and {NAME})?)(?= (?:was|were|is|are|has|had|[a-z]+ed)\b)")),
    ("agent", re.compile(rf"\b[a-z]+(?:ed|en|wn|lt|de) by ({NAME})")),
    # A name before a noun is an adjective ("in Western thought"); before an initial it is half a name.
    ("place", re.compile(rf"\b(?:in|near|at) ({NAME})(?=[,.;)]|$| (?:{AFTER_PLACE})\b)(?!\. [A-Z])")),
    ("name", re.compile(rf"(?<=[a-z,] )({NAME})")),
    ("term", re.compile(rf"(?<=[a-z,] )([a-z]{{2,}}(?:{NOUN_ENDINGS})s?)\b")),
)
"""In order of trust: where spans overlap, the first stands."""
BEGINNINGS: dict[FactKind, str] = {
    "year": "In what year",
    "date": "On what date",
    "percentage": "What percentage of",
    "place": "Where",
}
SENTENCE_END = re.compile(r"(?<=[a-z0-9)\"”%]{2}[.!?])\s+(?=[A-Z\"“])")
VAGUE = re.compile(
    r"(?:This|These|Those|That|Most|Some|Many|Several|All|Both|Each|Other|Another|They|There|What|Its|His|Her|Their|One)\b"
)
"""First words of a sentence that only look like a name."""
MIN_WORDS, MAX_WORDS = 6, 40


@dataclass(frozen=True)
class Fact:
    """A sentence of a passage and a span of it that answers a question about the rest."""

    kind: FactKind
    sentence: str
    start: int
    """Where the answer stands in the sentence."""
    answer: str

    @property
    def beginning(self) -> str:
        """How a question for this answer starts; empty where the form does not tell."""
        if self.kind == "number":
            noun = re.match(rf" ({COUNTED})", self.sentence[self.start + len(self.answer) :])
            return f"How many {noun.group(1)}" if noun else ""
        return BEGINNINGS.get(self.kind, "")


def sentences(text: str) -> list[str]:
    """The sentences of a text that are long enough to state a fact and short enough to quote."""
    found = [sentence.strip() for sentence in SENTENCE_END.split(" ".join(text.split()))]
    return [
        sentence
        for sentence in found
        if MIN_WORDS <= len(sentence.split()) <= MAX_WORDS and sentence.count('"') % 2 == 0
    ]


def find_facts(title: str, text: str) -> list[Fact]:
    """The facts of a passage, each answer once: first one of every sentence, then the second ones, and so on.

    Args:
        title: the article's title; what it names is no answer.
        text: the passage without its title.
    """
    by_sentence = [_facts_of(title, sentence) for sentence in sentences(text)]
    facts: list[Fact] = []
    seen: set[str] = set()
    for place in range(max(map(len, by_sentence), default=0)):
        for found in by_sentence:
            if place < len(found) and found[place].answer.lower() not in seen:
                seen.add(found[place].answer.lower())
                facts.append(found[place])
    return facts


def _facts_of(title: str, sentence: str) -> list[Fact]:
    facts: list[Fact] = []
    taken: list[tuple[int, int]] = []
    for kind, pattern in PATTERNS:
        for match in pattern.finditer(sentence):
            start, end = match.span(1)
            answer = match.group(1).strip()
            second_term = kind == "term" and facts and facts[-1].kind == "term"
            overlaps = second_term or any(start < other_end and other_start < end for other_start, other_end in taken)
            if overlaps or not _usable(answer, title, sentence, kind):
                continue
            taken.append((start, end))
            facts.append(Fact(kind, sentence, start, answer))
    return facts


def _usable(answer: str, title: str, sentence: str, kind: FactKind) -> bool:
    if sentence.lower().count(answer.lower()) != 1:
        return False
    if kind in ("place", "agent", "subject", "name"):
        month = re.fullmatch(rf"(?:{MONTHS})", answer)
        known = answer.lower() in title.lower() or title.lower() in answer.lower()
        return (
            len(answer) >= 4 and not (known or month or VAGUE.match(answer)) and not answer.endswith(("'s", "\u2019s"))
        )
    last = answer.split()[-1]
    return kind != "definition" or (
        3 <= len(answer.split()) <= 9 and last not in ("in", "of", "by", "for", "to", "and")
    )
