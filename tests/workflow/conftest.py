"""A finished miniature run, made once without running any model."""

import shutil
from pathlib import Path

import pytest

from tests.workflow.checkout import CI, copy_checkout, pretend_finished


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
