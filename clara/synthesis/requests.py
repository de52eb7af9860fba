"""The requests of synthesis, from prompts and plain values.

All prompts about a passage have the same system message and begin with the passage, so that an engine reads it once for
all of them (`shared`).
"""

import hashlib
import json
from dataclasses import dataclass

from clara import prompts
from clara.records import Pair
from clara.synthesis.engine import Message, Request, Sampling
from clara.synthesis.facts import Fact
from clara.synthesis.parse import shown

ANSWER_TOKENS = 64
JUDGEMENT_TOKENS = 16
QUESTION_TOKENS = 40
QUESTION_CHARACTERS = 240
"""Where structured output is forced, a string may not run on for ever."""

FIRST = {"simple": "synthesis_simple", "complex": "synthesis_complex"}
MORE = {"simple": "synthesis_more_simple", "complex": "synthesis_more_complex"}
USED = {
    "simple": ("synthesis_simple", "synthesis_more_simple", "synthesis_answer", "synthesis_validate"),
    "complex": ("synthesis_complex", "synthesis_more_complex", "synthesis_answer", "synthesis_validate"),
    "facts": ("synthesis_fact", "synthesis_validate"),
    "paraphrase": ("synthesis_paraphrase", "synthesis_validate_paraphrase"),
}
"""The prompts behind each kind of row; their version stands in the row."""


@dataclass(frozen=True)
class Drawing:
    """How replies are drawn; see the settings of synthesis."""

    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int

    def sampled(self, tokens: int, *purpose: object) -> Sampling:
        """Sampling whose seed depends on `purpose` alone, never on the order of requests."""
        digest = hashlib.sha256("|".join(map(str, (self.seed, *purpose))).encode()).digest()
        return Sampling(self.temperature, self.top_p, tokens, int.from_bytes(digest[:4], "big") >> 1)

    def greedy(self, tokens: int) -> Sampling:
        """The likeliest reply."""
        return Sampling(0.0, 1.0, tokens, 0)


def first_questions(document: str, kind: str, number: int, drawing: Drawing, attempt: int) -> Request:
    """Questions about a document that has none yet."""
    sampling = drawing.sampled(drawing.max_new_tokens, document, kind, "questions", attempt)
    messages = _chat(FIRST[kind], document=document, number=number)
    return Request(messages, sampling, schema=_questions_schema(number, counted=False), shared=len(document))


def more_questions(
    document: str,
    kind: str,
    number: int,
    pairs: list[Pair],
    turned_away: list[str],
    drawing: Drawing,
    *,
    round: int,
    attempt: int,
) -> Request:
    """Questions for what the pairs found so far do not cover, other than those `turned_away`."""
    sampling = drawing.sampled(drawing.max_new_tokens, document, kind, "more", round, attempt)
    messages = _chat(MORE[kind], document=document, number=number, pairs=shown(pairs), turned_away=turned_away)
    return Request(messages, sampling, schema=_questions_schema(number, counted=True), shared=len(document))


def fact_question(title: str, fact: Fact, drawing: Drawing) -> Request:
    """The question that a given fact answers."""
    messages = _chat("synthesis_fact", title=title, sentence=fact.sentence, answer=fact.answer)
    return Request(messages, drawing.greedy(QUESTION_TOKENS), beginning=fact.beginning)


def answer(document: str, question: str, drawing: Drawing) -> Request:
    """The answer to one question."""
    messages = _chat("synthesis_answer", document=document, question=question)
    return Request(messages, drawing.greedy(ANSWER_TOKENS), beginning="Answer:", shared=len(document))


def validation(document: str, question: str, answer: str, drawing: Drawing) -> Request:
    """A judgement of one pair."""
    messages = _chat("synthesis_validate", document=document, question=question, answer=answer)
    choices = ('{"Judgment": "Correct"}', '{"Judgment": "Incorrect"}')
    return Request(messages, drawing.greedy(JUDGEMENT_TOKENS), choices=choices, shared=len(document))


def paraphrase(document: str, drawing: Drawing, *, round: int) -> Request:
    """The document in other words."""
    sampling = drawing.sampled(2 * drawing.max_new_tokens, document, "paraphrase", round)
    return Request(_chat("synthesis_paraphrase", document=document), sampling, shared=len(document))


def paraphrase_validation(document: str, rewritten: str, drawing: Drawing) -> Request:
    """A judgement of a paraphrase."""
    messages = _chat("synthesis_validate_paraphrase", document=document, paraphrase=rewritten)
    return Request(messages, drawing.greedy(JUDGEMENT_TOKENS), choices=("Yes", "No"), shared=len(document))


def _chat(name: str, **values: object) -> tuple[Message, ...]:
    return tuple(Message(role, text) for role, text in prompts.render_chat(name, **values))  # type: ignore[arg-type]


def _questions_schema(number: int, *, counted: bool) -> str:
    question = {"type": "string", "maxLength": QUESTION_CHARACTERS}
    properties: dict[str, object] = {f"Question{place}": question for place in range(1, number + 1)}
    required = [] if counted else ["Question1"]
    if counted:
        properties = {
            "Number of Supplementary Questions": {"type": "integer", "minimum": 0, "maximum": number},
            **properties,
        }
        required = ["Number of Supplementary Questions"]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return json.dumps(schema)
