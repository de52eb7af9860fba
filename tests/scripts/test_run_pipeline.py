"""One run at a time in a folder, and a killed run's lock is taken away only when its jobs have ended."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clara.errors import ResourceError
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
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": int(gigabytes * 1e9) // 4096, "SC_PAGE_SIZE": 4096}.get)


def test_all_arguments_reach_snakemake(folder: Path, became: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    has_memory(8, monkeypatch)
    run_pipeline.main(["corpus_all", "--profile", "profiles/local"])
    assert became == [[sys.executable, "-m", "snakemake", "corpus_all", "--profile", "profiles/local"]]


def test_a_larger_machine_lets_jobs_have_more_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = ["report", "--profile", "profiles/local"]
    monkeypatch.setattr(run_pipeline, "CGROUP", folder / "none")
    has_memory(20, monkeypatch)
    assert run_pipeline.more_memory(local) == ["--resources=mem_mb=11999"]
    for others in (["--profile", "profiles/gpu"], [], [*local, "--resources", "mem_mb=7000"]):
        assert run_pipeline.more_memory(others) == []
    (folder / "limit").write_text("12000000000\n")
    monkeypatch.setattr(run_pipeline, "CGROUP", folder / "limit")
    assert run_pipeline.more_memory(local) == ["--resources=mem_mb=7200"]
    (folder / "limit").write_text("max\n")
    assert run_pipeline.more_memory(local) == ["--resources=mem_mb=11999"]
    has_memory(9.9, monkeypatch)
    assert run_pipeline.more_memory(local) == []


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
        with pytest.raises(ResourceError, match=rf"its jobs go on \(pretrain.py, process {job.pid}\); wait for them"):
            run_pipeline.main([])
        job.kill()
    assert became == []
