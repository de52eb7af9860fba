import re

import pytest

from clara.training import runlog
from clara.training.runlog import RunLog


def test_the_rate_counts_the_steps_between_lines_and_none_of_an_earlier_process(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(runlog.time, "monotonic", lambda: now)
    log = RunLog(label="joint", steps=60)
    now = 130.0  # the first validation
    log.begin(20)
    for step, seconds in ((25, 10.0), (30, 20.0)):
        now = 130.0 + seconds
        log.add(step, "train", {"loss": 1.0})
        found = re.search(r"([\d.]+) s a step, ([\d.]+) min left", capsys.readouterr().err)
        assert found
        assert found[1] == "2.0"
        assert float(found[2]) == pytest.approx((60 - step) * 2 / 60, abs=0.06)


def test_small_numbers_keep_their_digits_and_counts_stay_counts() -> None:
    log = RunLog(label="joint", steps=1, quiet=True)
    numbers = {"grad_norm": 3.2e-9, "learning_rate": 6.15e-8, "loss": 2.123456789012, "seconds": 0.25}
    log.add(1, "train", numbers | {"micro_batches": 12, "padding": float("inf")})
    (row,) = log.rows
    assert (row["grad_norm"], row["learning_rate"], row["loss"]) == (3.2e-9, 6.15e-8, 2.1234568)
    assert repr(row["micro_batches"]) == "12"
    assert row["padding"] == float("inf")
