"""The set-up's own parts, those that need no network."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "requirements" / "install.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_clara_runs_this_code_from_any_folder(install: ModuleType, tmp_path: Path) -> None:
    environment = tmp_path / "an environment"
    (environment / "bin").mkdir(parents=True)
    # Stands for the environment's Python, which finds the project through clara-source.pth.
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    install.write_command(environment)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "clara").mkdir(parents=True)
    (elsewhere / "clara" / "__init__.py").write_text("raise SystemExit('the wrong clara')")
    done = subprocess.run(
        [environment / "bin" / "clara", "--help"], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "import-released" in done.stdout


def test_an_environment_with_the_stamp_is_left_alone_and_one_without_is_filled(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[Path] = []
    monkeypatch.setattr(install, "install", lambda folder, gpu: filled.append(folder))
    monkeypatch.setattr(sys, "argv", ["install.py", "--venv", str(tmp_path)])
    install.main()
    install.main()
    assert filled == [tmp_path]
    lock = shutil.copy(install.LOCK, tmp_path / "lock.txt")
    monkeypatch.setattr(install, "LOCK", Path(lock))
    Path(lock).write_text(Path(lock).read_text() + "\n")
    install.main()
    assert filled == [tmp_path] * 2
