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
