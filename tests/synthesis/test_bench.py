"""The benchmark asks every way the same and counts right; how fast they are is measured, not tested."""

from pathlib import Path

import pytest

from clara.synthesis import bench
from clara.synthesis.engine import Request
from tests.synthesis.test_synthesize import corpus


def short(steps: list[list[Request]]) -> list[list[Request]]:
    """Those that fit the tiny model's context."""
    return [[one for one in step if sum(len(message.content) for message in one.messages) < 1300] for step in steps]


def test_every_way_is_asked_the_same_and_gives_the_same(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "obstacle", lambda folder: "not here")
    monkeypatch.setattr(bench.requests, "ANSWER_TOKENS", 4)
    whole = bench.passages_asked(corpus(4), 2)
    assert [len(step) for step in whole] == [2, 6, 6]
    asked = short(whole)
    number = sum(map(len, asked))
    assert number >= 8
    loop, alone, together = bench.measure(tiny_model, asked, dtype="float32")
    assert loop[1:4] == alone[1:4] == together[1:4]
    assert (loop.requests, loop.same_replies, alone.same_replies, together.same_replies) == (number,) * 4
    assert loop.times_the_loop == 1.0
    assert together.times_the_loop == pytest.approx(loop.seconds / together.seconds)
    assert bench.table([loop, alone, together]).count("\n") == 5
