"""Leases of GPUs: made-up numbers, real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from clara import gpus
from clara.errors import ResourceError

PROGRAM = """
import os, sys, time
from pathlib import Path
from clara import gpus
gpus.take(os.environ, Path(sys.argv[1]))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.readline()
"""


def start(folder: Path, count: int, shown: str = "4,7", jobs: int = 1) -> "subprocess.Popen[str]":
    variables = {gpus.WANTED: str(count), "CUDA_VISIBLE_DEVICES": shown, "PYTHONPATH": str(Path(__file__).parents[1])}
    variables[gpus.SHARED] = str(jobs)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_jobs_on_one_machine_get_different_gpus_and_wait_for_free_ones(tmp_path: Path) -> None:
    first, second = start(tmp_path, 1), start(tmp_path, 1)
    held = {first: said(first), second: said(second)}
    assert sorted(held.values()) == ["4", "7"]
    third = start(tmp_path, 1)
    assert third.stderr
    assert "waits for 1 of the GPUs 4, 7" in third.stderr.readline()
    first.kill()  # a lease ends however its process does
    first.wait()
    assert said(third) == held[first]
    for process in (second, third):
        process.communicate("\n", timeout=20)
        assert process.returncode == 0
    first.communicate()


def test_jobs_that_may_share_are_spread_over_the_gpus_and_no_more_than_stated_share_one(tmp_path: Path) -> None:
    running, names = [], []
    for _ in range(4):  # one after the other: each takes the emptiest
        running.append(start(tmp_path, 1, jobs=2))
        names.append(said(running[-1]))
    assert sorted(names[:2]) == ["4", "7"]
    assert sorted(names) == ["4", "4", "7", "7"]
    fifth = start(tmp_path, 1, jobs=2)
    assert fifth.stderr
    assert "waits for 1 of the GPUs 4, 7" in fifth.stderr.readline()
    for process in [*running, fifth]:
        process.communicate("\n", timeout=20)


def test_jobs_that_share_a_gpu_keep_no_more_of_it_than_they_need(tmp_path: Path) -> None:
    alone = {gpus.WANTED: "1", "CUDA_VISIBLE_DEVICES": "3"}
    shared = alone | {"CUDA_VISIBLE_DEVICES": "4", gpus.SHARED: "2"}
    stated = shared | {gpus.SHARED: "3", gpus.ALLOCATOR: "backend:native"}
    for variables in (alone, shared, stated):
        gpus.take(variables, tmp_path)
    assert gpus.ALLOCATOR not in alone
    assert shared[gpus.ALLOCATOR] == "expandable_segments:True"
    assert stated[gpus.ALLOCATOR] == "backend:native"


@pytest.mark.parametrize(("first", "second"), [(1, 3), (3, 1)])
def test_a_job_that_shares_with_none_is_never_beside_others(first: int, second: int, tmp_path: Path) -> None:
    shared = [start(tmp_path, 1, "4", jobs=first)]
    assert said(shared[0]) == "4"
    if first == 3:  # one in a later place keeps the GPU as well
        shared.append(start(tmp_path, 1, "4", jobs=first))
        assert said(shared[1]) == "4"
        shared.pop(0).communicate("\n", timeout=20)
    waiting = start(tmp_path, 1, "4", jobs=second)
    assert waiting.stderr
    assert "waits for 1 of the GPUs 4" in waiting.stderr.readline()
    shared[0].communicate("\n", timeout=20)
    assert said(waiting) == "4"
    waiting.communicate("\n", timeout=20)


def test_two_gpus_are_taken_together(tmp_path: Path) -> None:
    both = start(tmp_path, 2)
    assert said(both) == "4,7"
    both.communicate("\n", timeout=20)


def test_a_machine_with_fewer_is_named_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"given 2 GPUs, but this machine shows 1; .*node_gpus"):
        gpus.take({gpus.WANTED: "2", "CUDA_VISIBLE_DEVICES": "0"}, tmp_path)
    with pytest.raises(ResourceError, match="shows none"):
        gpus.take({gpus.WANTED: "1", "CUDA_VISIBLE_DEVICES": "-1"}, tmp_path)


@pytest.mark.parametrize(
    "variables",
    [{}, {gpus.WANTED: "0"}, {gpus.WANTED: "1", "SLURM_JOB_ID": "7"}, {gpus.WANTED: "1", gpus.HELD: "1"}],
)
def test_nothing_is_taken_where_none_is_asked_for_or_others_give_them(
    variables: dict[str, str], tmp_path: Path
) -> None:
    before = dict(variables)
    gpus.take(variables, tmp_path / "locks")
    assert variables == before
    assert not (tmp_path / "locks").exists()


def test_all_gpus_are_those_that_the_driver_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 0; echo 1; echo 2\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus.visible({}) == ["0", "1", "2"]
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert gpus.visible({}) == []


def test_the_hosts_memory_that_does_not_suffice_is_one_sentence() -> None:
    said = (
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 3145728 bytes. Error code 12"
    )
    assert gpus.no_memory(RuntimeError(said)) == (
        "the machine's memory did not suffice: 3 MiB more were asked for; give shorter or fewer texts at once, or more "
        "memory"
    )
