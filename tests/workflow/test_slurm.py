"""The graph on a real SLURM of one node: its jobs are SLURM's, and each way of losing a job there is survived.

Where SLURM is not installed, or a cluster cannot be started, the tests skip themselves and say why.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from clara import slurm
from tests.cluster import single_node
from tests.workflow.checkout import copy_checkout, environment
from tests.workflow.harm import tables

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(1400)]

RUNNER = "workflow_scripts/run_pipeline.py"
QUICK = (
    "--profile", "slurm", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1",
    "--max-status-checks-per-second", "5", "--latency-wait", "5",
)  # fmt: skip
"""No accounting database here, and end of jobs is to be noticed soon."""
CI = ("--configfile", "configs/ci.yaml", "overlay.yaml")
CARD = "results/ci/pretraining/cr4-base/card.json"
ON_GPU = {
    "synthesize": 1,
    "pretrain": 2,
    "tune_instructions": 2,
    "compress_documents": 2,
    "train_joint": 2,
    "measure_memory_use": 6,
    "predict": 2,
    "predict_baseline": 2,
}
"""Rule → its jobs in the miniature."""
JOBS = ON_GPU | {
    "prepare_backbone": 1,
    "split_passages": 1,
    "prepare_questions": 4,
    "make_candidates": 4,
    "collect_documents": 1,
    "gather_pairs": 1,
    "review_pairs": 1,
}
"""What is no job of SLURM's is done where Snakemake runs: fetch_corpus, rank_bm25, score, the report and its tables."""


started: "list[subprocess.Popen[bytes]]" = []
"""Runs of the test at work; one that fails leaves none behind."""


class Record(NamedTuple):
    """What SLURM keeps of a job."""

    id: str
    rule: str
    state: str
    fields: dict[str, str]


def records(folder: Path) -> list[Record]:
    """All jobs that were submitted from `folder`, oldest first."""
    found = []
    for line in single_node.output("scontrol", "show", "job", "-o").splitlines():
        fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
        if Path(fields.get("WorkDir", "")) == folder and fields["JobName"].startswith(slurm.PREFIX):
            rule = re.sub(r"^rule_|_wildcards.*", "", fields["Comment"])
            found.append(Record(fields["JobId"], rule, fields["JobState"], fields))
    return sorted(found, key=lambda record: int(record.id))


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Ends the runs that a failed test left at work, and their jobs."""
    yield
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            subprocess.run(["scancel", "--me"], env=single_node.plain_environment(), check=False)
    started.clear()


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A SLURM of one node for the tests of this file."""
    if reason := single_node.missing():
        pytest.skip(reason)
    single_node.start()
    yield
    single_node.stop()


@pytest.fixture(scope="module")
def on_slurm(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the whole miniature ran on the cluster."""
    folder = copy_checkout(tmp_path_factory.mktemp("slurm") / "checkout")
    (folder / "slurm").symlink_to("profiles/slurm")
    (folder / "overlay.yaml").write_text("{}\n")
    finish(start(folder, *CI), folder)
    return folder


@pytest.fixture
def folder(on_slurm: Path, tmp_path: Path) -> Path:
    """A copy of it with one pretraining to be made again, in so many steps that it can be met at work."""
    copy = Path(shutil.copytree(on_slurm, tmp_path / "checkout", symlinks=True))
    shutil.rmtree(copy / "state")
    (copy / "overlay.yaml").write_text("pretraining: {optimization: {steps: 60, validate_every: 60, save_every: 1}}\n")
    return copy


def start(folder: Path, *arguments: str, path: Path | None = None) -> "subprocess.Popen[bytes]":
    """The runner with the cluster's profile, in a process group of its own; its output goes to run.txt.

    Args:
        path: a folder whose commands come first.
    """
    settings = environment()
    if path:
        settings["PATH"] = f"{path}{os.pathsep}{settings['PATH']}"
    with (folder / "run.txt").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, RUNNER, *QUICK, *arguments],
            cwd=folder,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    started.append(process)
    return process


def finish(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    """What a run said that ended well."""
    code = process.wait(timeout=1200)
    said = (folder / "run.txt").read_text()
    assert code == 0, said[-4000:]
    return said


def wait_for(what: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    """Returns when `what()` is true; fails when the run ends before."""
    until = time.monotonic() + 200
    while not what():
        assert process.poll() is None, "the run ended before it was met at work"
        assert time.monotonic() < until
        time.sleep(0.1)


def saved_states(folder: Path) -> list[Path]:
    """States of the long pretraining, oldest first."""
    return sorted((folder / "state/ci/pretrain").glob("*/*/step-*"))


def resumed_after(folder: Path) -> list[int]:
    """The steps after which the newest pretraining went on."""
    log = folder / "logs/ci/pretrain/cr4-base.log"
    # Between two attempts there is none: Snakemake puts the first one's away.
    said = log.read_text() if log.exists() else ""
    return [int(step) for step in re.findall(r"goes on after step (\d+)", said)]


def assert_whole(folder: Path) -> None:
    """The history of the long pretraining has every step once."""
    rows = [json.loads(line) for line in (folder / CARD).with_name("history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["split"] == "train"] == list(range(1, 61))


def test_jobs_were_slurm_jobs_with_the_resources_asked_for(on_slurm: Path) -> None:
    jobs = records(on_slurm)
    assert Counter(job.rule for job in jobs) == JOBS
    assert {job.state for job in jobs} == {"COMPLETED"}
    profile = yaml.safe_load((on_slurm / "profiles/slurm/profile.v9+.yaml").read_text())
    threads = dict(given.split("=") for given in profile["set-threads"])
    for job in jobs:
        on_gpu = job.rule in profile["set-resources"]
        assert on_gpu == (job.rule in ON_GPU)
        assert job.fields["Partition"] == ("gpu" if on_gpu else "cpu"), job
        assert job.fields.get("TresPerJob") == ("gres:gpu:1" if on_gpu else None), job
        assert job.fields["CPUs/Task"] == threads.get(job.rule, "1"), job
    training = next(job.fields for job in jobs if job.rule == "pretrain")
    assert training["TimeLimit"] == "00:30:00"  # the least that clara/sizing/ asks for
    assert training["MinMemoryNode"] == "4001M"  # 4,000 MB, and 1.3 times the weights of the random model
    finished = dict(line.split() for line in single_node.output("sacct", "-c", "-n", "-o", "jobid,state").splitlines())
    assert {finished[job.id] for job in jobs} == {"COMPLETED"}


def test_a_second_run_finds_nothing_to_do(on_slurm: Path) -> None:
    before = len(records(on_slurm))
    assert "Nothing to be done" in finish(start(on_slurm, *CI), on_slurm)
    assert len(records(on_slurm)) == before


def test_what_slurm_made_is_what_a_local_run_makes(on_slurm: Path, whole_run: Path) -> None:
    # The profiles give a training of these eight threads and one, and up to two trainings at once and one.
    here, there = tables(on_slurm), tables(whole_run)
    assert [name for name in there if here.get(name) != there[name]] == []
    assert len(here) == len(there) > 20
    for name in ("corpus/passages.parquet", "synthesis/pairs.parquet"):
        path = f"results/ci/{name}"
        assert (on_slurm / path).read_bytes() == (whole_run / path).read_bytes(), name


def test_a_preempted_training_goes_on_where_it_was(folder: Path) -> None:
    profile = folder / "profiles/slurm/profile.v9+.yaml"
    profile.write_text(re.sub("(?m)^slurm-no-requeue: true.*$", "slurm-requeue: true", profile.read_text()))
    process = start(folder, CARD, *CI)
    wait_for(lambda: saved_states(folder), process)
    subprocess.run(
        ["sbatch", "-p", "urgent", "--exclusive", "--mem=0", "-o", "/dev/null", "--wrap", "sleep 2"],
        env=single_node.plain_environment(),
        check=True,
        capture_output=True,
    )
    finish(process, folder)
    [job] = records(folder)
    assert (job.state, job.fields["Restarts"]) == ("COMPLETED", "1")
    assert resumed_after(folder)[-1] >= 1
    assert_whole(folder)


def test_a_cancelled_training_is_submitted_again_and_goes_on(folder: Path) -> None:
    process = start(folder, CARD, *CI)
    wait_for(lambda: saved_states(folder), process)
    single_node.output("scancel", records(folder)[0].id)
    finish(process, folder)
    assert [job.state for job in records(folder)] == ["CANCELLED", "COMPLETED"]
    assert resumed_after(folder)[-1] >= 1
    assert_whole(folder)


def test_a_killed_run_is_started_again_without_a_doubled_job(folder: Path) -> None:
    process = start(folder, CARD, *CI)
    wait_for(lambda: saved_states(folder), process)
    second = subprocess.run(
        [sys.executable, RUNNER, *QUICK, CARD, *CI], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert second.returncode == 2
    assert f"error: another run works in {folder} (process {process.pid})" in second.stderr
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    said = finish(start(folder, CARD, *CI), folder)
    orphan, last = records(folder)
    assert f"the killed run left SLURM jobs behind; they are cancelled: {orphan.id} (rule_pretrain" in said
    assert (orphan.state, last.state) == ("CANCELLED", "COMPLETED")
    assert orphan.fields["EndTime"] <= last.fields["StartTime"]
    assert_whole(folder)


def test_a_job_above_its_memory_is_killed_and_gets_more(folder: Path) -> None:
    (folder / "overlay.yaml").write_text("pretraining: {mse_weight: 0.2}\n")
    process = start(folder, CARD, *CI, "--set-resources", "pretrain:mem_mb=300*attempt**4")
    finish(process, folder)
    jobs = records(folder)
    assert [job.fields["MinMemoryNode"] for job in jobs] == ["300M", "4800M"]
    assert jobs[0].state in ("FAILED", "OUT_OF_MEMORY")
    assert jobs[-1].state == "COMPLETED"


def test_a_training_beyond_its_time_limit_goes_on_in_another_job(folder: Path) -> None:
    (folder / "overlay.yaml").write_text((folder / "overlay.yaml").read_text().replace("60", "4000"))
    process = start(folder, CARD, *CI, "--set-resources", "pretrain:runtime=attempt**4")
    wait_for(lambda: len(records(folder)) == 2 and resumed_after(folder), process)
    first, second = records(folder)
    assert (first.state, first.fields["TimeLimit"], second.fields["TimeLimit"]) == ("TIMEOUT", "00:01:00", "00:16:00")
    assert resumed_after(folder)[-1] >= 1


def test_a_short_outage_of_the_status_command_is_waited_out(folder: Path, tmp_path: Path) -> None:
    # Five failures in a row, the plugin's default, take a second here: it would forget the job and wait for ever.
    down, asked, shim = tmp_path / "down", tmp_path / "asked", tmp_path / "bin" / "squeue"
    shim.parent.mkdir()
    silent = f"test ! -e {down} || {{ echo >> {asked}; exit 1; }}"
    shim.write_text(f'#!/bin/sh\n{silent}\nexec {shutil.which("squeue")} "$@"\n')
    shim.chmod(0o755)
    passages = "results/ci/corpus/passages.parquet"
    (folder / passages).unlink()
    process = start(folder, passages, *CI, path=shim.parent)
    wait_for(lambda: records(folder), process)
    down.touch()
    wait_for(lambda: asked.exists() and asked.stat().st_size > 8, process)
    down.unlink()
    finish(process, folder)
    assert [job.state for job in records(folder)] == ["COMPLETED"]


def test_a_drained_node_holds_jobs_back_and_loses_none(folder: Path) -> None:
    node = os.uname().nodename.split(".")[0]
    passages = "results/ci/corpus/passages.parquet"
    (folder / passages).unlink()
    single_node.output("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    try:
        process = start(folder, passages, *CI)
        wait_for(lambda: [job for job in records(folder) if job.state == "PENDING"], process)
        time.sleep(3)
        assert process.poll() is None
    finally:
        single_node.output("scontrol", "update", f"nodename={node}", "state=resume")
    finish(process, folder)
    assert [job.state for job in records(folder)] == ["COMPLETED"]


def test_tasks_on_a_node_train_together(on_slurm: Path, tmp_path: Path) -> None:
    settings = (on_slurm / CARD).with_name("settings.json").read_text()
    aside = json.dumps({"pretraining": {"optimization": {"save_every": 4}}})
    done = subprocess.run(
        [
            "srun", "--ntasks=2", "--mem=4000",
            sys.executable, "workflow_scripts/launch.py", "workflow_scripts/pretrain.py",
            "--settings", settings, "--aside", aside, "--ratio", "4", "--pairs", "results/ci/synthesis/pairs.parquet",
            "--backbone", "results/ci/backbone/card.json", "--state", str(tmp_path / "state"),
            "--card", str(tmp_path / "card.json"),
        ],
        cwd=on_slurm,
        env=single_node.plain_environment() | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    together, alone = (
        [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
        for path in (tmp_path, (on_slurm / CARD).parent)
    )
    assert [row["loss"] for row in together] == pytest.approx([row["loss"] for row in alone], rel=1e-5)
    assert done.stderr.count("step 4/4 train") == 1, "each task trained for itself"
