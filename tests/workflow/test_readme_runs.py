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
PAGES = ("benchmarks", "cluster", "differences", "extending", "recovering", "starting", "training")
"""The others: tests/commands/test_using_page.py, tests/workflow/test_dvc_remote.py. Commands in sentences:
tests/workflow/test_sentences_run.py."""
LAUNCHES = ("accelerate", "srun")
"""Trainings of several processes: tests/training/test_processes.py and tests/workflow/test_slurm.py start them so."""


def shown(text: str) -> list[list[str]]:
    """The commands of a page's shell blocks, in words."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(command, comments=True) for line in lines for command in line.split(" && ") if command.strip()]


COMMANDS = shown(README)
OF_PAGES = {
    " ".join(words): words
    for page in PAGES
    for words in shown((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    if words not in COMMANDS and words[0] not in LAUNCHES
}
CHECKPOINT = "results/ci/joint/instruction-cr4-base"
EARNEST = ("ask", "compress", "crate", "doctor", "provenance", "status")
LOOKING = ("explain", "verify", "preflight")
"""Programs that make no file, and may find fault: run in earnest."""


def checked(words: list[str]) -> list[str]:
    """The command as it is run here: in earnest where that is cheap, else as a dry run or for its help."""
    match words:
        case ["make", target, *rest] if target in LOOKING:
            arguments = next((part.removeprefix("ARGS=") for part in rest), "--profile profiles/local")
            return [sys.executable, f"workflow_scripts/{target}.py", *shlex.split(arguments)]
        case ["make", *rest]:
            return ["make", "-n", "-C", str(ROOT), *rest]
        case ["source", path]:
            return ["bash", "-c", f"test {path} = .venv/bin/activate"]
        case ["snakemake", *rest]:
            return [sys.executable, "-m", "snakemake", *(["-n"] if "-n" not in rest else []), *rest]
        case ["python", "workflow_scripts/run_pipeline.py", *rest]:
            return [sys.executable, "workflow_scripts/run_pipeline.py", "-n", *rest]
        case ["python", program, *rest]:
            return [sys.executable, program, *rest]
        case ["dvc", *rest]:
            return [sys.executable, "-m", "dvc", *rest, "--help"]
        case ["clara", "info", "TARGET"]:
            return [sys.executable, "-m", "clara", "info", CHECKPOINT]
        case ["clara", command, *_] if command in EARNEST:
            # The copy has no checkpoint of ours, whose language model takes half a minute to make.
            known = [CHECKPOINT if word.startswith("checkpoints/") else word for word in words]
            return [sys.executable, "-m", *(word.replace("results/demo", "results/ci") for word in known)]
        case ["clara", command, *_]:
            return [sys.executable, "-m", "clara", command, "--help"]
    raise AssertionError(f"the documents show {shlex.join(words)}: say here how to check it")


def works(folder: Path, words: list[str]) -> None:
    if not (folder / "slurm").exists():
        os.symlink("profiles/slurm", folder / "slurm")
    (folder / "my-documents").mkdir(exist_ok=True)
    (folder / "my-documents" / "albedo.txt").write_text("Albedo is the share of light that a surface reflects.\n")
    done = subprocess.run(
        checked(words), cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    found_fault = done.returncode in (1, 3) and any(name in " ".join(words) for name in LOOKING)
    assert done.returncode == 0 or found_fault, done.stdout[-500:] + done.stderr[-1500:]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_works(whole_run: Path, words: list[str]) -> None:
    works(whole_run, words)


@pytest.mark.parametrize("words", OF_PAGES.values(), ids=OF_PAGES)
def test_a_command_of_the_documents_works(whole_run: Path, words: list[str]) -> None:
    works(whole_run, words)


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
