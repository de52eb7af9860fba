"""What would stop a run after hours, looked for in the first minute: `make preflight`."""

import importlib.util
import os
import subprocess
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from clara import machine
from clara.config.locations import expand
from clara.config.measurements import spacy_install
from clara.errors import ConfigError
from clara.progress import duration
from clara.runs.jobs import Job
from clara.sizing.steps import Size

Level = Literal["ok", "warn", "fail"]
TRAININGS = {"pretrain": "pretraining", "tune_instructions": "instruction", "train_joint": "joint"}
LEAD_MINUTES = 5
"""Before the end of a job, when SLURM sends SIGTERM."""
OWN_MB = 2000
"""Left to the system and to Snakemake."""


class Check(NamedTuple):
    """One line."""

    level: Level
    name: str
    found: str
    remedy: str = ""


class Run(NamedTuple):
    """What is to be checked."""

    config: dict[str, Any]
    profile: dict[str, Any]
    """The profile's keys."""
    jobs: Sequence[Job]
    size_of: Callable[[Job], Size]
    python: str
    """The interpreter of the jobs."""


def read_profile(path: str) -> dict[str, Any]:
    """The keys of a profile; none where no file is found.

    Raises:
        ConfigError: there is no such profile.
    """
    for name in ("profile.v9+.yaml", "config.v9+.yaml", "profile.yaml", "config.yaml"):
        file = Path(path) / name
        if file.is_file():
            return dict(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    raise ConfigError(f"there is no profile {path}; name a folder that holds profile.v9+.yaml, such as profiles/local")


def local_checks(run: Run) -> list[Check]:
    """What depends neither on disks nor on a batch system."""
    return [
        *_imports(run),
        _model("backbone.source", run.config["backbone"]["source"]),
        *([_model("synthesis.model", model)] if (model := run.config["synthesis"]["model"]) else []),
        *_models_of_others(run),
        *_gpu_memory(run),
        *_save_intervals(run),
        *_other_times(run),
        *([] if run.profile.get("executor") == "slurm" else [_memory(run), *_gpus(run)]),
    ]


def _imports(run: Run) -> list[Check]:
    engine = run.config["synthesis"]["engine"]
    modules = ["torch", *(["vllm"] if engine in ("vllm", "server") else [])]
    found = []
    for module in modules:
        try:
            command = [run.python, "-c", f"import {module}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            said, works = (done.stderr.strip().splitlines() or [""])[-1], done.returncode == 0
        except (OSError, subprocess.TimeoutExpired) as error:
            said, works = str(error), False
        if works:
            found.append(Check("ok", module, f"{run.python} imports it"))
        else:
            found.append(Check("fail", module, f"{run.python} cannot import it: {said}", "make setup"))
    if engine == "auto" and importlib.util.find_spec("vllm") is None:
        found.append(
            Check("warn", "vllm", "not installed: synthesis by transformers, several times slower", "make setup")
        )
    return found


def _model(key: str, source: str) -> Check:
    try:
        place = expand(source)
    except ConfigError as error:
        return Check("fail", key, str(error), "set the variable")
    if source.startswith("random:"):
        return Check("ok", key, f"{source} is made on the spot")
    if source.startswith("package:"):
        name = source.removeprefix("package:").partition("/")[0]
        if importlib.util.find_spec(name.replace("-", "_")) is not None:
            return Check("ok", key, f"package {name}")
        return Check("fail", key, f"package {name} is missing", f"pip install {name}")
    if Path(place).exists():
        return Check("ok", key, f"{place} is there")
    if source.startswith(("/", ".", "$", "~")) or place.endswith(".gguf"):
        return Check("fail", key, f"{place} does not exist", f"correct {key}")
    hub = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    if any(hub.glob(f"models--{place.replace('/', '--')}/snapshots/*/*.safetensors")):
        return Check("ok", key, f"{place} is in the Hub's cache {hub}")
    remedy = f"on a machine with network: hf download {place}"
    return Check("warn", key, f"{place} is not on this machine: it will be downloaded", remedy)


def _models_of_others(run: Run) -> list[Check]:
    """Those that rank, shorten or compare texts in this plan; without one its step fails, hours later."""
    evaluation, recovery = run.config["evaluation"], run.config["measurements"]["recovery"]
    used = dict.fromkeys(job.wildcards.get("ranker") or job.wildcards.get("method") for job in run.jobs)
    sources = {f"evaluation.{name}.source": evaluation[name]["source"] for name in used if name in evaluation}
    spacy = []
    if any(job.rule == "measure_bert_score" for job in run.jobs):
        sources["measurements.recovery.bert_score"] = recovery["bert_score"]
    if recovery["entities"] and any(job.rule == "score_recovery" for job in run.jobs):
        spacy = [_spacy("measurements.recovery.entities", recovery["entities"])]
    return [*(_model(key, source) for key, source in sources.items() if source), *spacy]


def _spacy(key: str, model: str) -> Check:
    missing = [name for name in ("spacy", model) if importlib.util.find_spec(name) is None]
    if not missing:
        return Check("ok", key, f"spaCy and {model} are installed")
    return Check("fail", key, f"not installed: {', '.join(missing)}", f"{spacy_install(model)}, or null")


def _memory(run: Run) -> Check:
    most = max(run.jobs, key=lambda job: job.resources["mem_mb"], default=None)
    total = machine.memory_bytes() // 2**20
    if most is None or most.resources["mem_mb"] + OWN_MB <= total:
        return Check(
            "ok", "memory", f"{total:,} MB here, {most.resources['mem_mb'] if most else 0:,} MB for the largest job"
        )
    text = f"{most.name} needs about {most.resources['mem_mb']:,} MB, this machine has {total:,} MB"
    remedy = "smaller micro_batch_size, micro_batch_tokens or batch_size, or gradient_checkpointing: true"
    return Check("fail", "memory", text, remedy)


def _gpus(run: Run) -> list[Check]:
    from clara.gpus import visible

    wanted = max((job.resources["gpu"] for job in run.jobs), default=0)
    if not wanted:
        return []
    there = visible(dict(os.environ))
    text = f"{len(there)} here, {wanted} for the largest job"
    level: Level = "ok" if len(there) >= wanted else "fail"
    return [
        Check(level, "GPUs", text, "" if level == "ok" else "node_gpus in the profile, or --profile profiles/local")
    ]


def _gpu_memory(run: Run) -> list[Check]:
    jobs = [job for job in run.jobs if job.resources["gpu"]]
    if not jobs:
        return []
    gpu_gb = int(defaults(run.profile).get("gpu_gb", 80))
    most = max(jobs, key=lambda job: run.size_of(job).gpu_mem_mb)
    needed = run.size_of(most).gpu_mem_mb / 1000
    text = f"{most.name} needs about {needed:.0f} GB of {gpu_gb} GB"
    if needed > gpu_gb:
        return [
            Check(
                "fail",
                "GPU memory",
                text,
                "smaller micro_batch_size or micro_batch_tokens, or synthesis.tensor_parallel; gpu_gb if it is more",
            )
        ]
    return [Check("ok" if needed < 0.9 * gpu_gb else "warn", "GPU memory", text)]


def _save_intervals(run: Run) -> list[Check]:
    """A job that ends before its first saved state begins anew for ever; one with too few attempts does not end."""
    found = []
    attempts = int(run.profile.get("retries", 0)) + 1
    limited = run.profile.get("executor") == "slurm"
    for rule, section in TRAININGS.items():
        jobs = [job for job in run.jobs if job.rule == rule]
        if not jobs or not limited:
            continue
        job = max(jobs, key=lambda one: run.size_of(one).seconds)
        plan, seconds = run.config[section]["optimization"], run.size_of(job).seconds
        interval = plan["save_every"] * seconds / plan["steps"]
        limit = 60 * (job.resources["runtime"] - LEAD_MINUTES)
        name = f"time of {section}"
        text = f"saves every {duration(interval)}, jobs of {duration(60 * job.resources['runtime'])}"
        if interval > limit:
            found.append(Check("fail", name, text, f"lower {section}.optimization.save_every or raise slot_minutes"))
        elif seconds > attempts * limit:
            held = duration(attempts * limit)
            text = f"about {duration(seconds)} on {job.resources['gpu']} GPUs, {attempts} attempts hold {held}"
            found.append(Check("warn", name, text, "raise retries, slot_minutes or node_gpus in the profile"))
        else:
            found.append(Check("ok", name, text))
    return found


def _other_times(run: Run) -> list[Check]:
    """Of the rules that train nothing, those whose longest job does not end in its time; a line in all where all do."""
    timed = [job for job in run.jobs if job.resources["runtime"] and not job.local and job.rule not in TRAININGS]
    if run.profile.get("executor") != "slurm" or not timed:
        return []
    longest: dict[str, Job] = {}
    for job in sorted(timed, key=lambda one: run.size_of(one).seconds):
        longest.pop(job.rule, None)
        longest[job.rule] = job  # the longest of all comes last
    found = []
    for rule, job in longest.items():
        attempts = int(run.profile.get("retries", 0)) + 1 if job.state else 1  # else each begins anew
        seconds, held = run.size_of(job).seconds, 60 * attempts * (job.resources["runtime"] - LEAD_MINUTES)
        if seconds > held:
            times = f"{attempts} attempts hold" if job.state else "it begins anew at each attempt, and one holds"
            remedy = f"raise slot_minutes in the profile, or runtime of {rule} under its set-resources"
            if rule == "synthesize":
                remedy = f"synthesis.shards: {ceil(run.config['synthesis']['shards'] * seconds / held)} or more"
            said = f"{job.name} takes about {duration(seconds)}, {times} {duration(held)}"
            found.append(Check("warn", f"time of {rule}", said, remedy))
    last = max(longest.values(), key=lambda one: run.size_of(one).seconds)
    return found or [
        Check("ok", "time", f"{last.name}, the longest, takes about {duration(run.size_of(last).seconds)}")
    ]


def defaults(profile: dict[str, Any]) -> dict[str, Any]:
    """default-resources of a profile, which may be a mapping or a list of `name=value`."""
    stated = profile.get("default-resources", {})
    return stated if isinstance(stated, dict) else dict(entry.split("=", 1) for entry in stated)


def text(checks: Sequence[Check]) -> str:
    """A line a check, with its remedy behind it."""
    lines = [
        f"{check.level:<5}{check.name}: {check.found}" + (f" -> {check.remedy}" if check.remedy else "")
        for check in checks
    ]
    counts = {level: sum(check.level == level for check in checks) for level in ("ok", "warn", "fail")}
    return "\n".join([*lines, ", ".join(f"{count} {level}" for level, count in counts.items())])
