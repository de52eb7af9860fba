"""What SLURM's commands say, played by small programs of that name."""

from pathlib import Path

import pytest

from clara import slurm
from clara.errors import ResourceError


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that commands are looked for in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def play(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def submitted(tmp_path: Path) -> Path:
    """A folder from which jobs were submitted before."""
    folder = tmp_path / "my | work"
    (folder / "logs" / "slurm").mkdir(parents=True)
    return folder


def test_without_slurm_there_are_no_jobs(commands: Path, submitted: Path) -> None:
    assert slurm.jobs_of(submitted) == []


def test_a_folder_of_local_runs_asks_no_cluster(commands: Path, tmp_path: Path) -> None:
    play(commands, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert slurm.jobs_of(tmp_path) == []


def test_the_profile_writes_its_logs_where_submissions_are_looked_for() -> None:
    profile = Path(__file__).parents[1] / "profiles" / "slurm" / "profile.v9+.yaml"
    assert f"slurm-logdir: {slurm.LOGS}\n" in profile.read_text()


def test_only_this_projects_jobs_of_this_folder_are_meant(commands: Path, submitted: Path) -> None:
    rows = [f"7|clara_a|rule_pretrain|{submitted}", "8|clara_b|rule_pretrain|/elsewhere", f"9|mine||{submitted}"]
    play(commands, "squeue", "\n".join(f"echo '{row}'" for row in rows))
    assert slurm.jobs_of(submitted) == [slurm.Job("7", "rule_pretrain")]


def test_a_silent_controller_ends_the_start(commands: Path, submitted: Path) -> None:
    play(commands, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(ResourceError, match=r"squeue does not answer \(Unable to contact slurm controller\); wait for"):
        slurm.jobs_of(submitted)


def test_jobs_that_do_not_end_are_named(commands: Path, submitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "SECONDS_TO_END", 0.1)
    play(commands, "squeue", f"echo '7|clara_a|rule_pretrain|{submitted}'")
    play(commands, "scancel", "exit 0")
    with pytest.raises(ResourceError, match="SLURM does not end the jobs 7"):
        slurm.cancel([slurm.Job("7", "rule_pretrain")], submitted)


def test_a_task_finds_its_place_in_slurms_variables(commands: Path) -> None:
    play(commands, "scontrol", "echo node3; echo node4")
    given = {"SLURM_STEP_NODELIST": "node[3-4]", "SLURM_JOB_ID": "123456", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
    assert slurm.rendezvous(given) == slurm.Rendezvous(machines=2, rank=1, address="node3", port=23456)
