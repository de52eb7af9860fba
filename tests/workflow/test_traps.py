"""The traps of docs/traps.md: each has a test that exists; those that a look at our files shows are looked for here."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.workflow.checkout import ROOT

TABLE = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", (ROOT / "docs" / "traps.md").read_text(encoding="utf-8"), re.MULTILINE)
RULES = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "Snakefile", *(ROOT / "rules").rglob("*.smk")]}


def test_every_trap_names_tests_that_exist() -> None:
    assert [int(number) for number, _ in TABLE] == list(range(1, 31))
    for number, cell in TABLE:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
        assert named, number
        for file, function in named:
            assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8"), (number, file, function)


def test_rules_use_none_of_the_forms_that_harm() -> None:
    harmful = {
        "directory(": "it is dated by a file that DVC makes anew",
        "    script:": "its comments count as code",
        "    group:": "run times are summed, and one failure deletes all outputs",
        "scattergather": "a profile would rename the shards",
        "params: config": "every key would rerun everything",
    }
    found = [f"{name}: {form} ({why})" for name, text in RULES.items() for form, why in harmful.items() if form in text]
    assert found == []
    assert ".snakemake_timestamp" in (ROOT / ".dvcignore").read_text().split()


def test_the_slurm_profile_keeps_out_of_the_plugins_traps() -> None:
    values = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.v9+.yaml").read_text(encoding="utf-8"))
    patience = values["slurm-status-attempts"] / values["max-status-checks-per-second"]
    assert patience >= 600, "an outage of ten minutes must be waited out: a round that fails loses its jobs"
    assert values["slurm-keep-successful-logs"] is True
    assert values["slurm-delete-logfiles-older-than"] == 0
    assert "max-jobs-per-timespan" in values
    assert not any(key in values for key in ("groups", "group-components", "set-scatter", "resources"))


def test_versions_with_doubled_retries_are_not_used() -> None:
    wanted = re.search(r'min_version\("(\d+)\.(\d+)', RULES["Snakefile"])
    assert wanted
    assert (int(wanted[1]), int(wanted[2])) >= (9, 15)
    locked = re.search(
        r"^snakemake-executor-plugin-slurm==(\d+)\.(\d+)", (ROOT / "requirements/lock.txt").read_text(), re.MULTILINE
    )
    assert locked
    assert (int(locked[1]), int(locked[2])) >= (2, 8)


LEFT = (".snakemake/metadata/x", "results/demo/report/index.html", "state/demo/x", "logs/demo/x.log", "benchmarks/x")
"""What runs leave and git must never take up."""


def test_git_ignores_what_runs_leave_from_the_first_commit_on() -> None:
    def git(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)

    ignored = (ROOT / ".gitignore").read_text().split()
    assert {f"/{path.split('/')[0]}/" for path in LEFT[1:]} | {".snakemake/"} <= set(ignored)
    if git("rev-parse", "--git-dir").returncode:
        pytest.skip("not a git checkout")
    assert git("check-ignore", *LEFT).stdout.split() == list(LEFT)
    assert git("ls-files", ".snakemake", "results", "state", "logs").stdout == ""


@pytest.mark.slow
def test_a_run_leaves_few_files_to_version(whole_run: Path) -> None:
    files = [path for path in (whole_run / "results").rglob("*") if path.is_file()]
    folders = {path.parent for path in files}
    assert max(sum(path.parent == folder for path in files) for folder in folders) < 40, "no file a document"
