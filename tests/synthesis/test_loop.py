"""Many passages over one engine: order, cache, interruption."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from clara import prompts
from clara.errors import DataError
from clara.records import Passage
from clara.synthesis import loop
from clara.synthesis.cache import ReplyCache
from clara.synthesis.engine import Message, Reply, Request, Sampling
from clara.synthesis.engine_scripted import ScriptedEngine
from clara.synthesis.requests import Drawing
from clara.synthesis.rows import Outcome
from clara.synthesis.tasks import Steps, TaskPlan, steps

PLAN = TaskPlan(("model",), 2, 2, True, Drawing(0.7, 0.95, 64, 1))
HERE = Path(__file__).parent


def passages(number: int) -> list[Passage]:
    texts = [
        f"Town{i} lies on the river Brisk. It was founded in {1200 + i} by Ida Thorne and is old."
        for i in range(number)
    ]
    return [Passage(id=f"{i:016x}", title=f"Town{i}", text=text) for i, text in enumerate(texts)]


def reply(request: Request) -> str:
    """A model that is right about the founding year and always knows one more question."""
    text = request.messages[-1].content
    name = re.findall(r"Town\d+", text)[0]
    if "Answer from the passage" in text:
        return "Answer: Brisk" if "river" in text.split("Question:")[1] else f"Answer: {1200 + int(name[4:])}"
    if "Is this answer correct" in text:
        return '{"Judgment": "Correct"}'
    if "Rewritten version" in text:
        return "Yes"
    if "in your own words" in text:
        year = 1200 + int(name[4:])
        return f"An old place, founded by Ida Thorne in {year} beside the Brisk, a river: that is {name} for you."
    if "have been asked already" in text:
        return f'{{"Number of Supplementary Questions": 1, "Question1": "On which river does {name} lie?"}}'
    return f'{{"Question1": "In what year was {name} founded?"}}'


def tasks(found: list[Passage]) -> list[Steps]:
    return [steps(passage, kind, PLAN) for passage in found for kind in ("simple", "paraphrase")]  # type: ignore[arg-type]


def rows(outcomes: list[Outcome]) -> list[str]:
    return [pair.model_dump_json() for outcome in outcomes for pair in [*outcome.accepted, *outcome.rejected]]


class Done(NamedTuple):
    """What the loop handed on, and what it took."""

    outcomes: list[Outcome]
    work: loop.Work


def run(folder: Path, engine: ScriptedEngine, number: int = 6) -> Done:
    cache = ReplyCache(folder)
    outcomes: list[Outcome] = []
    try:
        return Done(outcomes, loop.run(tasks(passages(number)), engine, cache, take=outcomes.append))
    finally:
        cache.close()


def test_outcomes_do_not_depend_on_how_many_requests_are_under_way(tmp_path: Path) -> None:
    narrow = run(tmp_path / "narrow", ScriptedEngine(reply, capacity=1))
    wide = run(tmp_path / "wide", ScriptedEngine(reply, capacity=100))
    assert rows(narrow.outcomes) == rows(wide.outcomes)
    assert [outcome.passage.title for outcome in wide.outcomes][::2] == [f"Town{i}" for i in range(6)]
    assert len(wide.outcomes[0].accepted) == 2


def test_a_passage_in_a_late_round_does_not_wait_for_others(tmp_path: Path) -> None:
    engine = ScriptedEngine(reply, capacity=2)
    run(tmp_path, engine)
    texts = [request.messages[-1].content for request in engine.requests]
    second_round = next(place for place, text in enumerate(texts) if "have been asked already" in text)
    last_first_round = max(place for place, text in enumerate(texts) if "write up to" in text and "already" not in text)
    assert second_round < last_first_round


def test_few_outcomes_are_kept_where_all_replies_but_the_first_are_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "AHEAD", 3)
    cache = ReplyCache(tmp_path)
    loop.run(tasks(passages(12)[1:]), ScriptedEngine(reply), cache, take=lambda outcome: None)
    finished, kept, taken = 0, [0], list[Outcome]()

    def ended(outcome: Outcome, work: loop.Work) -> None:
        nonlocal finished
        finished += 1
        kept.append(finished - len(taken))

    loop.run(tasks(passages(12)), ScriptedEngine(reply, capacity=100), cache, take=taken.append, on_outcome=ended)
    cache.close()
    assert rows(taken) == rows(run(tmp_path / "whole", ScriptedEngine(reply), 12).outcomes)
    assert max(kept) == 3 + 2  # with both of the first passage, whose paraphrase ends first; of 24


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    first = run(tmp_path, ScriptedEngine(reply))
    engine = ScriptedEngine(reply)
    second = run(tmp_path, engine)
    assert engine.requests == []
    assert second.work.cached == first.work.requests
    assert rows(first.outcomes) == rows(second.outcomes)


def test_equal_requests_under_way_are_sent_once(tmp_path: Path) -> None:
    engine = ScriptedEngine(reply, capacity=100)
    cache = ReplyCache(tmp_path)
    twice = [steps(passages(1)[0], "paraphrase", PLAN) for _ in range(2)]
    outcomes: list[Outcome] = []
    loop.run(twice, engine, cache, take=outcomes.append)
    cache.close()
    assert rows([outcomes[0]]) == rows([outcomes[1]])
    assert len(engine.requests) == len({request.key("script") for request in engine.requests})


def test_a_run_broken_at_any_request_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", ScriptedEngine(reply))
    for limit in (1, 7, 20):
        answered = 0

        def breaking(request: Request, limit: int = limit) -> str:
            nonlocal answered
            if answered == limit:
                raise KeyboardInterrupt
            answered += 1
            return reply(request)

        folder = tmp_path / str(limit)
        with pytest.raises(KeyboardInterrupt):
            run(folder, ScriptedEngine(breaking))
        rest = ScriptedEngine(reply)
        resumed = run(folder, rest)
        assert rows(resumed.outcomes) == rows(whole.outcomes)
        assert len(rest.requests) == whole.work.requests - limit


@pytest.mark.parametrize("asked", [1, 9, 20])
def test_a_killed_process_loses_no_finished_request(asked: int, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", ScriptedEngine(reply))
    code = f"""
import sys, time
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
from test_loop import ScriptedEngine, reply, run
def slow(request):
    print("asked", flush=True)
    time.sleep(0.01)
    return reply(request)
run(Path({str(tmp_path / "killed")!r}), ScriptedEngine(slow))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    for _ in range(asked):
        assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    rest = ScriptedEngine(reply)
    resumed = run(tmp_path / "killed", rest)
    assert rows(resumed.outcomes) == rows(whole.outcomes)
    # All but the last were answered before that one was asked.
    assert len(rest.requests) <= whole.work.requests - (asked - 1)
    assert run(tmp_path / "killed", ScriptedEngine(reply)).work.requests == 0


def test_an_edited_paraphrase_prompt_asks_for_paraphrases_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "state", ScriptedEngine(reply))
    folder = tmp_path / "prompts"
    folder.mkdir()
    for file in prompts.FOLDER.glob("*.jinja"):
        (folder / file.name).write_text(file.read_text())
    edited = folder / "synthesis_paraphrase.jinja"
    edited.write_text(edited.read_text().replace("Keep every name", "Please keep every name"))
    monkeypatch.setattr(prompts, "FOLDER", folder)
    prompts._load.cache_clear()
    engine = ScriptedEngine(reply)
    run(tmp_path / "state", engine)
    prompts._load.cache_clear()
    assert len(engine.requests) == 6
    assert all("Please keep every name" in request.messages[-1].content for request in engine.requests)


def test_failures_are_not_cached(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path)
    cache.put("a", Reply("", "error", 0, 0, error="busy"))
    cache.put("b", Reply("text", "stop", 1, 2))
    assert cache.get("a") is None
    assert cache.get("b") == Reply("text", "stop", 1, 2)
    cache.close()


def test_a_damaged_cache_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "replies.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"replies\.sqlite is no readable cache"):
        ReplyCache(tmp_path)


def test_the_key_depends_on_everything_that_the_reply_depends_on() -> None:
    request = Request((Message("user", "a"),), Sampling(0.7, 0.9, 8, 1))
    others = [
        Request((Message("user", "b"),), Sampling(0.7, 0.9, 8, 1)),
        Request((Message("system", "a"),), Sampling(0.7, 0.9, 8, 1)),
        Request((Message("user", "a"),), Sampling(0.7, 0.9, 8, 2)),
        Request((Message("user", "a"),), Sampling(0.8, 0.9, 8, 1)),
        Request((Message("user", "a"),), Sampling(0.7, 0.9, 8, 1), beginning="b"),
        Request((Message("user", "a"),), Sampling(0.7, 0.9, 8, 1), choices=("b",)),
        Request((Message("user", "a"),), Sampling(0.7, 0.9, 8, 1), schema="{}"),
    ]
    keys = {request.key("m"), request.key("n"), *(other.key("m") for other in others)}
    assert len(keys) == 2 + len(others)
