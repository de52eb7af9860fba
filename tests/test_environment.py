import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from clara import environment
from clara.errors import DataError
from clara.fingerprint import Project


@pytest.mark.parametrize(
    ("setting", "threads"), [("4", 4), ("4,2", 4), (" 3 , 1", 3), ("", 7), ("many", 7), ("-2", 7), ("9" * 5000, 7)]
)
def test_threads_are_openmps_first_number_or_the_processors(
    setting: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert environment.describe()["threads"] == threads


def test_threads_are_torchs_where_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: 5, cuda=cuda))
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert environment.describe()["threads"] == 5


@pytest.mark.parametrize(
    ("given", "gpus"), [({"CLARA_GPUS": "4", "WORLD_SIZE": "2"}, 4), ({"WORLD_SIZE": "2"}, 2), ({}, 1)]
)
def test_a_record_tells_how_many_gpus_were_held(
    given: dict[str, str], gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLARA_GPUS", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    cuda = SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "H100", max_memory_allocated=lambda: 0)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: 5, cuda=cuda))
    assert environment.describe()["gpus"] == gpus
    cuda.is_available = lambda: False
    assert environment.describe()["gpus"] == 0


ROOT = Path(__file__).parents[1]


def test_a_record_tells_all_that_a_result_depends_on(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("abc")
    found = environment.describe(seed=3, inputs=[tmp_path / "input"])
    assert {"command", "commit", "code", "libraries", "device", "threads", "wall_seconds", "finished"} <= found.keys()
    assert found["seed"] == 3
    assert found["inputs"] == {
        str(tmp_path / "input"): "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }
    assert found["peak_memory_mib"] > 10


def test_the_code_of_a_program_is_what_snakemake_compares(tmp_path: Path) -> None:
    program = ROOT / "workflow_scripts" / "score.py"
    assert environment.code(str(program)) == Project(ROOT).fingerprint(program)
    assert environment.code(f"{sys.prefix}/bin/clara") == Project(ROOT).fingerprint(ROOT / "clara" / "__main__.py")
    (tmp_path / "score.py").write_text("")
    assert environment.code(str(tmp_path / "score.py")) is None


def test_a_changed_file_marks_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        names = ["-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "clara").mkdir()
    (tmp_path / "clara" / "environment.py").write_text("")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "clara" / "environment.py"))
    clean = environment.commit()
    assert clean is not None
    assert not clean.endswith("-dirty")
    (tmp_path / "clara" / "environment.py").write_text("1")
    assert environment.commit() == f"{clean}-dirty"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A result of two files with its record."""
    for name in ("first.jsonl", "second.jsonl"):
        (tmp_path / name).write_text("content")
    environment.record(tmp_path / "first.jsonl", None, inputs=[], others=[tmp_path / "second.jsonl"])
    return tmp_path


@pytest.mark.parametrize("name", ["first.jsonl", "second.jsonl"])
def test_a_bit_that_flipped_since_a_file_was_written_is_found_by_its_reader(written: Path, name: str) -> None:
    assert len(environment.hashes([written / name])) == 1
    before = (written / name).stat()
    (written / name).write_text("contenu")
    os.utime(written / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=rf"{name} is not as .* wrote it, a damaged disk perhaps; delete it"):
        environment.hashes([written / name])


def test_an_edit_after_the_record_is_the_users(written: Path) -> None:
    (written / "first.jsonl").write_text("mine")
    later = (written / "provenance" / "first.json").stat().st_mtime_ns + 301 * 10**9
    os.utime(written / "first.jsonl", ns=(later, later))
    assert len(environment.hashes([written / "first.jsonl"])) == 1


def test_a_file_that_snakemake_dated_anew_after_its_job_is_compared_all_the_same(written: Path) -> None:
    (written / "first.jsonl").write_text("contenu")
    later = (written / "provenance" / "first.json").stat().st_mtime_ns + 60 * 10**9
    os.utime(written / "first.jsonl", ns=(later, later))
    with pytest.raises(DataError, match="is not as"):
        environment.hashes([written / "first.jsonl"])


def test_a_users_own_environment_file_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("{}")
    (tmp_path / "environment.json").write_text("PATH=/bin")
    assert len(environment.hashes([tmp_path / "questions.jsonl"])) == 1


def test_a_changed_card_is_found_by_the_record_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{}")
    environment.write_provenance(tmp_path, {}, seed=1, inputs=[], outputs=[tmp_path / "card.json"])
    before = (tmp_path / "card.json").stat()
    (tmp_path / "card.json").write_text("[]")
    os.utime(tmp_path / "card.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=r"card\.json is not as .* wrote it"):
        environment.hashes([tmp_path / "card.json"])
