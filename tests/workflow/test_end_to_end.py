"""The graph on configs/ci.yaml: it finishes, a second run does nothing, a killed one ends with the same tables."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.checkout import CI, LOCAL, RUNNER, copy_checkout, environment, planned, run
from tests.workflow.harm import tables

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

KILL_WHEN_THERE_IS = ("state/ci/pretrain", "logs/ci/compress_documents", "state/ci/train_joint", "logs/ci/predict")
"""Of a training the first saved state, of other steps the log, which begins with the job."""


def test_the_graph_makes_its_tables_and_its_page(whole_run: Path) -> None:
    names = tables(whole_run).keys()
    systems = {"no_retrieval", "text_rag", "bm25", "instruction-cr4-base", "instruction-cr16-base"}
    assert {f"evaluation/metrics/{system}.json" for system in systems} <= names
    assert "report/tables/results.csv" in names
    assert "<html" in (whole_run / "results/ci/report/index.html").read_text(encoding="utf-8").lower()
    metrics = json.loads((whole_run / "results/ci/evaluation/metrics/bm25.json").read_text())
    assert {row["setting"] for row in metrics["rows"]} == {"oracle", "normal"}


def test_a_second_run_finds_nothing_to_do_and_soon(whole_run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (whole_run / "results").rglob("*") if path.is_file()}
    started = time.monotonic()
    done = run(whole_run, RUNNER, *CI)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stderr
    assert time.monotonic() - started < 20, "generous, for a busy machine; alone it takes about two seconds"
    assert {path: path.stat().st_mtime_ns for path in (whole_run / "results").rglob("*") if path.is_file()} == before


def test_every_rule_left_a_log_and_a_benchmark(whole_run: Path) -> None:
    for folder, ending in (("logs", ".log"), ("benchmarks", ".jsonl")):
        made = {
            path.relative_to(whole_run / folder / "ci").parts[0].removesuffix(ending)
            for path in (whole_run / folder / "ci").rglob(f"*{ending}")
        }
        assert len(made) == 21, made


def test_a_command_can_be_run_by_hand(whole_run: Path, tmp_path: Path) -> None:
    metrics = tmp_path / "bm25.json"
    settings = json.dumps(
        {"seed": 42, "scoring": {"recall_at": [1, 3, 5], "bootstrap_samples": 200, "confidence": 0.95}}
    )
    predictions = "results/ci/evaluation/predictions/bm25.jsonl"
    command = [
        "workflow_scripts/score.py",
        "--settings",
        settings,
        "--predictions",
        predictions,
        "--metrics",
        str(metrics),
    ]
    assert run(whole_run, *command).returncode == 0
    assert metrics.read_bytes() == (whole_run / "results/ci/evaluation/metrics/bm25.json").read_bytes()


OTHERWISE = ("--cores", "3", "--configfile", "configs/ci.yaml", "overlay.yaml")
"""Other numbers of jobs at once and, in the overlay, of shards."""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A run in a process group of its own, as a terminal gives it."""
    with (folder / "run.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, RUNNER, *LOCAL, *OTHERWISE],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for_file(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Returns when there is a file somewhere below the folder, or the process has ended."""
    while process.poll() is None and not any(path.is_file() for path in folder.rglob("*")):
        time.sleep(0.05)


def test_a_run_killed_in_four_stages_ends_with_the_same_tables(whole_run: Path, tmp_path: Path) -> None:
    # From scratch, with other shards and cores, and killed: tables, predictions and weights are the same bytes.
    folder = copy_checkout(tmp_path / "checkout")
    (folder / "overlay.yaml").write_text("synthesis: {shards: 2}\n")
    killed = 0
    for begun in KILL_WHEN_THERE_IS:
        process = start(folder)
        wait_for_file(folder / begun, process)
        if process.poll() is None:
            kill_group(process)
            killed += 1
    done = run(folder, RUNNER, *LOCAL, *OTHERWISE, timeout=1400)
    assert done.returncode == 0, done.stderr[-1500:]
    assert killed == 4, "the run must have been killed in the middle, or this test shows nothing"
    assert "its lock is taken away" in done.stderr
    differing = [name for name, content in tables(whole_run).items() if tables(folder).get(name) != content]
    assert differing == []
    assert len(tables(whole_run)) == len(tables(folder)) > 20
    assert planned(folder, "--profile", "profiles/gpu", *OTHERWISE) == {}, "another profile reruns nothing"


def test_a_second_run_beside_a_running_one_is_refused(whole_run: Path) -> None:
    holder = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(holder, cwd=whole_run, env=environment(), stdout=subprocess.PIPE) as first:
        assert first.stdout
        assert first.stdout.readline() == b"held\n"
        second = run(whole_run, RUNNER, "-n", *CI)
        first.kill()
    assert second.returncode == 2
    assert f"error: another run works in {whole_run} (process {first.pid})" in second.stderr
    assert run(whole_run, RUNNER, "-n", *CI).returncode == 0


HOLDS = """
import sys, time
from pathlib import Path
sys.path[:0] = [".", "workflow_scripts"]
import run_pipeline
run_pipeline.hold(Path.cwd())
print("held", flush=True)
time.sleep(600)
"""
"""A run that has taken its folder and goes on for long."""


def test_every_result_has_its_provenance(whole_run: Path) -> None:
    results = whole_run / "results" / "ci"
    found = {path.relative_to(results).as_posix() for path in results.rglob("provenance/*.json")}
    expected = {
        "corpus/source/provenance/dump.json",
        "backbone/provenance/card.json",
        "corpus/provenance/passages.json",
        "corpus/provenance/documents.json",
        "questions/provenance/nq.test.json",
        "candidates/provenance/nq.test.normal.json",
        "synthesis/provenance/pairs.json",
        "joint/instruction-cr4-base/provenance/memory_use.json",
        "evaluation/predictions/provenance/text_rag.json",
        "evaluation/predictions/provenance/bm25.json",
        "evaluation/predictions/provenance/instruction-cr4-base.json",
        "evaluation/metrics/provenance/instruction-cr4-base.json",
        "report/provenance/index.json",
    }
    assert expected <= found
    for path in expected:
        content = json.loads((results / path).read_text())
        assert {"settings", "inputs", "commit", "libraries", "device", "seed", "command"} <= content.keys()
