"""`clara doctor`: what it misses is what is not there."""

import importlib.util
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from clara import machine
from clara.cli import app
from clara.commands.doctor import MODULES, PROGRAMS


def test_every_stage_and_the_machine_are_told() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(done.stdout)
    assert set(found["missing"]) == {*MODULES, *PROGRAMS}
    assert found["missing"]["training"] == []
    assert {"python", "torch", "device", "memory", "disk"} <= set(found)
    shown = CliRunner().invoke(app, ["doctor"]).stdout
    assert "training    ready" in shown


def test_a_processor_without_bfloat16_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "arithmetic", lambda dtype: "float32")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert "device      cpu, bfloat16 computed in float32" in CliRunner().invoke(app, ["doctor"]).stdout


def test_a_missing_library_is_named_with_the_stages_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_peft(name: str, *rest: Any) -> Any:
        return None if name == "peft" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without_peft)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "training    missing: peft" in done.stdout
    assert "answering   missing: peft" in done.stdout
    assert "corpus      ready" in done.stdout
    assert "make setup" in done.stderr
