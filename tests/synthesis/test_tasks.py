"""One passage's loop: rounds, supplementary questions, judgements, quarantine, facts, paraphrases."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clara.records import Passage
from clara.synthesis import loop
from clara.synthesis.cache import ReplyCache
from clara.synthesis.engine import Reply, Request, failure
from clara.synthesis.engine_scripted import ScriptedEngine
from clara.synthesis.requests import Drawing
from clara.synthesis.rows import Outcome
from clara.synthesis.tasks import ATTEMPTS, TaskPlan, steps

PLAN = TaskPlan(("model",), 3, 2, True, Drawing(0.7, 0.95, 64, 1))
Script = Callable[[Request], str | Reply]


def purpose(request: Request) -> str:
    """What a request asks for, told by its prompt."""
    text = request.messages[-1].content
    for words, name in (
        ("have been asked already", "more"),
        ("Answer from the passage", "answer"),
        ("Is this answer correct", "judge"),
        ("Rewritten version", "judge_paraphrase"),
        ("in your own words", "paraphrase"),
        ("Ask a question about this fact", "fact"),
    ):
        if words in text:
            return name
    return "questions"


def script(**replies: str | list[str]) -> Script:
    """Replies by purpose; a list is used up one by one."""
    left = {name: [reply] if isinstance(reply, str) else list(reply) for name, reply in replies.items()}

    def answer(request: Request) -> str:
        queue = left[purpose(request)]
        return queue.pop(0) if len(queue) > 1 else queue[0]

    return answer


@pytest.fixture
def run(tmp_path: Path, town: Passage) -> Callable[..., tuple[Outcome, list[str]]]:
    def run_one(kind: str, told: Script, plan: TaskPlan = PLAN) -> tuple[Outcome, list[str]]:
        engine = ScriptedEngine(told)
        cache = ReplyCache(tmp_path)
        outcomes: list[Outcome] = []
        loop.run([steps(town, kind, plan)], engine, cache, take=outcomes.append)  # type: ignore[arg-type]
        cache.close()
        return outcomes[0], [purpose(request) for request in engine.requests]

    return run_one


def questions(*texts: str) -> str:
    return json.dumps({f"Question{place}": text for place, text in enumerate(texts, 1)})


GOOD = (
    "On the river Brisk lies the little town of Aldermoor. Ida Thorne founded it in 1204 and raised its first bridge. "
    "Traders took its famous green glass to the coast. After a long quarrel the market square got a pavement in 1902. "
    "Today some 3,200 people live in the place."
)
CORRECT = '{"Judgment": "Correct"}'
NONE_LEFT = '{"Number of Supplementary Questions": 0}'


def test_the_loop_ends_when_everything_is_covered(run: Callable[..., tuple[Outcome, list[str]]]) -> None:
    outcome, asked = run(
        "simple",
        script(
            questions=questions("In what year was Aldermoor founded?", "Who built the bridge of Aldermoor?"),
            answer=["Answer: Ida Thorne", "Answer: 1204"],  # the latest request is answered first
            judge=CORRECT,
            more=NONE_LEFT,
        ),
    )
    assert [(pair.question, pair.answer, pair.round, pair.source) for pair in outcome.accepted] == [
        ("In what year was Aldermoor founded?", "1204", 1, "model"),
        ("Who built the bridge of Aldermoor?", "Ida Thorne", 1, "model"),
    ]
    assert asked == ["questions", "answer", "answer", "judge", "judge", "more"]
    assert outcome.rejected == []


@pytest.mark.parametrize(
    ("kind", "replies", "ending"),
    [
        ("simple", {"more": NONE_LEFT}, "covered"),
        ("simple", {"more": '{"Number of Supplementary Questions": 1}'}, "quarantined"),
        ("simple", {"more": questions("On which river does Aldermoor lie?")}, "rounds_exhausted"),
        ("simple", {"questions": "{}"}, "rounds_exhausted"),  # nothing was asked, so nothing is covered
        ("paraphrase", {"judge_paraphrase": "Yes"}, "covered"),
        ("paraphrase", {"judge_paraphrase": "No"}, "rounds_exhausted"),
    ],
)
def test_each_passage_says_how_it_ended(
    kind: str, replies: dict[str, str], ending: str, run: Callable[..., tuple[Outcome, list[str]]]
) -> None:
    first = {"questions": questions("In what year was Aldermoor founded?"), "answer": "Answer: 1204", "judge": CORRECT}
    outcome, _ = run(kind, script(**{**first, "paraphrase": GOOD, **replies}))
    assert outcome.ending == ending


@pytest.mark.parametrize(("number", "ending"), [(4, "rounds_exhausted"), (5, "covered")])
def test_facts_are_covered_when_each_was_asked_for(
    number: int, ending: str, run: Callable[..., tuple[Outcome, list[str]]]
) -> None:
    plan = replace(PLAN, sources=("templates",), max_rounds=1, questions_per_round=number)
    outcome, _ = run("simple", script(), plan)
    assert outcome.ending == ending


def test_supplementary_rounds_know_the_pairs_and_stop_at_the_limit(
    run: Callable[..., tuple[Outcome, list[str]]],
) -> None:
    told = script(
        questions=questions("In what year was Aldermoor founded?"),
        more=[questions("On which river does Aldermoor lie?"), questions("What glass is Aldermoor known for?")],
        answer=["Answer: 1204", "Answer: Brisk", "Answer: green glass"],
        judge=CORRECT,
    )
    outcome, asked = run("simple", told)
    assert [(pair.answer, pair.round) for pair in outcome.accepted] == [("1204", 1), ("Brisk", 2), ("green glass", 3)]
    assert asked.count("more") == 2  # rounds 2 and 3


def test_supplementary_prompts_list_what_was_tried_in_vain(run: Callable[..., tuple[Outcome, list[str]]]) -> None:
    good, bad, beyond = (f"{begun} Aldermoor founded?" for begun in ("In what year was", "By which dragons was", "Was"))
    told = script(questions=questions(good, bad, beyond), answer=["Answer: Fafnir", "Answer: 1204"], judge=CORRECT)
    asked: list[str] = []

    def answer(request: Request) -> str | Reply:
        if purpose(request) != "more":
            return told(request)
        asked.append(request.messages[-1].content)
        return NONE_LEFT

    outcome, _ = run("simple", answer)
    assert [pair.reason for pair in outcome.rejected] == ["too_many", "not_grounded"]
    (text,) = asked
    assert f"\n- {good} (1204)\n" in text
    assert text.index("ask none of them again") < text.index(f"\n- {bad}\n") < text.index("Task:")
    assert beyond not in text


def test_a_pair_judged_incorrect_is_kept_with_its_reason(run: Callable[..., tuple[Outcome, list[str]]]) -> None:
    told = script(
        questions=questions("In what year was Aldermoor founded?"),
        answer="Answer: 1902",
        judge='{"Judgment": "Incorrect"}',
    )
    outcome, _ = run("simple", told, replace(PLAN, max_rounds=1))
    assert outcome.accepted == []
    assert [(pair.reason, pair.answer) for pair in outcome.rejected] == [("judged_incorrect", "1902")]
    assert outcome.failure is None


def test_checks_spare_the_judgement(run: Callable[..., tuple[Outcome, list[str]]]) -> None:
    told = script(questions=questions("What does the text say?", "Is Aldermoor old?"), answer="Answer: not stated")
    outcome, asked = run("complex", told, replace(PLAN, max_rounds=1))
    assert [pair.reason for pair in outcome.rejected] == ["not_self_contained", "yes_no"]
    assert asked == ["questions"]


def cut(text: str) -> Reply:
    return Reply(text, "length", 1, 64)


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (cut("Answer: 1204"), False),  # or 12045, for all we know
        (cut("Answer:"), False),
        (cut("Answer: 1204\n\nExplanation: the pass"), True),
        (Reply("Answer: 1204", "stop", 1, 3), True),
    ],
)
def test_an_answer_that_the_limit_cut_is_none(
    answer: Reply, taken: bool, run: Callable[..., tuple[Outcome, list[str]]]
) -> None:
    told = script(questions=questions("In what year was Aldermoor founded?"), answer="", judge=CORRECT)
    outcome, asked = run(
        "simple",
        lambda request: answer if purpose(request) == "answer" else told(request),
        replace(PLAN, max_rounds=1),
    )
    assert [pair.answer for pair in outcome.accepted] == ["1204"] * taken
    assert [pair.reason for pair in outcome.rejected] == ["cut_short"] * (not taken)
    assert ("judge" in asked) == taken


@pytest.mark.parametrize("remark", ["", "\n\nNote: I"])
def test_a_paraphrase_that_the_limit_cut_is_none(remark: str, run: Callable[..., tuple[Outcome, list[str]]]) -> None:
    told = script(paraphrase="", judge_paraphrase="Yes")
    outcome, _ = run(
        "paraphrase", lambda request: cut(GOOD + remark) if purpose(request) == "paraphrase" else told(request)
    )
    assert [pair.answer for pair in outcome.accepted] == [GOOD] * bool(remark)
    assert {pair.reason for pair in outcome.rejected} == (set() if remark else {"cut_short"})


@pytest.mark.parametrize(("text", "whole"), [("In what year was Aldermoor", False), ("Founded in what year? It", True)])
def test_a_question_about_a_fact_that_the_limit_cut_is_none(
    text: str, whole: bool, run: Callable[..., tuple[Outcome, list[str]]]
) -> None:
    plan = replace(PLAN, sources=("facts",), model_validation=False, max_rounds=1)
    outcome, _ = run("simple", lambda request: cut(text), plan)
    assert ("cut_short" in {pair.reason for pair in outcome.rejected}) != whole


def test_questions_beyond_the_number_asked_for_are_counted(run: Callable[..., tuple[Outcome, list[str]]]) -> None:
    asked = ("In what year was Aldermoor founded?", "On which river does Aldermoor lie?", "Who founded Aldermoor?")
    told = script(questions=questions(*asked), answer=["Answer: Brisk", "Answer: 1204"], judge=CORRECT)
    outcome, _ = run("simple", told, replace(PLAN, max_rounds=1))
    assert [(pair.question, pair.reason) for pair in outcome.rejected] == [(asked[2], "too_many")]
    assert len(outcome.accepted) == 2


def test_malformed_json_is_drawn_again_then_ends_in_quarantine(
    run: Callable[..., tuple[Outcome, list[str]]],
) -> None:
    outcome, asked = run("simple", script(questions="1. Who?"))
    assert asked == ["questions"] * ATTEMPTS
    assert outcome.failure is not None
    assert "no JSON with questions in 3 replies" in outcome.failure
    assert [pair.reason for pair in outcome.rejected] == ["malformed"] * ATTEMPTS


def test_malformed_json_is_forgiven_when_the_next_draw_is_good(
    run: Callable[..., tuple[Outcome, list[str]]],
) -> None:
    told = script(
        questions=["oops", questions("In what year was Aldermoor founded?")],
        answer="1204",
        judge=CORRECT,
        more=NONE_LEFT,
    )
    outcome, _ = run("simple", told)
    assert outcome.failure is None
    assert len(outcome.accepted) == 1


def test_a_request_that_fails_ends_in_quarantine_with_its_reason(
    run: Callable[..., tuple[Outcome, list[str]]],
) -> None:
    outcome, _ = run("simple", lambda request: failure("prompt too long"))
    assert outcome.failure == "prompt too long"


def test_facts_are_asked_for_with_their_beginning_and_templates_fill_in(
    run: Callable[..., tuple[Outcome, list[str]]],
) -> None:
    plan = replace(PLAN, sources=("facts", "templates"), model_validation=False, max_rounds=1, questions_per_round=8)
    told = script(fact="How many people live in Aldermoor today?")
    outcome, asked = run("simple", told, plan)
    rows = {pair.answer: (pair.question, pair.source) for pair in outcome.accepted}
    assert rows["1902"] == ("In what year was the market square paved?", "templates")
    assert rows["Ida Thorne"][1] == "templates"
    assert "____" in rows["Ida Thorne"][0]
    assert set(asked) <= {"fact"}
    assert all(pair.answer in pair.document for pair in outcome.accepted)


def test_a_template_takes_over_where_the_models_question_fails(
    run: Callable[..., tuple[Outcome, list[str]]],
) -> None:
    plan = replace(PLAN, sources=("facts", "templates"), model_validation=False, max_rounds=1, questions_per_round=8)
    outcome, asked = run("simple", script(fact="How many dragons guard the moon?"), plan)
    assert asked
    assert {pair.reason for pair in outcome.rejected} == {"not_faithful"}
    assert {pair.answer for pair in outcome.rejected} <= {pair.answer for pair in outcome.accepted}


def test_a_paraphrase_is_tried_again_until_it_passes(
    run: Callable[..., tuple[Outcome, list[str]]], town: Passage
) -> None:
    told = script(paraphrase=[town.text, GOOD, GOOD + " Indeed."], judge_paraphrase=["No", "Yes"])
    outcome, asked = run("paraphrase", told)
    assert [pair.reason for pair in outcome.rejected] == ["copy", "judged_incorrect"]
    assert [(pair.question, pair.answer, pair.round) for pair in outcome.accepted] == [("", GOOD + " Indeed.", 3)]
    assert asked == ["paraphrase", "paraphrase", "judge_paraphrase", "paraphrase", "judge_paraphrase"]
