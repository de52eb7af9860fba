"""What `dvc metrics` says of a run: scores and verdicts, and which of them a change moved."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from clara.records import Prediction
from clara.row_files import write_rows
from tests.workflow.checkout import ROOT
from tests.workflow.two_rules import call, dvc
from workflow_scripts import make_scorecard, score

pytestmark = pytest.mark.slow

CLAIM = "beats_bm25_from_instruction"
OURS = "instruction-cr4-base"
SCORES, VERDICTS = "results/demo/evaluation/metrics", "results/demo/paper/verdicts.json"
TABLE = "results/demo/paper/table_2.json"
SCORING = {"seed": 1, "scoring": {"recall_at": [1, 5], "bootstrap_samples": 200, "confidence": 0.95}}


def place_of(gold: int) -> dict[str, list[int]]:
    """A ranking of six documents with the gold one, number 0, at this place, the first being 0."""
    others = [1, 2, 3, 4, 5]
    return {"ranking": [*others[:gold], 0, *others[gold:]], "pos_index": [0]}


def write_run(folder: Path, *, ours: int, bm25: int) -> None:
    """What the two programs make of the answers of two systems that rank the gold document at these places."""
    files = []
    for system, gold in ((OURS, ours), ("bm25", bm25)):
        files.append(folder / f"results/demo/evaluation/predictions/{system}.jsonl")
        row = {"system": system, "benchmark": "nq", "setting": "oracle", "question": "Where?", "scores": None}
        row |= {"golden_answers": ["Paris"], "selected": [], "prediction": None if system == "bm25" else "Paris"}
        write_rows(files[-1], [Prediction.model_validate(row | place_of(gold) | {"id": f"{n}"}) for n in range(6)])
        metrics = folder / SCORES / f"{system}.json"
        score.main(["--settings", json.dumps(SCORING), "--predictions", str(files[-1]), "--metrics", str(metrics)])
    settings = SCORING | {"seeds": [], "run": "demo", "ratios": [4], "backbone": "mistral"}
    paper = folder / "results/demo/paper"
    written = [f"--{kind}={paper}/scorecard.{kind}" for kind in ("json", "csv")]
    written += [f"--markdown={paper}/scorecard.md", f"--latex={paper}/scorecard.tex", f"--verdicts={folder / VERDICTS}"]
    read = ["--claims", str(ROOT / "paper/claims.yaml"), "--values", *map(str, (ROOT / "paper/values").glob("*.csv"))]
    read += ["--predictions", *map(str, files)]
    make_scorecard.main(["--settings", json.dumps(settings), *read, *written])


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A project with the metrics of ours, in whose commit CLaRa ranks below BM25 and in whose folder above it."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    metrics = [next(iter(row)) for stage in stages.values() for row in stage.get("metrics", [])]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"metrics": metrics}))
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    call(tmp_path, "git", "init", "-q")
    dvc(tmp_path, "init", "-q")
    write_run(tmp_path, ours=5, bm25=0)
    call(tmp_path, "git", "add", "-A")
    call(tmp_path, "git", "commit", "-qm", "before")
    write_run(tmp_path, ours=1, bm25=5)
    return tmp_path


def said(folder: Path, *words: str) -> dict:
    return json.loads(dvc(folder, *words, "--json").splitlines()[-1])


def test_a_change_of_scores_and_verdicts_is_listed(changed: Path) -> None:
    moved = said(changed, "metrics", "diff")
    assert moved[f"{SCORES}/{OURS}.json"] == {"average.oracle.recall@5": {"old": 0.0, "new": 100.0, "diff": 100.0}}
    assert set(moved[f"{SCORES}/bm25.json"]) == {"average.oracle.recall@1", "average.oracle.recall@5"}
    assert "average.oracle.em" in said(changed, "metrics", "diff", "--all")[f"{SCORES}/{OURS}.json"]
    assert moved[VERDICTS] == {
        f"{CLAIM}.verdict": {"old": "fails", "new": "holds"},
        f"{CLAIM}.difference": {"old": -100.0, "new": 100.0, "diff": 200.0},
    }


def test_what_is_shown_are_numbers_and_words_a_line_a_system(changed: Path) -> None:
    files = said(changed, "metrics", "show")[""]["data"]
    assert set(files) == {f"{SCORES}/{OURS}.json", f"{SCORES}/bm25.json", VERDICTS}
    answered, ranked = dict.fromkeys(("em", "f1", "cover_em"), 100.0), {"recall@1": 0.0, "recall@5": 100.0}
    average = {"oracle": answered | ranked}
    assert files[f"{SCORES}/{OURS}.json"]["data"] == {"system": OURS, "confidence": 0.95, "average": average}
    assert files[VERDICTS]["data"] == {CLAIM: {"verdict": "holds", "difference": 100.0}}
    # As text: no cell of commands or sentences, such as scorecard.json has, makes a line that nobody can read.
    assert max(map(len, dvc(changed, "metrics", "show").splitlines())) < 400


def test_the_numbers_of_a_table_are_compared_on_demand(tmp_path: Path) -> None:
    shipped = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["table-2"]
    assert {TABLE: {"persist": True}} in shipped["outs"]
    call(tmp_path, "git", "init", "-q")
    dvc(tmp_path, "init", "-q")
    write = f"mkdir -p results/demo/paper && cp numbers.json {TABLE}"
    (tmp_path / "numbers.json").write_text('{"bm25": {"oracle": {"nq": {"recall@5": 50.0}}}}')
    stage = {"cmd": write, "deps": ["numbers.json"], "outs": [TABLE]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"table-2": stage}}))
    dvc(tmp_path, "repro")
    call(tmp_path, "git", "add", "-A")
    call(tmp_path, "git", "commit", "-qm", "before")
    (tmp_path / "numbers.json").write_text('{"bm25": {"oracle": {"nq": {"recall@5": 75.0}}}}')
    dvc(tmp_path, "repro")
    moved = said(tmp_path, "metrics", "diff", "--targets", "results/demo/paper/table_2.json")
    assert moved == {TABLE: {"bm25.oracle.nq.recall@5": {"old": 50.0, "new": 75.0, "diff": 25.0}}}
