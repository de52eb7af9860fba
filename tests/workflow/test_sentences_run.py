"""Commands that stand in sentences of the documents run: Snakemake's as dry runs, make's and DVC's without their work.

Those of blocks: test_readme_runs.py, test_dvc_remote.py and, with all of `clara`, tests/commands/test_using_page.py.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from clara.files import write_json
from tests.workflow.checkout import ROOT, planned_for_each, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem != "experiments")]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
FILLED = {"=…": "=x", "…": "", "table_N": "table_2"}
"""What a sentence leaves to the reader → what is taken here."""


def said(program: str) -> list[list[str]]:
    """What follows a program's name in the sentences, in words, each once."""
    found = sorted(set(re.findall(rf"`{program} ([^`\n]+)`", TEXT)))
    for left, taken in FILLED.items():
        found = [words.replace(left, taken) for words in found]
    return [shlex.split(words) for words in found]


def test_what_snakemake_is_asked_for_has_a_plan(finished: Path) -> None:
    (finished / "slurm").symlink_to("profiles/slurm")
    asked = said("snakemake")
    assert len(asked) > 5
    plans = planned_for_each(finished, asked)
    unlocking = [words for words, plan in zip(asked, plans, strict=True) if not plan]
    assert unlocking == [words for words in asked if "--unlock" in words]


@pytest.mark.parametrize("words", said("make"), ids=" ".join)
def test_make_knows_the_target(words: list[str]) -> None:
    done = subprocess.run(["make", "-n", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_dvc_has_the_stages_and_the_tests_run_the_rest(tmp_path: Path) -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    named = [words[-1] for words in said("dvc") if words[0] == "repro" and len(words) > 1]
    assert "table-2" in named
    for name in ("dvc.yaml", "config.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert run(tmp_path, "-m", "dvc", "init", "-q").returncode == 0
    done = run(tmp_path, "-m", "dvc", "repro", "--dry", "--single-item", "--force", *named)
    assert done.returncode == 0, done.stderr
    assert all(f"Running stage '{name}'" in done.stdout for name in named)
    assert set(named) <= stages.keys()
    files = (
        "tests/workflow/test_dvc_remote.py",
        "tests/workflow/test_dvc_numbers.py",
        "tests/workflow/two_rules.py",
        ADOPT,
    )
    calls = "".join((ROOT / path).read_text(encoding="utf-8") for path in files)
    for words in said("dvc"):
        if words[-1] not in named:
            assert ", ".join(f'"{word}"' for word in words) in calls, words


ADOPT = "workflow_scripts/adopt.py"
SEARCHED = {"seconds": 0.1, "bytes": 1e6}
BENCHED = {
    "set_up": {"torch_threads": 1},
    "search": [{"by_index": {"scan": SEARCHED, "lists": SEARCHED}, "bytes_of_store": 1e7, "exact_seconds": 0.5}],
}
"""What `make bench` leaves, as far as simulate_scale.py reads it."""


@pytest.mark.parametrize("words", [words for words in said("python") if "clara" not in words], ids=" ".join)
def test_a_program_of_a_sentence_runs(words: list[str], tmp_path: Path) -> None:
    if words[0].endswith("NAME.py"):  # the form of all programs, which tests/workflow/test_form.py holds
        return
    write_json(tmp_path / "results/bench/search.json", BENCHED)
    done = run(tmp_path, str(ROOT / words[0]), *words[1:])
    assert done.returncode == 0, done.stderr
    assert "search" in done.stdout or "usage" in done.stdout
