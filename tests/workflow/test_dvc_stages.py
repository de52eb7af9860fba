"""Every stage of dvc.yaml names all that the jobs behind it read, so that no stale result counts as proved."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from clara.config.rules import RULES, sections_of
from clara.evaluation.paper.departures import NOT_OF
from clara.evaluation.paper.specs import read_table
from tests.workflow.checkout import LOCAL, ROOT, copy_checkout, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # thirteen looks at the whole graph, a minute of a core

STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
FIGURES = ("validation_loss", "joint_training", "recall_bars", "logit_lens", "by_k", "states")
GRAPH_CHANGES: dict[str, dict[str, Any]] = {
    "ratios": {"ratios": [4]},
    "inits": {"inits": ["pretraining", "instruction"]},
    "variants": {"variants": {"other": {"seed": 7}}},
    "seeds": {"seeds": [7]},
    "benchmarks": {"benchmarks": {"musique": None}},
    "candidates.settings": {"candidates": {"settings": ["oracle"]}},
    "synthesis.shards": {"synthesis": {"shards": 2}},
    "synthesis.exports": {"synthesis": {"exports": ["pairs.jsonl"]}},
    "evaluation.baselines": {"evaluation": {"baselines": ["bm25"]}},
    "evaluation.released": {"evaluation": {"released": {"x": {"source": "/nowhere", "base": None}}}},
    "measurements.which": {"measurements": {"which": ["given", "by_k", "recovery", "grounding", "efficiency"]}},
    "measurements.of": {"measurements": {"of": {figure: {"at": [4]} for figure in FIGURES}}},
    "paper.complete": {"paper": {"complete": ["table_2", "table_4", "scorecard"]}},
}
"""Keys that say which files there are, and another value of each."""


def below(path: str, roots: Iterable[str], mark: str = "/") -> bool:
    return any(path == root or path.startswith(f"{root}{mark}") for root in roots)


def outs(stage: str) -> list[str]:
    return [next(iter(row)) for row in [*STAGES[stage].get("outs", []), *STAGES[stage].get("metrics", [])]]


def params(stage: str) -> list[str]:
    return list(STAGES[stage]["params"][0]["config.yaml"])


def named_as_departures(stage: str) -> set[str]:
    """The settings of base that a table or the scorecard is told where they are not the paper's."""
    table = ROOT / "paper" / "tables" / f"{stage.replace('-', '_')}.yaml"
    source = read_table(table).source if table.exists() else "scores"
    stated = yaml.safe_load((ROOT / "paper" / "setting.yaml").read_text(encoding="utf-8"))
    return set() if source in NOT_OF else set(stated["method"]) | set(stated.get(source, {}))


def jobs_of(stage: str, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [job for job in jobs if any(below(path, outs(stage)) for path in job["outputs"])]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Key that is changed, or `""` → all jobs behind the stages' targets."""
    folder = copy_checkout(tmp_path_factory.mktemp("stages") / "checkout")
    targets = [stage["cmd"].split()[-1] for stage in STAGES.values()]
    found = {}
    for key, change in {"": {}, **GRAPH_CHANGES}.items():
        (folder / "overlay.yaml").write_text(yaml.safe_dump(change))
        arguments = [*targets, "--forceall", *LOCAL, "--configfile", "overlay.yaml"]
        done = run(folder, "-m", "workflow_scripts.list_jobs", *arguments)
        assert done.returncode == 0, done.stderr
        found[key] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_every_setting_that_its_rules_read(stage: str, graphs: dict[str, list[dict[str, Any]]]) -> None:
    rules = {job["rule"] for job in jobs_of(stage, graphs[""])}
    assert rules
    read = {path.split(".{")[0] for rule in rules & RULES.keys() for path in sections_of(rule).values()}
    read |= named_as_departures(stage) if rules & {"make_paper_table", "make_scorecard"} else set()
    assert [path for path in sorted(read) if not below(path, params(stage), ".")] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_every_key_that_changes_its_files(stage: str, graphs: dict[str, list[dict[str, Any]]]) -> None:
    def files(key: str) -> set[tuple[str, ...]]:
        return {(*job["outputs"], "from", *job["inputs"]) for job in jobs_of(stage, graphs[key])}

    lacking = [key for key in GRAPH_CHANGES if files(key) != files("") and not below(key, params(stage), ".")]
    assert lacking == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_file_that_its_jobs_read(stage: str, graphs: dict[str, list[dict[str, Any]]]) -> None:
    every = [job for key in graphs for job in jobs_of(stage, graphs[key])]
    known = [*outs(stage), *STAGES[stage]["deps"], "/nowhere"]
    assert sorted({path for job in every for path in job["inputs"] if not below(path, known)}) == []


def test_no_stage_names_a_key_that_the_configuration_has_not() -> None:
    values = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for stage in STAGES:
        for path in params(stage):
            here: Any = values
            for key in path.split("."):
                assert key in here, f"{stage}: {path}"
                here = here[key]
