"""The commands and the Python of docs/using.md and docs/store.md run, in their order, in one folder; so do the commands
of `clara` that stand in the sentences of all pages."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clara.cli import app
from clara.row_files import write_rows
from tests import tiny

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("using", "store")}
PYTHON = re.findall(r"```python\n(.*?)```", PAGES["using"], re.DOTALL)
SAID = [path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")) if path.stem != "experiments"]
README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
SENTENCES = sorted({words for text in [*SAID, README] for words in re.findall(r"`clara (\w[^`\n]* [^`\n]+)`", text)})
"""What follows `clara`, where more than a name does."""
MODEL, POOL = "results/demo/joint/instruction-cr4-base", "results/demo/candidates/nq.test.oracle.jsonl"
STORE = "results/demo/compression/instruction-cr4-base"
HERE = {
    "ask … --model TARGET --store STORE": f"ask Why? --model {MODEL} --store {STORE}",
    "diagnose --unseen … --against …": f"diagnose {MODEL} {POOL} --examples 2 --unseen pairs.parquet --against {MODEL}",
    "diagnose CHECKPOINT QUESTIONS…": f"diagnose {MODEL} {POOL} --examples 2",
    "export CHECKPOINT ROLE TARGET": f"export {MODEL} generator exported",
    "search … --json": "search Why? --json",
}
"""A sentence's command → the same with files of the folder."""
ELSEWHERE = ["serve --engine vllm"]
"""Needs vLLM: tests/server/test_continuous.py."""


def commands(page: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_page_works(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.run", lambda app, **options: None)  # all but the serving itself; see test_serve.py
    shown = commands(PAGES[name])
    assert len(shown) > 8
    for program, *words in shown:
        assert program == "clara"
        if "checkpoints/demo" in " ".join(words):  # needs a backbone that others have; see test_small_folder.py
            continue
        done = CliRunner().invoke(app, words, input="")
        assert done.exit_code == 0, (words, done.output)


def test_the_python_of_the_page_runs(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert PYTHON
    for code in PYTHON:
        exec(compile(code, "docs/using.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("words", [words for words in SENTENCES if words not in ELSEWHERE])
def test_a_command_in_a_sentence_works(words: str, workplace: Path) -> None:
    if words in HERE:
        write_rows(workplace / "pairs.parquet", tiny.pairs()[:3])  # of one document
        done = CliRunner().invoke(app, shlex.split(HERE[words]))
        assert done.exit_code == 0, done.output
    else:  # what a block shows is run above, or by tests/workflow/test_readme_runs.py
        meant = {word for word in words.split() if word != "…" and not re.search("[A-Z]{3}", word)}
        assert any(meant <= set(block) for page in [*PAGES.values(), README] for block in commands(page)), words
