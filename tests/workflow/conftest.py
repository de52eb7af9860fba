"""The miniature: run once from the first rule to the last, and, without any model, a folder that looks as if it was."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.workflow.checkout import CI, RUNNER, copy_checkout, pretend_finished, run
from tests.workflow.two_rules import call, publish


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A checkout after `make`. Of several pytest processes the first makes it, and each has a copy of its own."""
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        folder = copy_checkout(factory.mktemp(name) / "checkout")
        make(folder)
        return folder
    original = factory.getbasetemp().parent / name  # the folder above is that of all processes of this session
    with FileLock(f"{original}.lock"):
        if not original.exists():
            making = copy_checkout(factory.mktemp(name) / "making")
            make(making)
            making.rename(original)
    return Path(shutil.copytree(original, factory.mktemp(name) / "checkout", symlinks=True))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose miniature run counts as finished; not to be changed."""
    return made_once(tmp_path_factory, "finished", lambda folder: pretend_finished(folder, *CI))


@pytest.fixture
def finished(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished_run, tmp_path / "checkout"))


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the miniature ran from the first rule to the last."""

    def run_all(folder: Path) -> None:
        done = run(folder, RUNNER, *CI, timeout=1400)
        assert done.returncode == 0, done.stderr[-1500:]

    return made_once(tmp_path_factory, "whole", run_all)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two rules whose results lie in a DVC remote, a folder; not to be changed."""
    folder = tmp_path_factory.mktemp("published") / "project"
    publish(folder)
    return folder


@pytest.fixture
def clone(published: Path, tmp_path: Path) -> Path:
    """A fresh clone of it with nothing pulled."""
    call(tmp_path, "git", "clone", "-q", str(published), "clone")
    return tmp_path / "clone"
