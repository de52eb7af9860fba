import os

import pytest

from clara import environment


@pytest.mark.parametrize(
    ("setting", "threads"), [("4", 4), ("4,2", 4), (" 3 , 1", 3), ("", 7), ("many", 7), ("-2", 7), ("9" * 5000, 7)]
)
def test_threads_are_openmps_first_number_or_the_processors(
    setting: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert environment.describe()["threads"] == threads
