"""The benchmark asks every way the same and counts right; how fast they are is measured, not tested."""

from pathlib import Path

import pytest

from clara.synthesis import bench
from tests.synthesis.test_synthesize import corpus


def test_every_way_is_asked_the_same(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "obstacle", lambda folder: "not here")
    monkeypatch.setattr(bench, "GREEDY", bench.Drawing(0.0, 1.0, 4, 0))
    monkeypatch.setattr(bench.requests, "ANSWER_TOKENS", 4)
    asked = [
        request
        for request in bench.passages_asked(corpus(4), 3)
        if sum(len(message.content) for message in request.messages) < 1200
    ]
    assert len(asked) == len(set(asked)) >= 2
    plain, batched = bench.measure(tiny_model, asked, dtype="float32")
    assert (plain.requests, plain.prompt_tokens, plain.reply_tokens) == batched[1:4]
    assert plain.times_one_by_one == 1.0
    assert batched.times_one_by_one == pytest.approx(plain.seconds / batched.seconds)
    assert bench.table([plain, batched]).count("\n") == 4
