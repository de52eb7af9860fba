"""What the report is given, as Snakemake plans it: every file behind a number, in every form that it offers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clara.evaluation.site import PAPER_FORMS, SCORECARD_FORMS
from tests.workflow.checkout import LOCAL, copy_checkout, run

pytestmark = pytest.mark.slow
RUN = "results/small"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All jobs of a configuration that fills every table and draws every figure, under two seeds."""
    folder = copy_checkout(tmp_path_factory.mktemp("planned") / "checkout")
    overlay = {"seeds": [43], "measurements": {"which": ["data", "figures", "given", "by_k", "states", "grounding"]}}
    (folder / "overlay.yaml").write_text(json.dumps(overlay))
    # As a module, so that it plans by the code of this checkout.
    arguments = ["--forceall", *LOCAL, "--configfile", "configs/small.yaml", "overlay.yaml"]
    done = run(folder, "-m", "workflow_scripts.list_jobs", *arguments)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def results(job: Mapping[str, Any]) -> set[str]:
    """The numbers that a job reads: scores, answers, measurements."""
    return {path for path in job["inputs"] if path.startswith((f"{RUN}/evaluation/", f"{RUN}/measurements/"))}


def test_every_file_behind_a_filled_table_a_figure_and_the_scorecard_is_given_to_the_report(
    jobs: list[dict[str, Any]],
) -> None:
    [report] = [job for job in jobs if job["rule"] == "build_report"]
    rules = ("make_paper_table", "make_scorecard", "draw_figure")
    behind = set().union(*(results(job) for job in jobs if job["rule"] in rules))
    assert f"{RUN}/evaluation/metrics/given-text.json" in behind
    assert {Path(path).parent.name for path in behind} >= {"metrics", "predictions", "by_k", "states", "grounding"}
    assert behind - set(report["inputs"]) == set()


def test_every_form_that_the_report_copies_is_made_before_it_and_what_a_configuration_fixes_is_declared(
    jobs: list[dict[str, Any]],
) -> None:
    [report] = [job for job in jobs if job["rule"] == "build_report"]
    tables = [Path(job["outputs"][0]) for job in jobs if job["rule"] == "make_paper_table"]
    figures = [Path(path) for job in jobs if job["rule"] == "draw_figure" for path in job["outputs"]]
    forms = {f"{RUN}/paper/{table.stem}{ending}" for table in tables for ending in PAPER_FORMS}
    fixed = [f"{RUN}/paper/scorecard{ending}" for ending in SCORECARD_FORMS]
    fixed += [*map(str, figures), f"{RUN}/synthesis/samples.html", f"{RUN}/synthesis/review.json"]
    fixed += [f"{RUN}/evaluation/seeds.json"]
    assert {*forms, *fixed} <= set(report["inputs"])
    copies = {path for path in report["outputs"] if path.startswith(f"{RUN}/report/files/")}
    assert copies == {f"{RUN}/report/files/{Path(path).name}" for path in fixed}
    assert {f"{RUN}/report/tables/seeds.{form}" for form in ("csv", "md", "tex")} <= set(report["outputs"])
