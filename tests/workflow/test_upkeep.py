"""explain, verify, accept and status on a folder that looks like a finished run, with Snakemake asked in earnest."""

import json
import re
from pathlib import Path

import pytest

from tests.workflow.checkout import CI, planned, run

pytestmark = pytest.mark.slow
OTHER = '\n\ndef another() -> None:\n    """Does nothing."""\n\n\nanother()\n'
"""Code that runs on import: its fingerprint counts, its result does not."""


@pytest.fixture
def recorded(finished: Path) -> Path:
    """The finished run, with the records that its programs would have written."""
    done = run(finished, "workflow_scripts/list_jobs.py", "--forceall", *CI)
    assert done.returncode == 0, done.stderr
    modules = {rule: json.loads(run(finished, "-c", MODULES.format(rule=rule)).stdout) for rule in ("score",)}
    for job in json.loads(done.stdout):
        first = finished / job["outputs"][0]
        settings = json.loads(job["settings"])
        code = {"fingerprint": job["code"], "modules": modules.get(job["rule"], {})}
        record = {"command": [job["rule"], *job["outputs"]], "inputs": {}, "code": code}
        if (
            any(output.endswith("/environment.json") for output in job["outputs"])
            or job["rule"] == "compress_documents"
        ):
            (first.parent / "settings.json").write_text(json.dumps(settings))
            (first.parent / "environment.json").write_text(json.dumps(record))
        else:
            (first.parent / "provenance").mkdir(exist_ok=True)
            (first.parent / "provenance" / f"{first.stem}.json").write_text(json.dumps(record | {"settings": settings}))
    touched = run(finished, "-m", "snakemake", "--touch", "--forceall", *CI)
    assert touched.returncode == 0, touched.stderr
    return finished


MODULES = """
import json; from pathlib import Path; from clara.fingerprint import Project
print(json.dumps(Project(Path(".")).by_module(Path("workflow_scripts/{rule}.py"))))
"""


def told(folder: Path, program: str, *arguments: str, code: int = 0) -> str:
    done = run(folder, f"workflow_scripts/{program}.py", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_change_of_settings_is_explained_priced_and_seen_by_verify(recorded: Path) -> None:
    assert told(recorded, "explain", *CI) == "Nothing will run: all results are of these settings and this code.\n"
    assert "0 of 0" not in told(recorded, "verify", *CI)
    (recorded / "overlay.yaml").write_text("joint: {optimization: {learning_rate: 1.0e-3}}\n")
    text = told(recorded, "explain", *CI, "overlay.yaml")
    assert "train_joint           2 jobs" in text
    assert "    joint.optimization.learning_rate 2.0e-4 -> 1.0e-3\n" in text
    assert re.search(r"^predict .*\n    follows the above", text, re.MULTILINE)
    assert "pretrain " not in text
    assert "Tables written again: results/ci/report/tables/memory_use.csv" in text
    above = told(recorded, "explain", "--max-hours", "0.001", *CI, "overlay.yaml", code=3)
    assert "are above the limit of 0.001" in above
    faults = told(recorded, "verify", *CI, "overlay.yaml", code=1)
    assert faults.count("joint.optimization.learning_rate 2.0e-4 -> 1.0e-3") == 2


def test_an_accepted_change_of_code_reruns_nothing_and_a_later_one_does(recorded: Path) -> None:
    program = recorded / "workflow_scripts" / "score.py"
    text = program.read_text(encoding="utf-8")
    program.write_text(text + OTHER, encoding="utf-8")
    assert "score" in planned(recorded, *CI)
    assert "code changed: workflow_scripts.score" in told(recorded, "explain", *CI)
    assert "counts as" in told(recorded, "accept", "evaluation", "--why", "does nothing", *CI)
    (change,) = json.loads((recorded / "accepted.json").read_text())
    assert (change["stage"], change["rule"], change["why"]) == ("evaluation", "score", "does nothing")
    assert planned(recorded, *CI) == {}
    assert "code changed" not in told(recorded, "verify", *CI)
    assert "nothing to accept" in told(recorded, "accept", "evaluation", *CI)
    program.write_text(text + OTHER + "another()\n", encoding="utf-8")
    assert set(planned(recorded, *CI)) == {"score", "build_report"}


def test_a_change_of_settings_beside_that_of_code_is_not_accepted(recorded: Path) -> None:
    program = recorded / "workflow_scripts" / "score.py"
    program.write_text(program.read_text(encoding="utf-8") + OTHER, encoding="utf-8")
    (recorded / "overlay.yaml").write_text("evaluation: {scoring: {confidence: 0.9}}\n")
    assert "evaluation.scoring.confidence 0.95 -> 0.9" in told(recorded, "accept", "score", *CI, "overlay.yaml", code=2)
    assert not (recorded / "accepted.json").exists()


def test_status_knows_what_is_done_and_what_waits(recorded: Path) -> None:
    (recorded / "results/ci/report/index.html").unlink()
    done = run(recorded, "-m", "clara", "status", "--configfile", "configs/ci.yaml", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    stages = {stage["rule"]: stage for stage in status["stages"]}
    assert not status["working"]
    assert stages["pretrain"]["done"] == 2
    assert stages["build_report"]["waiting"] == 1


def test_variants_that_share_stages_are_shown(recorded: Path) -> None:
    (recorded / "overlay.yaml").write_text("variants: {soft: {joint: {selection: soft}}}\n")
    text = told(recorded, "explain", "--variants", *CI, "overlay.yaml")
    assert re.search(r"^soft +(= base +){3}own", text, re.MULTILINE)
    assert "2 variants; for each ratio 1 pretraining, 1 instruction, 1 compression, 2 joint" in text


def test_a_limit_that_would_cut_a_trainings_gpus_is_refused(recorded: Path) -> None:
    arguments = ["--profile", "profiles/gpu", "--set-resources", "pretrain:gpu=2", "--configfile", "configs/ci.yaml"]
    refused = run(recorded, "-m", "snakemake", "-n", *arguments)
    assert refused.returncode == 1
    assert "--resources gpu=1 would cut the GPUs of pretrain (2)" in refused.stderr
