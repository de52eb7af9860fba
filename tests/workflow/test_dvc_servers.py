"""Results travel through a bucket and by SSH as docs/dvc.md says; skipped where what that takes is not installed."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.workflow import servers
from tests.workflow.servers import Remote
from tests.workflow.two_rules import call, dvc, metric

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SENTENCE = "error: dvc pull did not bring everything; the reason stands above: mend the remote's address or key"


@pytest.fixture(params=[servers.bucket, servers.ssh], ids=["s3", "ssh"])
def remote(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Remote]:
    """A remote of each kind, with nothing in it; the keys of who runs the tests play no part."""
    folder = tmp_path_factory.mktemp("remote")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    opened: AbstractContextManager[Remote] = request.param(folder)
    with opened as remote:
        yield remote


@pytest.fixture
def pushed(remote: Remote, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The project with `remote` as its only one, all results pushed to it."""
    published = request.getfixturevalue("published")  # not before it is known that there is a remote
    folder = Path(shutil.copytree(published, tmp_path / "project"))
    dvc(folder, "remote", "remove", "shared")
    dvc(folder, "remote", "add", "--default", "there", remote.url)
    for key, value in remote.settings.items():
        dvc(folder, "remote", "modify", "there", key, value)
    call(folder, "git", "commit", "-qam", "remote")
    tell(folder, remote.secrets)
    dvc(folder, "push")
    return folder


def tell(folder: Path, secrets: dict[str, str]) -> None:
    for key, value in secrets.items():
        dvc(folder, "remote", "modify", "--local", "there", key, value)


def clone(pushed: Path, name: str) -> Path:
    call(pushed.parent, "git", "clone", "-q", str(pushed), name)
    return pushed.parent / name


def adopt(folder: Path) -> str:
    return call(folder, sys.executable, "workflow_scripts/adopt.py")


def test_a_clone_pulls_and_neither_dvc_nor_snakemake_has_anything_to_do(pushed: Path, remote: Remote) -> None:
    folder = clone(pushed, "clone")
    tell(folder, remote.secrets)
    dvc(folder, "pull", "results/store")
    assert (folder / "results/store/a.txt").is_file()
    assert not (folder / "results/metric.json").exists()
    adopt(folder)
    assert metric(folder) == 20
    assert "Running stage" not in dvc(folder, "repro")
    dry = ("-m", "snakemake", "-n", "--profile", "profiles/local")
    assert "Nothing to be done" in call(folder, sys.executable, *dry)


def test_what_is_wrong_stands_above_one_sentence_that_says_what_to_do(pushed: Path, remote: Remote) -> None:
    folder = clone(pushed, "clone")
    tell(folder, remote.secrets)
    dvc(folder, "remote", "modify", "there", "url", remote.elsewhere)
    with pytest.raises(AssertionError, match=f"(bucket does not exist|Missing cache files)(?s:.*){SENTENCE}"):
        adopt(folder)
    dvc(folder, "remote", "modify", "there", "url", remote.url)
    if remote.refused:
        tell(folder, remote.refused)
    else:
        servers.refuse_all(remote)
    with pytest.raises(AssertionError, match=f"(Permission denied|Forbidden)(?s:.*){SENTENCE}"):
        adopt(folder)
    remote.server.terminate()
    remote.server.wait(30)
    with pytest.raises(AssertionError, match=f"[Cc]o(uld not|nnect) (connect|call failed)(?s:.*){SENTENCE}"):
        adopt(folder)
