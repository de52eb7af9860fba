"""The jobs of a run as the workflow would start them, and what stands beside their results about their making."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clara.config.rules import RULES, sections_of
from clara.errors import ConfigError
from clara.files import read_json
from clara.provenance import record_of

REPORT_FOLDERS = ("tables", "figures", "files")
"""Folders of a report, whose record names what lies in them by its name alone."""

LISTER = "workflow_scripts/list_jobs.py"


class Job(NamedTuple):
    """A job as `list_jobs.py` tells of it."""

    rule: str
    wildcards: dict[str, str]
    outputs: list[str]
    inputs: list[str]
    waits: bool
    """Whether it reads what another job of the same plan makes."""
    settings: str
    """JSON, as the program gets it."""
    code: str
    missing: list[str]
    changed_inputs: list[str]
    params_changed: bool
    resources: dict[str, int]
    """mem_mb, runtime in minutes, gpu."""
    site: dict[str, str]
    """slurm_partition, slurm_account, gpu_model, where the profile names them."""
    local: bool
    """Whether it runs where Snakemake does."""
    benchmark: str
    log: str
    state: str

    @property
    def name(self) -> str:
        """What its log is called: rule and the wildcards that its paths spell."""
        parts = Path(self.log).with_suffix("").parts[2:]
        return " ".join(parts) or self.rule


class Recorded(NamedTuple):
    """What stands beside a result."""

    settings: dict[str, Any]
    fingerprint: str
    """Of the code; empty in records of earlier versions."""
    modules: dict[str, str]
    inputs: dict[str, str]
    """Path → SHA-256."""
    outputs: dict[str, str]
    """Path → SHA-256 of the results when they were written."""


def planned(arguments: Sequence[str]) -> list[Job]:
    """The jobs that Snakemake would run with these arguments, in this folder.

    Raises:
        ConfigError: it refuses; its reason in one line.
    """
    command = [sys.executable, LISTER, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = re.split(r"^error: ", done.stderr.strip(), flags=re.MULTILINE)[-1]  # after what the rules tell
        raise ConfigError(said or "Snakemake could not plan the run")
    return [Job(**job) for job in json.loads(done.stdout)]


def recorded(job: Job) -> Recorded | None:
    """How the job's present results were made; null where nothing tells."""
    for output in map(Path, job.outputs):
        record = record_of(output) if output.is_file() else None
        if record is not None:
            settings = record.get("settings")
            beside = output.with_name("settings.json")
            if settings is None:
                settings = read_json(beside) if beside.is_file() else {}
            return Recorded(
                settings,
                record.get("code") or "",
                record.get("modules") or {},
                record["inputs"],
                _results(output, record),
            )
    return None


def _results(output: Path, record: dict[str, Any]) -> dict[str, str]:
    return {str(_recorded(output, name)): digest for name, digest in record.get("outputs", {}).items()}


def _recorded(output: Path, name: str) -> Path:
    """Where a result of that name lies: beside the output, or in one of the folders of a report."""
    beside = output.with_name(name)
    below = [output.parent / folder / name for folder in REPORT_FOLDERS]
    return next((path for path in [beside, *below] if path.is_file()), beside)


def settings_changed(job: Job, record: Recorded) -> list[str]:
    """`joint.top_k 3 -> 5` for every setting of the job that differs from the recorded one."""
    before, now = dict(_flat(record.settings)), dict(_flat(json.loads(job.settings)))
    sections = sections_of(job.rule) if job.rule in RULES else {}
    lines = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key, "none"), now.get(key, "none")
        if old != new:
            head, _, rest = key.partition(".")
            place = sections.get(head, head).format(
                **{**job.wildcards, "benchmark": job.wildcards.get("benchmark", "")}
            )
            lines.append(f"{'.'.join(part for part in (place, rest) if part)} {shown(old)} -> {shown(new)}")
    return lines


def modules_changed(record: Recorded, now: dict[str, str]) -> list[str]:
    """The modules that differ between the recorded code and the present one."""
    return sorted(name for name in record.modules.keys() | now.keys() if record.modules.get(name) != now.get(name))


def shown(value: Any) -> str:
    """A setting as `config.yaml` writes it: `1.0e-3` for a small number, JSON for others."""
    if isinstance(value, float) and value and (abs(value) < 1e-2 or abs(value) >= 1e6):
        digits, _, exponent = f"{value:e}".partition("e")
        digits = digits.rstrip("0")
        return f"{digits}{'0' if digits.endswith('.') else ''}e{int(exponent):+d}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings by dotted path; lists are leaves."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def rules_of(stage: str, root: Path) -> list[str]:
    """The rules of a stage (`rules/STAGE.smk`, or the files of `rules/STAGE/`), a rule by its own name, or all.

    Raises:
        ConfigError: there is no such stage or rule; names the stages.
    """
    stages: dict[str, list[str]] = {}
    for path in sorted((root / "rules").rglob("*.smk")):
        name = path.relative_to(root / "rules").with_suffix("").parts[0]
        stages.setdefault(name, []).extend(re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE))
    every = [rule for rules in stages.values() for rule in rules]
    if stage == "all":
        return every
    if stage in every:
        return [stage]
    if not stages.get(stage):
        known = ", ".join(name for name, rules in stages.items() if rules)
        raise ConfigError(f"there is no stage or rule {stage}; expected one of {known}, a rule of them, or all")
    return stages[stage]
