"""The short form of torture.py: damaged files and a lost shard under the miniature that ran already, and servers
that misbehave, each asked until it gives the right bytes.

Kills are in test_end_to_end.py; the long form, with a hundred of them and all faults: `make torture` (docs/faults.md).
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clara.data.download import Patience
from clara.data.fetch import fetch
from clara.errors import ClaraError
from tests.workflow import bad_server, faults, harm, kills
from tests.workflow.checkout import ROOT

CONTENT = b"line of text\n" * 5000
DAMAGED = {"flip": "evaluation/predictions/bm25.jsonl", "cut": "evaluation/metrics/bm25.json"}
"""Files that are read, and made again, within seconds."""


@pytest.fixture
def ran(whole_run: Path, tmp_path: Path) -> Path:
    """A copy of the miniature that ran."""
    copy = Path(shutil.copytree(whole_run, tmp_path / "finished", symlinks=True))
    (copy / "overlay.yaml").write_text("{}\n")
    return copy


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_ends_in_a_sentence_that_mends_it(how: str, ran: Path, tmp_path: Path) -> None:
    outcomes = list(faults.damaged_files(tmp_path, ran, how, harm.tables(ran), [DAMAGED[how]]))
    assert [row.result for row in outcomes] == [harm.SENTENCE, harm.SAME], outcomes


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_lost_shard_of_a_store_ends_in_a_sentence_that_mends_it(ran: Path, tmp_path: Path) -> None:
    outcomes = list(faults.lost_shard(tmp_path, ran, harm.tables(ran)))
    assert [row.result for row in outcomes] == [harm.SENTENCE, harm.SAME], outcomes


def test_a_kill_knows_the_program_that_it_hits() -> None:
    # Not by its log: two rules run side by side, and the one whose log was written last may have ended.
    sleeping = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(60)"]
    process = subprocess.Popen(
        [*sleeping, "workflow_scripts/rank_bm25.py"], start_new_session=True, text=True, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()  # a process that has only just become another program has no command line yet
        assert kills.at_work(process, ROOT) == ["rank_bm25"]
    finally:
        process.kill()
        process.communicate()
    assert kills.at_work(process, ROOT) == []


def test_the_rule_that_begins_first_of_those_due_is_aimed_at(tmp_path: Path) -> None:
    # Not the first that is unfinished: while that was waited for, a short rule began and ended, and was never hit.
    begins = "import sys, time; time.sleep(0.5); open(sys.argv[1], 'w').write('at work'); time.sleep(60)"
    logs = tmp_path / "logs" / "ci"
    for rule in ("predict", "rank_bm25", "score"):
        (logs / rule).mkdir(parents=True)
        (logs / rule / "earlier.log").write_text("of the run before\n")
    with subprocess.Popen([sys.executable, "-c", begins, logs / "rank_bm25.log"], text=True) as process:
        assert kills.begun(process, tmp_path, ["predict", "rank_bm25", "score"]) == "rank_bm25"
        process.kill()
    assert kills.begun(process, tmp_path, ["rank_bm25"]) == "", "the run has ended"


def test_a_program_that_ends_early_is_not_waited_for_longer(tmp_path: Path) -> None:
    # What a busy machine took a minute for, an idle one has done in seconds: the kill comes soon after.
    (tmp_path / "workflow_scripts").mkdir()
    (tmp_path / "workflow_scripts" / "score.py").write_text("import time; time.sleep(1)")
    command = f"{sys.executable} workflow_scripts/score.py; sleep 30"
    began = time.monotonic()
    with subprocess.Popen(["sh", "-c", command], cwd=tmp_path, start_new_session=True, text=True) as process:
        assert kills.outlives(process, tmp_path, "score", 25, 0.2)
        os.killpg(process.pid, signal.SIGKILL)
    assert 1 < time.monotonic() - began < 20
    assert not kills.outlives(process, tmp_path, "score", 25, 0.2), "the run has ended"


@pytest.mark.parametrize("behaviour", [name for name in bad_server.BEHAVIOURS if name != "stalls in the middle"])
def test_a_bad_server_gives_the_right_bytes_or_a_sentence(behaviour: str, tmp_path: Path) -> None:
    # The stalling one takes a minute and a half; tests/data/test_fetch.py has it with less patience.
    patience = Patience(attempts=2, stall_seconds=5, sleep=lambda seconds: None)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    with bad_server.serving(CONTENT, behaviour) as server:
        try:
            fetch(server.url, tmp_path / "dump", sha256=sha256, patience=patience)
        except ClaraError:
            assert not (tmp_path / "dump").exists()
        else:
            assert (tmp_path / "dump").read_bytes() == CONTENT
        server.behaviour = bad_server.WELL
        fetch(server.url, tmp_path / "dump", sha256=sha256, patience=patience)
    assert (tmp_path / "dump").read_bytes() == CONTENT
