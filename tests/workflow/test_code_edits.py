"""An edit of code reruns the rules that stand on it; comments, docstrings and formatting rerun nothing."""

from pathlib import Path

import pytest

from tests.workflow.checkout import CI, planned

pytestmark = pytest.mark.slow


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_comments_and_formatting_rerun_nothing(finished: Path) -> None:
    for path in [*(finished / "clara").rglob("*.py"), *(finished / "workflow_scripts").glob("*.py")]:
        append(path, "\n\n\n# a remark\n")
    assert planned(finished, *CI) == {}


def test_a_docstring_reruns_nothing(finished: Path) -> None:
    program = finished / "workflow_scripts" / "pretrain.py"
    program.write_text(
        '"""Another text."""\n' + program.read_text(encoding="utf-8").split('"""', 2)[2], encoding="utf-8"
    )
    assert planned(finished, *CI) == {}


def test_an_edit_of_a_program_reruns_its_rule_and_what_follows(finished: Path) -> None:
    append(finished / "workflow_scripts" / "score.py", "\nEXTRA = 1\n")
    assert set(planned(finished, *CI)) == {"score", "build_report", "make_paper_table"}


def test_an_edit_of_a_part_reruns_the_rules_that_use_it(finished: Path) -> None:
    part = finished / "clara" / "evaluation" / "scoring.py"
    append(part, "\nprint('runs on import')\n")
    rules = set(planned(finished, *CI))
    assert "score" in rules
    assert not rules & {"pretrain", "train_joint", "predict", "fetch_corpus"}


def test_an_edit_of_a_prompt_reruns_the_rules_that_ask_it(finished: Path) -> None:
    append(finished / "clara" / "prompts" / "pairs_user.jinja", " Please.")
    rules = set(planned(finished, *CI))
    assert "pretrain" in rules
    assert not rules & {"prepare_questions", "make_candidates", "rank_bm25"}


def test_an_edit_of_questions_reruns_their_benchmark(finished: Path) -> None:
    questions = finished / "configs" / "ci" / "nq.jsonl"
    append(questions, questions.read_text(encoding="utf-8").splitlines()[0].replace("ci-nq-01", "ci-nq-99") + "\n")
    jobs = planned(finished, *CI)
    assert jobs["prepare_questions"] == 1
    assert jobs["make_candidates"] == 1
    assert "pretrain" not in jobs
    assert jobs["tune_instructions"] == 2


def test_the_time_of_a_file_reruns_nothing(finished: Path) -> None:
    for path in [*(finished / "clara").rglob("*.py"), *(finished / "workflow_scripts").glob("*.py")]:
        path.touch()
    (finished / "configs" / "ci" / "nq.jsonl").touch()
    assert planned(finished, *CI) == {}
