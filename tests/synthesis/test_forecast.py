"""The forecast of cost: exact where every passage costs the same, told before the cost is spent."""

from pathlib import Path

import pytest

from clara.records import Passage
from clara.row_files import write_rows
from clara.synthesis import synthesize as stage
from clara.synthesis.engine import Request
from clara.synthesis.engine_scripted import ScriptedEngine
from clara.synthesis.forecast import FIRST, Forecast, sentence
from clara.synthesis.loop import Work
from clara.synthesis.rows import Outcome
from tests.synthesis.test_synthesize import SETTINGS, Synthesis, corpus

PASSAGE = Passage(id="a", title="T", text="x")


def outcome(kind: str, requests: int) -> Outcome:
    return Outcome(PASSAGE, kind, "", requests=requests, prompt_tokens=100 * requests, reply_tokens=10 * requests)  # type: ignore[arg-type]


def test_each_kind_counts_with_its_own_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("clara.synthesis.forecast.time.monotonic", lambda: now)
    forecast = Forecast({"simple": 1000, "paraphrase": 100}, {"simple": 500, "paraphrase": 50}, share_of_corpus=0.5)
    for number in range(FIRST):
        forecast.add(outcome("simple", 2 if number % 2 else 4))
        assert not forecast.ready()
    for _ in range(FIRST):
        forecast.add(outcome("paraphrase", 5))
    assert forecast.ready()
    now = 72.0
    # 1000 x 3 + 100 x 5 requests; 128 took 72 s, of which the engine's start took 8.
    content = forecast.content(Work(requests=128), start_seconds=8.0)
    assert content == {
        "outcomes_measured": 2 * FIRST, "requests": 3500, "prompt_tokens": 350_000, "reply_tokens": 35_000,
        "engine_hours": round(3500 * 0.5 / 3600, 4), "whole_corpus_requests": 7000,
        "whole_corpus_prompt_tokens": 700_000, "whole_corpus_reply_tokens": 70_000,
        "whole_corpus_engine_hours": round(7000 * 0.5 / 3600, 4),
    }  # fmt: skip
    assert "3,500 requests, 350,000 prompt and 35,000 reply tokens, 29 min 10 s of one engine, 14 min 35 s on 2" in (
        sentence(content, 2)
    )


def test_a_few_passages_are_enough_where_there_are_no_more() -> None:
    forecast = Forecast({"simple": 2}, {"simple": 1}, share_of_corpus=1.0)
    forecast.add(outcome("simple", 1))
    assert forecast.ready()
    content = forecast.content(Work(requests=0, cached=1), start_seconds=0.0)
    assert (content["requests"], content["engine_hours"]) == (2, None)
    assert "unknown time, all replies were cached" in sentence(content, 1)


def test_an_estimate_asks_about_the_first_passages_only_and_writes_no_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "passages.parquet", corpus(60))
    asked: set[str] = set()

    def answer(request: Request) -> str:
        asked.add(request.messages[-1].content)
        return "No."

    settings = Synthesis.model_validate(
        {**SETTINGS, "kinds": ["paraphrase"], "num_passages": 40, "num_passages_for": {}}
    )
    made = [tmp_path / name for name in ("pairs.parquet", "rejected.parquet", "report.json")]
    stage.synthesize(
        settings, seed=1, shard=1, passages=tmp_path / "passages.parquet", card=tmp_path / "card.json",
        state=tmp_path / "state", pairs=made[0], rejected=made[1], summary=made[2], estimate=True,
        engine=ScriptedEngine(answer),
    )  # fmt: skip
    told = capsys.readouterr().out
    assert len(asked) == FIRST
    assert f"forecast from {FIRST} outcomes: 40 requests" in told
    assert "the whole corpus: 60 requests" in told
    assert not any(path.exists() for path in made)
