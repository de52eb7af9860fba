import importlib
import re
from pathlib import Path

import pytest

from clara.data.sources import Remote, local_file, resolve
from clara.errors import ConfigError, DataError, ResourceError


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """An installed distribution `dummy-data` that lists one data file, found by its metadata only."""
    (tmp_path / "dummy").mkdir()
    (tmp_path / "dummy" / "text.bz2").write_bytes(b"words")
    (tmp_path / "dummy" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    info = tmp_path / "dummy_data-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dummy-data\nVersion: 1.0\n")
    (info / "RECORD").write_text("dummy/text.bz2,,\ndummy/gone.bz2,,\ndummy/__init__.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def test_a_file_of_an_installed_package_is_found_without_importing_it(distribution):
    assert resolve("package:dummy-data/dummy/text.bz2") == distribution / "dummy" / "text.bz2"


def test_a_package_that_is_not_installed_is_refused_with_the_command_that_installs_it():
    with pytest.raises(ResourceError, match="pip install no-such-thing"):
        resolve("package:no-such-thing/file")


def test_a_file_that_a_package_does_not_list_is_refused_with_the_nearest_name(distribution):
    with pytest.raises(ResourceError, match=re.escape("no file dummy/test.bz2 (nearest: dummy/text.bz2)")):
        resolve("package:dummy-data/dummy/test.bz2")


def test_a_listed_file_that_was_deleted_is_refused(distribution):
    with pytest.raises(ResourceError, match="gone although dummy-data lists it"):
        resolve("package:dummy-data/dummy/gone.bz2")


def test_a_package_without_a_file_is_a_fault_of_the_configuration():
    with pytest.raises(ConfigError, match="spelt package:DISTRIBUTION/FILE"):
        resolve("package:gensim")


def test_variables_and_home_are_expanded_in_a_path(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text("{}")
    monkeypatch.setenv("DATA_HERE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        resolve("$DATA_HERE/a.jsonl") == resolve("${DATA_HERE}/a.jsonl") == resolve("~/a.jsonl") == tmp_path / "a.jsonl"
    )


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("DATA_GONE", raising=False)
    with pytest.raises(ConfigError, match="environment variable DATA_GONE"):
        resolve("${DATA_GONE}/a.jsonl")


def test_an_address_is_remote_and_another_scheme_is_refused():
    assert resolve("https://example.org/a") == Remote("https://example.org/a")
    with pytest.raises(ConfigError, match="http"):
        resolve("ftp://example.org/a")


def test_a_local_file_must_exist_be_a_file_and_be_local(tmp_path):
    with pytest.raises(DataError, match=r"missing.txt does not exist"):
        local_file(str(tmp_path / "missing.txt"))
    with pytest.raises(DataError, match="is a folder"):
        local_file(str(tmp_path))
    with pytest.raises(ConfigError, match="download it"):
        local_file("http://example.org/a")
    assert local_file(__file__) == Path(__file__)
