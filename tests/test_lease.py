"""One program at a time works in a folder; a dead one's lease is void."""

import json
import os
import socket
import subprocess
import sys
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


@pytest.fixture
def holder(tmp_path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        env=os.environ | {"SLURM_JOB_ID": "4711", "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_is_refused_with_the_job_to_cancel(tmp_path: Path, holder: "subprocess.Popen[bytes]") -> None:
    with pytest.raises(ResourceError, match=f"process {holder.pid} on .*SLURM job 4711: scancel 4711; wait for it"):
        with lease.held(tmp_path):
            pass


def test_a_killed_holder_is_followed_at_once(tmp_path: Path, holder: "subprocess.Popen[bytes]") -> None:
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
