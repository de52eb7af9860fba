"""One run at a time in a folder, and a killed run's lock is taken away only when its jobs have ended."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clara import machine, slurm
from clara.errors import ResourceError
from clara.runs import started
from workflow_scripts import run_pipeline


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that the process would have become."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: commands.append(command))
    return commands


def has_memory(gigabytes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: int(gigabytes * 1e9))


def own_profile(folder: Path, resources: str) -> list[str]:
    """The arguments for a local profile with these resources."""
    path = folder / "profiles" / "local" / "profile.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"cores: all\nresources: {resources}\n")
    return ["report", "--profile", "profiles/local"]


@pytest.mark.parametrize(("gigabytes", "more"), [(8, []), (20, ["--resources=mem_mb=12000"])])
def test_all_arguments_reach_snakemake(
    gigabytes: float, more: list[str], folder: Path, became: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = own_profile(folder, "[mem_mb=6000]")
    has_memory(gigabytes, monkeypatch)
    run_pipeline.main(local)
    assert became == [[sys.executable, "-m", "snakemake", *more, *local]]


def test_a_larger_machine_lets_jobs_have_more_memory_unless_somebody_set_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_memory(20, monkeypatch)
    local, more = own_profile(folder, "[mem_mb=6000]"), ["--resources=mem_mb=12000"]
    assert run_pipeline.more_memory(local) == more
    assert run_pipeline.more_memory(["--profile=profiles/local", "--restart-times", "1"]) == more
    for others in (["--profile", "profiles/gpu"], [], [*local, "--resources", "mem_mb=7000"]):
        assert run_pipeline.more_memory(others) == []
    assert run_pipeline.more_memory([*local, "--resources=mem_mb=7000"]) == []
    for own in ("[mem_mb=4000]", "[mem_mb=6000, gpu=1]"):
        assert run_pipeline.more_memory(own_profile(folder, own)) == []


def test_the_profile_that_comes_is_the_one_that_a_larger_machine_lifts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    has_memory(20, monkeypatch)
    assert run_pipeline.more_memory(["--profile", "profiles/local"]) == ["--resources=mem_mb=12000"]


def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(folder: Path, became: list[list[str]]) -> None:
    (folder / ".snakemake").mkdir()
    with (folder / ".snakemake" / "clara.lock").open("w") as other:
        other.write("4711")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ResourceError, match=r"another run works in .* \(process 4711\); wait for it or end it"):
            run_pipeline.main([])
    assert became == []


def test_a_folder_that_may_only_be_read_is_named(
    folder: Path, became: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "results").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "results")  # root may write everywhere
    with pytest.raises(ResourceError, match=r"cannot write in .*/results; unlock its disk"):
        run_pipeline.main([])
    assert became == []


def test_a_full_disk_is_refused_before_snakemake_blames_rights(
    folder: Path, became: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: (10**9, 10**9 - 2 * 10**5, 2 * 10**5))
    with pytest.raises(
        ResourceError, match=rf"the disk of {folder} is full \(0\.2 MB are left\); free it and run again"
    ):
        run_pipeline.main([])
    assert became == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: (0, 0, 0))
    run_pipeline.main([])
    assert len(became) == 1


def test_results_of_the_future_are_dated_now_in_their_order(
    folder: Path, became: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    for name, age in (("old", 100), ("input", -86000), ("output", -86400), ("beside", -86400)):
        path = folder / "results" / "demo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (now - age, now - age))
    run_pipeline.main([])
    old, first, second, beside = (
        (folder / "results" / "demo" / name).stat().st_mtime_ns for name in ("old", "input", "output", "beside")
    )
    assert old < first < second == beside <= time.time_ns()
    assert "3 results are dated in the future: the clock was set back" in capsys.readouterr().err
    assert run_pipeline.date_now(folder / "results") == 0


def leave_lock(folder: Path) -> None:
    (folder / ".snakemake" / "locks").mkdir(parents=True)
    (folder / ".snakemake" / "locks" / "0.input.lock").write_text("results/a.txt\n")


def test_the_lock_of_a_killed_run_is_taken_away(
    folder: Path, became: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    leave_lock(folder)
    (folder / "Snakefile").write_text("rule all:\n    shell: 'true'\n")
    run_pipeline.main(["--cores", "1"])
    assert not list((folder / ".snakemake" / "locks").glob("*"))
    assert "an earlier run was killed; its lock is taken away" in capsys.readouterr().err
    assert len(became) == 1


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to see other processes")
def test_jobs_that_outlived_a_killed_run_are_named(folder: Path, became: list[list[str]]) -> None:
    leave_lock(folder)
    (folder / "workflow_scripts").mkdir()
    (folder / "workflow_scripts" / "pretrain.py").write_text("print('up', flush=True)\nimport time\ntime.sleep(60)\n")
    with subprocess.Popen([sys.executable, "workflow_scripts/pretrain.py"], stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        job.stdout.readline()
        with pytest.raises(ResourceError, match=rf"is at work in .* \(pretrain.py, process {job.pid}\); wait for them"):
            run_pipeline.main([])
        job.kill()
    assert became == []


@pytest.fixture
def cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One job, number 7, of this folder in the queue until it is cancelled; the numbers of cancelled ones."""
    cancelled: list[str] = []
    queue = [slurm.Job("7", "rule_pretrain")]
    monkeypatch.setattr(slurm, "jobs_of", lambda where: [job for job in queue if job.id not in cancelled])
    monkeypatch.setattr(slurm, "cancel", lambda jobs, where: cancelled.extend(job.id for job in jobs))
    leave_lock(folder)
    (folder / "Snakefile").write_text("rule all:\n    shell: 'true'\n")
    return cancelled


def test_jobs_of_a_killed_run_are_cancelled(folder: Path, became: list[list[str]], cluster: list[str]) -> None:
    started.record(folder)
    run_pipeline.main(["--cores", "1"])
    assert cluster == ["7"]
    assert len(became) == 1


SLEEPER = "print('up', flush=True)\nimport time\ntime.sleep(60)\n"


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to see other processes")
def test_jobs_of_a_live_plain_snakemake_are_left_alone(
    folder: Path, became: list[list[str]], cluster: list[str]
) -> None:
    (folder / "snakemake").write_text(SLEEPER)
    with subprocess.Popen([sys.executable, "snakemake"], stdout=subprocess.PIPE) as live:
        assert live.stdout is not None
        live.stdout.readline()
        with pytest.raises(ResourceError, match=rf"is at work in .* \(snakemake, process {live.pid}\)"):
            run_pipeline.main(["--cores", "1"])
        live.kill()
    assert (cluster, became) == ([], [])
    assert list((folder / ".snakemake" / "locks").glob("*"))


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to see other processes")
def test_the_processes_of_an_orphan_on_this_machine_are_no_live_run(folder: Path, cluster: list[str]) -> None:
    (folder / "snakemake").write_text(SLEEPER)
    orphan = {**os.environ, "SLURM_JOB_ID": "7"}
    with subprocess.Popen([sys.executable, "snakemake"], stdout=subprocess.PIPE, env=orphan) as job:
        assert job.stdout is not None
        job.stdout.readline()
        run_pipeline.require_ended(folder, ["7"])
        with pytest.raises(ResourceError, match=rf"process {job.pid}"):
            run_pipeline.require_ended(folder)
        job.kill()


def test_nothing_is_cancelled_while_the_run_may_live_on_another_machine(
    folder: Path, became: list[list[str]], cluster: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        there.setattr(socket, "gethostname", lambda: "login2")
        started.record(folder)
    with pytest.raises(ResourceError, match=rf"locked by process {os.getpid()} on login2, which cannot be seen"):
        run_pipeline.main(["--cores", "1"])
    assert (cluster, became) == ([], [])
    (folder / started.FILE).unlink()
    run_pipeline.require_ended(folder)
