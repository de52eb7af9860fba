"""Jobs as `list_jobs.py` tells of them, and results with records beside them, in a folder of the test's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clara.runs.jobs import Job

SETTINGS = {"seed": 42, "joint": {"top_k": 3, "optimization": {"learning_rate": 2.0e-4}}}


@pytest.fixture
def make_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """Makes a job of joint training at a ratio; keywords change its fields."""
    monkeypatch.chdir(tmp_path)

    def make(ratio: int = 4, **changes: Any) -> Job:
        name = f"instruction-cr{ratio}-base"
        fields: dict[str, Any] = {
            "rule": "train_joint",
            "wildcards": {"run": "demo", "init": "instruction", "ratio": str(ratio), "variant": "base"},
            "outputs": [f"results/demo/joint/{name}/card.json"],
            "inputs": [],
            "waits": False,
            "settings": json.dumps(SETTINGS),
            "code": "new0",
            "missing": [],
            "changed_inputs": [],
            "params_changed": False,
            "resources": {"mem_mb": 2900, "runtime": 30, "gpu": 0},
            "site": {},
            "local": False,
            "benchmark": f"benchmarks/demo/train_joint/{name}.jsonl",
            "log": f"logs/demo/train_joint/{name}.log",
            "state": f"state/demo/train_joint/{name}/abc",
        }
        return Job(**(fields | changes))

    return make


@pytest.fixture
def make_result() -> Callable[..., None]:
    """Makes a job's results with a record of settings, code and inputs."""

    def make(
        job: Job,
        settings: dict[str, Any] = SETTINGS,
        *,
        code: str | None = "new0",
        modules: dict[str, str] | None = None,
        inputs: dict[str, str] | None = None,
        outputs: dict[str, str] | None = None,
    ) -> None:
        for output in job.outputs:
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            Path(output).write_text("{}")
        folder = Path(job.outputs[0]).parent
        (folder / "settings.json").write_text(json.dumps(settings))
        record = {
            "command": [f"{job.rule}.py", *job.outputs],
            "inputs": inputs or {},
            "outputs": outputs or {},
            "code": code,
            "modules": modules or {"clara.a": "1", "clara.b": "2"},
        }
        (folder / "environment.json").write_text(json.dumps(record))

    return make
