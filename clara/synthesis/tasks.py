"""The loop of one passage, as generators: each yields the requests it needs next and is sent their replies.

simple and complex: questions → an answer to each → a judgement of each → questions for what is not covered → again.
paraphrase: rewriting → judgement → again. Checks that need no model come before every judgement.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from clara import prompts
from clara.records import Passage
from clara.synthesis import parse, requests
from clara.synthesis.checks import answer_fault, duplicate_fault, fact_fault
from clara.synthesis.engine import Reply, Request
from clara.synthesis.facts import Fact, find_facts
from clara.synthesis.paraphrases import paraphrase_fault
from clara.synthesis.rows import TOO_MANY, Kind, Outcome
from clara.synthesis.standalone import question_fault
from clara.synthesis.templates import gap, inverted

Steps = Generator[list[Request], list[Reply], Outcome]
Part = Generator[list[Request], list[Reply], None]
Source = Literal["model", "facts", "templates"]
ATTEMPTS = 3
"""Draws of a reply that must be JSON before the passage goes to quarantine."""


@dataclass(frozen=True)
class TaskPlan:
    """What is asked of every passage; see the settings of synthesis."""

    sources: tuple[Source, ...]
    max_rounds: int
    questions_per_round: int
    model_validation: bool
    drawing: requests.Drawing
    exclude_uncovered: bool = False


class Quarantine(Exception):
    """A passage cannot be worked on; the message says why."""


def steps(passage: Passage, kind: Kind, plan: TaskPlan) -> Steps:
    """The work of one kind on one passage; a failure ends it with what was accepted before."""
    outcome = Outcome(passage, kind, prompts.version(*_prompts(kind, plan)))
    try:
        if kind == "paraphrase":
            yield from _paraphrase(outcome, plan)
        elif kind == "complex" or "model" in plan.sources:
            yield from _asked(outcome, plan)
        if kind == "simple" and set(plan.sources) & {"facts", "templates"}:
            yield from _from_facts(outcome, plan)
    except Quarantine as failure:
        outcome.failure = str(failure)
    if plan.exclude_uncovered and outcome.ending != "covered":
        outcome.withdraw("not_covered")
    return outcome


def _prompts(kind: Kind, plan: TaskPlan) -> tuple[str, ...]:
    if kind != "simple":
        return requests.USED[kind]
    asked = requests.USED["simple"] if "model" in plan.sources else ()
    return asked + (requests.USED["facts"] if "facts" in plan.sources else ())


def _asked(outcome: Outcome, plan: TaskPlan) -> Part:
    """The paper's way: the model asks and answers."""
    document, title, kind = outcome.passage.document, outcome.passage.title, outcome.kind
    for round in range(1, plan.max_rounds + 1):
        found = yield from _questions(outcome, plan, round)
        if not found:
            outcome.covered = bool(outcome.accepted)
            return
        for question in found[plan.questions_per_round :]:
            outcome.reject(question, "", TOO_MANY, round=round, source="model")
        fresh: list[str] = []
        for question in found[: plan.questions_per_round]:
            others = [(other, "") for other in fresh] + outcome.asked()
            fault = question_fault(question, title, complex_kind=kind == "complex")
            fault = fault or duplicate_fault(question, "", others)
            if fault:
                outcome.reject(question, "", fault, round=round, source="model")
            else:
                fresh.append(question)
        replies = yield from _replies([requests.answer(document, question, plan.drawing) for question in fresh])
        answered: list[tuple[str, str]] = []
        for question, reply in zip(fresh, replies, strict=True):
            if parse.cut_short(reply, parse.answer):
                outcome.reject(question, parse.answer(reply.text), "cut_short", round=round, source="model")
            else:
                answered.append((question, parse.answer(reply.text)))
        yield from _keep(outcome, plan, answered, round=round, source="model")
    outcome.covered = False  # the paper's loop ends with a reply that names no further question


def _questions(outcome: Outcome, plan: TaskPlan, round: int) -> Generator[list[Request], list[Reply], list[str]]:
    document, kind, number = outcome.passage.document, outcome.kind, plan.questions_per_round
    text = ""
    for attempt in range(ATTEMPTS):
        if outcome.accepted:
            request = requests.more_questions(
                document,
                kind,
                number,
                outcome.accepted,
                outcome.turned_away(),
                plan.drawing,
                round=round,
                attempt=attempt,
            )
        else:
            # Without a pair there is nothing to supplement: the first prompt is drawn again.
            request = requests.first_questions(document, kind, number, plan.drawing, attempt + ATTEMPTS * (round - 1))
        (reply,) = yield from _replies([request])
        text, found = reply.text, parse.questions(reply.text)
        if found is not None:
            return found
        outcome.reject("", text, "malformed", round=round, source="model")
    raise Quarantine(f"no JSON with questions in {ATTEMPTS} replies; the last began {text[:60]!r}")


def _from_facts(outcome: Outcome, plan: TaskPlan) -> Part:
    """Our way for small models: the answer is a span found by form, the model or a template asks for it."""
    title, number = outcome.passage.title, plan.questions_per_round
    facts = find_facts(title, outcome.passage.text)
    outcome.covered &= len(facts) <= plan.max_rounds * number
    for round in range(1, plan.max_rounds + 1):
        window = facts[(round - 1) * number : round * number]
        if not window:
            break
        moved = {fact: inverted(title, fact) for fact in window} if "templates" in plan.sources else {}
        asked = [fact for fact in window if "facts" in plan.sources and fact.beginning and not moved.get(fact)]
        before = {answer for _, answer in outcome.asked()}
        replies = yield from _replies([requests.fact_question(title, fact, plan.drawing) for fact in asked])
        good: list[tuple[str, str]] = []
        for fact, reply in zip(asked, replies, strict=True):
            question = parse.question(reply.text)
            fault = "cut_short" if parse.cut_short(reply, parse.question) else None
            fault = fault or fact_fault(question, fact.sentence, title)
            if fault:
                outcome.reject(question, fact.answer, fault, round=round, source="facts")
            else:
                good.append((question, fact.answer))
        yield from _keep(outcome, plan, good, round=round, source="facts")
        done = {answer for _, answer in outcome.asked()} - before
        if "templates" in plan.sources:
            rest = [fact for fact in window if fact.answer not in done]
            _from_templates(outcome, [(moved[fact] or gap(title, fact), fact) for fact in rest], round)


def _from_templates(outcome: Outcome, made: list[tuple[str, Fact]], round: int) -> None:
    """Right by construction: no model judges them, and a quoted statement may hold pronouns."""
    for question, fact in made:
        fault = answer_fault(fact.answer, question, outcome.passage.document)
        fault = fault or duplicate_fault(question, fact.answer, outcome.asked())
        if fault:
            outcome.reject(question, fact.answer, fault, round=round, source="templates")
        else:
            outcome.accept(question, fact.answer, round=round, source="templates")


def _keep(outcome: Outcome, plan: TaskPlan, pairs: list[tuple[str, str]], *, round: int, source: Source) -> Part:
    """Accepts the pairs that pass all checks and, if wanted, the model's judgement."""
    document, title, hard = outcome.passage.document, outcome.passage.title, outcome.kind == "complex"
    good: list[tuple[str, str]] = []
    for question, answer in pairs:
        fault = question_fault(question, title, complex_kind=hard)
        fault = fault or answer_fault(answer, question, document, complex_kind=hard, judged=plan.model_validation)
        fault = fault or duplicate_fault(question, answer, outcome.asked() + good)
        if fault:
            outcome.reject(question, answer, fault, round=round, source=source)
        else:
            good.append((question, answer))
    judged: list[bool | None] = [True] * len(good)
    if plan.model_validation:
        wanted = [requests.validation(document, question, answer, plan.drawing) for question, answer in good]
        judged = [parse.judgement(reply.text) for reply in (yield from _replies(wanted))]
    for (question, answer), verdict in zip(good, judged, strict=True):
        if verdict:
            outcome.accept(question, answer, round=round, source=source)
        else:
            reason = "judged_incorrect" if verdict is False else "no_judgement"
            outcome.reject(question, answer, reason, round=round, source=source)


def _paraphrase(outcome: Outcome, plan: TaskPlan) -> Part:
    passage = outcome.passage
    for round in range(1, plan.max_rounds + 1):
        (reply,) = yield from _replies([requests.paraphrase(passage.document, plan.drawing, round=round)])
        read = partial(parse.paraphrase, title=passage.title)
        rewritten = read(reply.text)
        reason = "cut_short" if parse.cut_short(reply, read) else None
        reason = reason or paraphrase_fault(rewritten, passage.text, passage.title)
        if reason is None and plan.model_validation:
            wanted = requests.paraphrase_validation(passage.document, rewritten, plan.drawing)
            (said,) = yield from _replies([wanted])
            verdict = parse.judgement(said.text)
            reason = None if verdict else "judged_incorrect" if verdict is False else "no_judgement"
        if reason is None:
            outcome.accept("", rewritten, round=round, source="model")
            return
        outcome.reject("", rewritten, reason, round=round, source="model")
    outcome.covered = False


def _replies(wanted: list[Request]) -> Generator[list[Request], list[Reply], list[Reply]]:
    replies = yield wanted
    for reply in replies:
        if reply.error is not None:
            raise Quarantine(reply.error)
    return replies
