"""explain, verify, accept and status on a folder that looks like a finished run, with Snakemake asked in earnest."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.workflow.checkout import CI, planned, run

pytestmark = pytest.mark.slow
OTHER = '\n\ndef another() -> None:\n    """Does nothing."""\n\n\nanother()\n'
"""Code that runs on import: its fingerprint counts, its result does not."""


@pytest.fixture(scope="module")
def recorded_run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, with the records that its programs would have written; not to be changed."""
    folder = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("recorded") / "checkout"))
    done = run(folder, "workflow_scripts/list_jobs.py", "--forceall", *CI)
    assert done.returncode == 0, done.stderr
    modules = json.loads(run(folder, "-c", MODULES).stdout)
    for job in json.loads(done.stdout):
        first = folder / job["outputs"][0]
        settings = json.loads(job["settings"])
        record = {
            "command": [job["rule"], *job["outputs"]],
            "inputs": {},
            "code": job["code"],
            "modules": modules if job["rule"] == "score" else {},
        }
        if any(path.endswith("/environment.json") for path in job["outputs"]) or job["rule"] == "compress_documents":
            (first.parent / "settings.json").write_text(json.dumps(settings))
            (first.parent / "environment.json").write_text(json.dumps(record))
        else:
            (first.parent / "provenance").mkdir(exist_ok=True)
            (first.parent / "provenance" / f"{first.stem}.json").write_text(json.dumps(record | {"settings": settings}))
    touched = run(folder, "-m", "snakemake", "--touch", "--forceall", *CI)
    assert touched.returncode == 0, touched.stderr
    return folder


@pytest.fixture
def recorded(recorded_run: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(recorded_run, tmp_path / "checkout"))


MODULES = """
import json; from pathlib import Path; from clara.fingerprint import Project
print(json.dumps(Project(Path(".")).by_module(Path("workflow_scripts/score.py"))))
"""


def told(folder: Path, program: str, *arguments: str, code: int = 0) -> str:
    done = run(folder, f"workflow_scripts/{program}.py", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_change_of_settings_is_explained_priced_and_seen_by_verify(recorded: Path) -> None:
    assert told(recorded, "explain", *CI) == "Nothing will run: all results are of these settings and this code.\n"
    (recorded / "overlay.yaml").write_text("joint: {optimization: {learning_rate: 1.0e-3}}\n")
    text = told(recorded, "explain", *CI, "overlay.yaml")
    assert "train_joint           2 jobs" in text
    assert "    joint.optimization.learning_rate 2.0e-4 -> 1.0e-3\n" in text
    assert re.search(r"^predict .*\n    follows the above", text, re.MULTILINE)
    assert "pretrain " not in text
    assert re.search(r"^Tables written again: .*results/ci/report/tables/results.csv", text, re.MULTILINE)
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
    (recorded / "overlay.yaml").write_text("evaluation: {scoring: {confidence: 0.9}}\n")
    refused = told(recorded, "accept", "score", *CI, "overlay.yaml", code=2)
    assert "evaluation.scoring.confidence 0.95 -> 0.9" in refused
    assert not (recorded / "accepted.json").exists()
    assert "counts as" in told(recorded, "accept", "evaluation", "--why", "does nothing", *CI)
    (change,) = json.loads((recorded / "accepted.json").read_text())
    assert (change["stage"], change["rule"], change["why"]) == ("evaluation", "score", "does nothing")
    assert planned(recorded, *CI) == {}
    assert "code changed" not in told(recorded, "verify", *CI)
    program.write_text(text + OTHER + "another()\n", encoding="utf-8")
    assert {"score", "build_report"} <= planned(recorded, *CI).keys() <= {"score", "build_report", "make_paper_table"}


def test_status_knows_what_is_done_and_what_waits(recorded: Path) -> None:
    (recorded / "results/ci/report/index.html").unlink()
    done = run(recorded, "-m", "clara", "status", "--configfile", "configs/ci.yaml", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    stages = {stage["rule"]: stage for stage in status["stages"]}
    assert not status["working"]
    assert stages["pretrain"]["done"] == 2
    assert stages["build_report"]["waiting"] == 1


def test_variants_that_share_stages_are_shown(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "overlay.yaml").write_text("variants: {soft: {joint: {selection: soft}}}\n")
    text = told(finished_run, "explain", "--variants", *CI, str(tmp_path / "overlay.yaml"))
    assert re.search(r"^soft +(= base +){3}own", text, re.MULTILINE)
    assert "2 variants; for each ratio 1 pretraining, 1 instruction, 1 compression, 2 joint" in text


def test_a_limit_that_would_cut_a_trainings_gpus_is_refused(finished_run: Path) -> None:
    arguments = ["--profile", "profiles/gpu", "--set-resources", "pretrain:gpu=2", "--configfile", "configs/ci.yaml"]
    refused = run(finished_run, "-m", "snakemake", "-n", *arguments)
    assert refused.returncode == 1
    assert "--resources gpu=1 would cut the GPUs of pretrain (2)" in refused.stdout + refused.stderr


def test_default_resources_of_a_command_that_take_the_profiles_place_are_refused(finished_run: Path) -> None:
    overlay = ["--configfile", "configs/ci.yaml"]
    command = ["-m", "snakemake", "-n", "--profile", "profiles/slurm", "--default-resources", "slurm_account=lab"]
    refused = run(finished_run, *command, *overlay)
    assert refused.returncode == 1
    assert "default-resources have no node_gpus" in refused.stdout + refused.stderr
    whole = run(finished_run, *command, "slurm_partition=cpu", "node_gpus=1", *overlay)
    assert whole.returncode == 0, whole.stderr
