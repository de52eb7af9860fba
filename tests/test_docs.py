"""The commands of the documents: each program is there, knows the flags, and the files that are named exist.

Those in blocks of the README and of starting, cluster, extending, recovering, using and dvc are run as well
(tests/workflow/test_readme_runs.py, tests/commands/test_using_page.py, tests/workflow/test_dvc_remote.py); training and
what stands in sentences would take hours, so they are read by the programs' own parsers.
"""

import importlib
import itertools
import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from clara.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in ("using", "experiments")]
RECORDED = [page for folder in ("docs", "data", "checkpoints") for page in sorted((ROOT / folder).glob("**/README.md"))]
"""Notes of recorded runs, data and checkpoints."""
LEFT = "…"
"""Stands for what a reader puts in."""
SNAKEMAKE = ("run_pipeline.py", "explain.py", "verify.py", "preflight.py", "accept.py", "list_jobs.py")
"""Programs that give what they do not know to Snakemake."""


def commands(page: Path) -> list[str]:
    """Lines of shell blocks, and commands in the text between back quotes."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`((?:make|snakemake|clara|dvc|python workflow_scripts/\S+) [^`\n]+)`", text)
    return [line for line in [*lines, *inline] if line.strip()]


COMMANDS = [(page.stem, command) for page in PAGES for command in commands(page)]


@cache
def snakemake_flags() -> set[str]:
    from snakemake.cli import get_argument_parser

    return {flag for action in get_argument_parser()._actions for flag in action.option_strings}


@cache
def help_of(program: str) -> str:
    module = importlib.import_module(f"workflow_scripts.{program.removesuffix('.py')}")
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("argparse.ArgumentParser.print_help", lambda parser, *_: said.append(parser.format_help()))
        with pytest.raises(SystemExit):
            module.main(["--help"])
    return "".join(said)


def flags(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if word.startswith("-") and LEFT not in word]


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in words if "=" not in word]
    assert targets
    for target in targets:
        assert re.search(rf"^[\w -]*\b{target}\b[\w -]*:", makefile, re.MULTILINE), target
    for assignment in [word for word in words if "=" in word]:
        name, _, value = assignment.partition("=")
        assert f"$({name})" in makefile
        if name == "ARGS":
            check_snakemake(shlex.split(value))


def check_snakemake(words: list[str]) -> None:
    unknown = set(flags(words)) - snakemake_flags()
    assert not unknown
    check_files(words)


def check_files(words: list[str]) -> None:
    named = [word for word in words if re.match(r"(configs|profiles|workflow_scripts)/", word) and "NAME" not in word]
    assert [path for path in named if not (ROOT / path).exists()] == []
    profiles = [value for flag, value in itertools.pairwise(words) if flag == "--profile"]
    assert [name for name in profiles if not (ROOT / name).is_dir() and name != "slurm"] == []


def check_python(words: list[str]) -> None:
    path, *rest = words
    if path == "workflow_scripts/NAME.py" or LEFT in path:
        return
    program = Path(path).name
    assert (ROOT / path).is_file()
    if program != "launch.py":
        known = set(re.findall(r"--[\w-]+", help_of(program))) if program != "run_pipeline.py" else set()
        unknown = set(flags(rest)) - known - (snakemake_flags() if program in SNAKEMAKE else set())
        assert not unknown
    check_files(words)


def check_clara(words: list[str]) -> None:
    names = [words[0]] if words[0] != "store" else words[:2]
    if names[0].startswith("--"):
        return
    done = CliRunner().invoke(app, [*names, "--help"])
    assert done.exit_code == 0, done.output
    command = get_command(app)
    for name in names:
        command = command.commands[name]  # type: ignore[attr-defined]
    known = {flag for parameter in command.params for flag in [*parameter.opts, *parameter.secondary_opts]}
    assert set(flags(words)) <= known | {"--help"}
    check_files(words)


def check_dvc(words: list[str]) -> None:
    from dvc.cli.parser import get_main_parser

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        get_main_parser().parse_args(words)


def nothing(words: list[str]) -> None:
    """Of the system, or shown with more left out than said."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make, "snakemake": check_snakemake, "python": check_python, "clara": check_clara, "dvc": check_dvc,
    "source": nothing, "accelerate": nothing, "srun": nothing, "export": nothing, "rm": nothing, "tar": nothing,
    "pip": nothing, "curl": nothing, "cd": nothing, "git": nothing,
}  # fmt: skip


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda value: str(value)[:60])
def test_a_command_of_a_document_is_one_that_its_program_takes(page: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if not words:
        return
    assert words[0] in CHECKS, f"{page} shows {command}: say here how to check it"
    CHECKS[words[0]](words[1:])


def test_the_pages_that_a_newcomer_needs_have_commands() -> None:
    shown = {page for page, _ in COMMANDS}
    assert {"starting", "cluster", "extending", "recovering"} <= shown
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("page", [*PAGES, *RECORDED], ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_the_links_of_a_document_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
