"""The README's commands and its Python example run: the light ones in earnest on the miniature, the heavy ones dry."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.checkout import ROOT, environment, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    shlex.split(command, comments=True)
    for line in "".join(BLOCKS).splitlines()
    for command in line.split(" && ")
    if command.strip()
]
CHECKPOINT = "results/ci/joint/instruction-cr4-base"


def checked(words: list[str]) -> list[str]:
    """The command as it is run here: in earnest where that is cheap, else as a dry run or for its help."""
    match words:
        case ["make", *rest]:
            return ["make", "-n", "-C", str(ROOT), *rest]
        case ["snakemake", *rest]:
            return [sys.executable, "-m", "snakemake", "-n", *rest]
        case ["dvc", *rest]:
            return [sys.executable, "-m", "dvc", *rest, "--help"]
        case ["python", "-m", "clara", "info", "TARGET"] | ["clara", "info", "TARGET"]:
            return [sys.executable, "-m", "clara", "info", CHECKPOINT]
        case ["python", "-m", "clara", "ask", *rest] | ["clara", "ask", *rest]:
            return [sys.executable, "-m", "clara", "ask", *rest]
        case ["python", "-m", "clara", command, *_] | ["clara", command, *_]:
            return [sys.executable, "-m", "clara", command, "--help"]
    raise AssertionError(f"the README shows {shlex.join(words)}: say here how to check it")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_works(whole_run: Path, words: list[str]) -> None:
    if not (whole_run / "slurm").exists():
        os.symlink("profiles/slurm", whole_run / "slurm")
    done = subprocess.run(
        checked(words), cwd=whole_run, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1500:]


def test_the_commands_that_matter_are_among_them() -> None:
    assert ["make", "demo"] in COMMANDS
    assert ["make", "test"] in COMMANDS
    assert any(words[0] == "snakemake" for words in COMMANDS)


def test_the_python_example_prints_an_answer_its_document_and_a_score(whole_run: Path, tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example
    assert "results/demo/" in example[1]
    program = tmp_path / "example.py"
    program.write_text(example[1].replace("results/demo/", "results/ci/"), encoding="utf-8")
    shutil.copytree(whole_run / "clara", tmp_path / "clara")
    done = run(whole_run, str(program))
    assert done.returncode == 0, done.stderr[-1500:]
    assert re.search(r"-?\d\.\d+\s*$", done.stdout), done.stdout
