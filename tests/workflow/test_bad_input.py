"""Bad input ends a run with one sentence that stands last, and costs nothing that was finished."""

from pathlib import Path

import pytest

from tests.workflow.checkout import CI, copy_checkout, run

pytestmark = pytest.mark.slow

RUNNER = "workflow_scripts/run_pipeline.py"
ROW = '{"id": "1", "question": "Who?", "golden_answers": ["me"], "docs": ["T\\nme"], "pos_index": [4]}\n'

CASES = {
    "no corpus": ("corpus: {source: {location: nowhere.jsonl}}", "", "fetch_corpus", "nowhere.jsonl does not exist"),
    "an empty corpus": ("corpus: {source: {location: bad.jsonl}}", "", "fetch_corpus", "bad.jsonl is empty"),
    "a corpus that is no JSON": ("corpus: {source: {location: bad.jsonl}}", "{title\n", "split_passages", "line 1"),
    "a question without answers": (
        "benchmarks: {nq: {test: bad.jsonl}}",
        '{"id": "1", "question": "Who?"}\n',
        "prepare_questions",
        "bad.jsonl line 1",
    ),
    "a gold index out of range": (
        "benchmarks: {nq: {format: rows, test: bad.jsonl}}",
        ROW * 9,
        "prepare_questions",
        "pos_index",
    ),
    "a model folder without weights": ("backbone: {source: ./empty}", "", "prepare_backbone", "empty"),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with passages made, in which the cases below are tried one after another."""
    folder = copy_checkout(tmp_path_factory.mktemp("bad") / "checkout")
    done = run(folder, RUNNER, "results/ci/corpus/passages.parquet", *CI)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize(("overlay", "content", "rule", "sentence"), CASES.values(), ids=CASES)
def test_a_run_ends_with_the_sentence_of_the_program(
    checkout: Path, overlay: str, content: str, rule: str, sentence: str
) -> None:
    (checkout / "overlay.yaml").write_text(overlay + "\nrun: bad\n")
    (checkout / "bad.jsonl").write_text(content)
    (checkout / "empty").mkdir(exist_ok=True)
    done = run(checkout, RUNNER, "corpus_all", *CI, "overlay.yaml")
    assert done.returncode == 1
    reasons = [line for line in done.stderr.splitlines() if line.startswith("logs/bad/")]
    assert len(reasons) == 1, done.stderr[-3000:]
    assert f"logs/bad/{rule}" in reasons[0]
    assert ": error: " in reasons[0]
    assert sentence in reasons[0]
    assert "Traceback" not in done.stderr
    assert not list((checkout / "results" / "bad").rglob("*.part"))


def test_what_was_finished_is_still_there(checkout: Path) -> None:
    done = run(checkout, RUNNER, "results/ci/corpus/passages.parquet", *CI)
    assert "Nothing to be done" in done.stderr


def test_names_of_files_reach_programs_as_they_are(checkout: Path) -> None:
    name = "it's $HOME; touch hacked `touch hacked` \"&.jsonl"
    source = (checkout / "configs" / "ci" / "corpus.jsonl").read_text(encoding="utf-8")
    (checkout / name.replace("$HOME", "HOME")).write_text(source, encoding="utf-8")
    location = name.replace("$HOME", "HOME").replace("'", "''")
    (checkout / "overlay.yaml").write_text(f"run: odd\ncorpus: {{source: {{location: '{location}'}}}}\n")
    done = run(checkout, RUNNER, "results/odd/corpus/source/dump", *CI, "overlay.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (checkout / "results/odd/corpus/source/dump").read_text(encoding="utf-8") == source
    assert not (checkout / "hacked").exists()
