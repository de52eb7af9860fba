"""One program at a time works in a folder; a dead one's lease is void."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clara import lease
from clara.errors import ResourceError

HOLDER = """
import sys, time
from pathlib import Path
from clara import lease
lease.BEAT_SECONDS = 0.05
with lease.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
ONE_OF_MANY = """
import sys, time
from pathlib import Path
from clara import lease
from clara.errors import ResourceError
lease.BEAT_SECONDS, lease.VOID_AFTER_SECONDS = 0.05, 2
open_ = Path.open
Path.open = lambda *given, **more: (time.sleep(0.1), open_(*given, **more))[1]
print("ready", flush=True)
time.sleep(max(0, float(sys.stdin.readline()) - time.time()))
try:
    with lease.held(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except ResourceError:
    print("refused", flush=True)
    sys.stdin.readline()
"""
"""Starts at the time that it is told, on a slow disk, and ends when it is told to."""


def start(script: str, folder: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"SLURM_JOB_ID": "4711", "PYTHONPATH": os.getcwd()}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script, str(folder)], env=environment, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: "subprocess.Popen[str]", what: object) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{what}\n")
    process.stdin.flush()


@pytest.fixture
def holder(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process that holds the folder."""
    process = start(HOLDER, tmp_path)
    assert said(process) == "held"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_is_refused_with_the_job_to_cancel(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    with pytest.raises(ResourceError, match=f"process {holder.pid} on .*SLURM job 4711: scancel 4711; wait for it"):
        with lease.held(tmp_path):
            pass


def test_a_killed_holder_is_followed_at_once(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    with lease.held(tmp_path):
        assert json.loads((tmp_path / lease.FILE).read_text())["process"] == os.getpid()
    assert not (tmp_path / lease.FILE).exists()


def test_an_untouched_lease_of_another_node_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "VOID_AFTER_SECONDS", 0.3)
    (tmp_path / lease.FILE).write_text(json.dumps({"host": "elsewhere", "process": 1, "job": "9"}))
    with lease.held(tmp_path):
        assert json.loads((tmp_path / lease.FILE).read_text())["host"] == socket.gethostname()


def test_a_lease_that_was_cut_short_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "VOID_AFTER_SECONDS", 0.3)
    (tmp_path / lease.FILE).write_text('{"host": "el')
    with lease.held(tmp_path):
        assert (tmp_path / lease.FILE).exists()


def test_the_lease_ends_with_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="why"), lease.held(tmp_path):
        raise ValueError("why")
    assert not (tmp_path / lease.FILE).exists()


@pytest.mark.parametrize("left", [None, "the dead", "the dead, half written", "a claim of the dead"])
def test_of_many_that_start_together_one_holds_the_folder(left: str | None, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    void = json.dumps({"host": socket.gethostname(), "process": gone.pid, "job": None})
    if left is not None:
        (tmp_path / lease.FILE).write_text(void[:9] if "half" in left else void)
    if left == "a claim of the dead":
        (tmp_path / f".{lease.FILE}.{hashlib.sha256(void.encode()).hexdigest()[:16]}.0").write_text("")
    many = [start(ONE_OF_MANY, tmp_path) for _ in range(6)]
    try:
        assert [said(process) for process in many] == ["ready"] * 6
        together = time.time() + 0.2
        for process in many:
            tell(process, together)
        assert sorted(said(process) for process in many) == ["held", *["refused"] * 5]
        assert [path.name for path in tmp_path.iterdir()] == [lease.FILE]
        for process in many:
            tell(process, "end")
        assert [process.wait() for process in many] == [0] * 6
        assert list(tmp_path.iterdir()) == []
    finally:
        for process in many:
            process.kill()
            process.communicate()


def test_a_holder_that_stood_still_too_long_ends_and_leaves_its_successors_lease(
    tmp_path: Path, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "VOID_AFTER_SECONDS", 0.3)
    holder.send_signal(signal.SIGSTOP)
    with lease.held(tmp_path):
        holder.send_signal(signal.SIGCONT)
        assert holder.wait(10) == lease.EXIT_LOST
        assert holder.stderr is not None
        message = holder.stderr.read()
        assert re.fullmatch(rf"error: .* was taken over by process {os.getpid()} on .* while .*run again\n", message)
        assert json.loads((tmp_path / lease.FILE).read_text())["process"] == os.getpid()


def test_only_ones_own_lease_is_taken_away(tmp_path: Path) -> None:
    with lease.held(tmp_path):
        (tmp_path / lease.FILE).write_text("another's")
    assert (tmp_path / lease.FILE).read_text() == "another's"


def test_a_lease_that_was_deleted_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    with lease.held(tmp_path):
        (tmp_path / lease.FILE).unlink()
        end = time.monotonic() + 10
        while not (tmp_path / lease.FILE).exists():
            assert time.monotonic() < end
            time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []
