"""What comes from elsewhere is data: no code of ours runs it, unpacks it by its own paths, or hands it to a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for part in ("clara", "workflow_scripts", "requirements") for path in (ROOT / part).rglob("*.py"))
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "tarfile", "zipfile"}
"""Readers that run code, or write where an archive says."""
CALLS = {"eval", "exec", "os.system", "os.popen", "shutil.unpack_archive", "yaml.unsafe_load", "yaml.full_load"}


def calls() -> Iterator[tuple[str, str, dict[str, ast.expr]]]:
    """File, dotted name and keywords of every call in our code."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call):
                keywords = {word.arg: word.value for word in node.keywords if word.arg}
                yield str(path.relative_to(ROOT)), ast.unparse(node.func), keywords


def is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def imported(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports, within functions too."""
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_reads_pickles_or_unpacks_archives(path: Path) -> None:
    assert imported(path) & MODULES == set()


def test_torch_reads_the_released_format_only_and_no_code_in_it() -> None:
    loads = [(file, keywords) for file, name, keywords in calls() if name == "torch.load"]

    assert [file for file, _ in loads] == ["clara/model/released_files.py"]
    assert all(is_true(keywords.get("weights_only")) for _, keywords in loads)


def test_numpy_and_yaml_read_no_objects() -> None:
    for file, name, keywords in calls():
        assert not is_true(keywords.get("allow_pickle")), file
        if name == "yaml.load":
            loader = ast.unparse(keywords["Loader"])
            assert "Unsafe" not in loader, file
            assert "Full" not in loader, file
        assert name not in CALLS, f"{file} calls {name}"


def test_no_text_is_run_by_a_shell() -> None:
    assert [file for file, _, keywords in calls() if is_true(keywords.get("shell"))] == []


def test_a_models_own_code_runs_only_where_a_setting_says_so() -> None:
    from clara import config

    assert [file for file, _, keywords in calls() if is_true(keywords.get("trust_remote_code"))] == []
    shipped = [ROOT / "config.yaml", *(ROOT / "configs").glob("*.yaml")]
    for path in shipped:
        assert config.load(path).get("backbone", {}).get("trust_remote_code", False) is False, path


def test_a_pickle_that_would_run_code_is_refused_by_the_reader_of_the_released_format(tmp_path: Path) -> None:
    import pickle

    from clara.errors import ClaraError
    from clara.model.released_files import read_released
    from tests.model.released_writer import write

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (open, (str(tmp_path / "hacked"), "w"))

    source = write(tmp_path / "official").source
    (source / "adapters.pth").write_bytes(pickle.dumps({"query_reasoner_adapter": Attack()}))
    with pytest.raises(ClaraError, match=r"adapters\.pth"):
        read_released(source)
    assert not (tmp_path / "hacked").exists()
