"""The miniature: run once from the first rule to the last, and, without any model, a folder that looks as if it was."""

import shutil
from pathlib import Path

import pytest

from tests.workflow.checkout import CI, RUNNER, copy_checkout, pretend_finished, run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose miniature run counts as finished; not to be changed."""
    folder = copy_checkout(tmp_path_factory.mktemp("finished") / "checkout")
    pretend_finished(folder, *CI)
    return folder


@pytest.fixture
def finished(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished_run, tmp_path / "checkout"))


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the miniature ran from the first rule to the last."""
    folder = copy_checkout(tmp_path_factory.mktemp("whole") / "checkout")
    done = run(folder, RUNNER, *CI, timeout=1400)
    assert done.returncode == 0, done.stderr[-1500:]
    return folder
