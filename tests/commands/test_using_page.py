"""The commands and the Python of docs/using.md run, in their order, in one folder."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clara.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "using.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_command_of_the_page_works(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.run", lambda app, **options: None)  # all but the serving itself; see test_serve.py
    assert len(COMMANDS) > 10
    for program, *words in COMMANDS:
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
