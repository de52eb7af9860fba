"""Results travel through a DVC remote: a clone takes them for what they are, and never for those of other settings."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflow.checkout import ROOT
from tests.workflow.two_rules import ADOPT, call, dvc, metric

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_adopted_results_are_up_to_date_for_both(clone: Path) -> None:
    call(clone, sys.executable, "workflow_scripts/adopt.py")
    assert "Running stage" not in dvc(clone, "repro")
    dry = ("-m", "snakemake", "-n", "--profile", "profiles/local")
    assert "Nothing to be done" in call(clone, sys.executable, *dry)
    (clone / "config.yaml").write_text("size: 2\nfactor: 11\n")
    said = dvc(clone, "repro")
    assert "Running stage 'metric'" in said
    assert "Running stage 'store'" not in said
    assert metric(clone) == 22


def test_results_of_other_settings_are_not_adopted(clone: Path) -> None:
    (clone / "config.yaml").write_text("size: 2\nfactor: 12\n")
    with pytest.raises(AssertionError, match="error: the results are not of this folder's settings"):
        call(clone, sys.executable, "workflow_scripts/adopt.py")


def test_old_metrics_are_never_recorded_under_new_settings(clone: Path) -> None:
    # Results that persist, no records of Snakemake's, quiet file times: by itself Snakemake would find nothing to do.
    dvc(clone, "pull")
    (clone / "config.yaml").write_text("size: 2\nfactor: 30\n")
    dvc(clone, "repro")
    assert metric(clone) == 60


def test_experiments_in_copies_compute_what_they_record(published: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "copy"))
    dvc(copy, "exp", "run", "-n", "here", "-S", "config.yaml:factor=3")
    assert metric(copy) == 6
    # What changed against the commit; `metrics show` says the number of the folder.
    changed = json.loads(dvc(copy, "metrics", "diff", "--json").splitlines()[-1])
    assert changed == {"results/metric.json": {"": {"old": 20, "new": 6, "diff": -14}}}
    assert json.loads(dvc(copy, "metrics", "show", "--json").splitlines()[-1])[""]["data"] == {
        "results/metric.json": {"data": 6}
    }
    dvc(copy, "exp", "run", "--temp", "-n", "aside", "-S", "config.yaml:factor=4")
    dvc(copy, "exp", "run", "--queue", "-n", "later", "-S", "config.yaml:size=5")
    dvc(copy, "exp", "run", "--run-all")
    rows = json.loads(dvc(copy, "exp", "show", "--json").splitlines()[-1])
    found = {
        experiment["revs"][0]["name"]: experiment["revs"][0]["data"]["metrics"]["results/metric.json"]["data"]
        for experiment in rows[1]["experiments"]
    }
    assert found == {"here": 6, "aside": 2 * 4, "later": 5 * 3}  # the first one left factor = 3 in the folder
    moved = json.loads(dvc(copy, "exp", "diff", "here", "aside", "--json").splitlines()[-1])
    assert moved["metrics"] == {"results/metric.json": {"": {"old": 6, "new": 8, "diff": 2}}}
    assert moved["params"] == {"config.yaml": {"factor": {"old": 3, "new": 4, "diff": 1}}}
    shown = dvc(copy, "exp", "show", "--only-changed", "--csv").splitlines()
    assert {"factor", "size"} <= {*next(line for line in shown if line.startswith("Experiment,")).split(",")}


def test_a_stage_is_not_adopted_on_files_of_other_settings(clone: Path) -> None:
    dvc(clone, "pull")
    (clone / "config.yaml").write_text("size: 3\nfactor: 10\n")  # read by the stage before
    command = (sys.executable, "workflow_scripts/adopt.py", "metric")
    with pytest.raises(AssertionError, match=r"not of this folder's settings and code \(store: .*size"):
        call(clone, *command)
    (clone / "config.yaml").write_text("size: 2\nfactor: 10\n")
    call(clone, *command)
    dry = ("-m", "snakemake", "-n", "--profile", "profiles/local")
    assert "Nothing to be done" in call(clone, sys.executable, *dry)


PAGE = (ROOT / "docs" / "dvc.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
OURS = {"results/demo/compression": "results/store", "evaluation.top_k": "factor", "make adopt": ADOPT}
"""What the page says of the demo → what that is in the project of these tests."""
ELSEWHERE = ("make verify", "dvc exp run", "pip install")
"""Run by tests/workflow/test_upkeep.py, by the experiments above, and by whoever runs test_dvc_servers.py."""


def test_the_commands_of_the_page_work_in_their_order(published: Path, tmp_path: Path) -> None:
    # In a copy of the project, whose own remote is taken away; from `make adopt` on in a fresh clone of it.
    here = Path(shutil.copytree(published, tmp_path / "copy"))
    dvc(here, "remote", "remove", "shared")
    assert len(COMMANDS) > 15
    for command in COMMANDS:
        if command.startswith(ELSEWHERE):
            continue
        if command == "make adopt":
            dvc(here, "remote", "default", "store")  # no bucket and no server is at hand
            call(here, "git", "commit", "-qam", "remotes")
            call(tmp_path, "git", "clone", "-q", str(here), "other")
            here = tmp_path / "other"
        for theirs, ours in OURS.items():
            command = command.replace(theirs, ours)
        program, *words = shlex.split(command)
        known = {"dvc": [sys.executable, "-m", "dvc"], "git": ["git"], "python": [sys.executable]}
        call(here, *known[program], *words)
    assert (here / "results/store/a.txt").is_file()
    assert metric(here) == 20


def test_plots_of_two_revisions_are_one_page_without_network(tmp_path: Path) -> None:
    claims = "results/demo/paper/scorecard.csv"
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    chosen = [row for row in plots if isinstance(row, dict) and claims in row]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": chosen}))
    (tmp_path / claims).parent.mkdir(parents=True)
    (tmp_path / claims).write_text("name,difference\nbeats_bm25,1.25\n")
    call(tmp_path, "git", "init", "-q")
    dvc(tmp_path, "init", "-q")
    for name in ("config", "plots.html"):
        shutil.copy(ROOT / ".dvc" / name, tmp_path / ".dvc" / name)
    call(tmp_path, "git", "add", "-A")
    call(tmp_path, "git", "commit", "-qm", "first")
    (tmp_path / claims).write_text("name,difference\nbeats_bm25,-3.5\n")
    dvc(tmp_path, "plots", "show")
    assert "-3.5" in (tmp_path / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    dvc(tmp_path, "plots", "diff", "HEAD")
    page = (tmp_path / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert all(said in page for said in ("beats_bm25", "1.25", "-3.5", "Claims of the paper"))
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|import\(|fetch\(""", page)


def test_who_wants_the_store_only_pulls_the_store_only(clone: Path) -> None:
    dvc(clone, "pull", "store")
    assert (clone / "results/store/a.txt").read_text() == "2\n"
    assert not (clone / "results/metric.json").exists()


@pytest.mark.parametrize("link", ["hardlink", "symlink", "copy"])
def test_linked_caches_make_nothing_again(published: Path, tmp_path: Path, link: str) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "copy"))
    dvc(copy, "config", "cache.type", link)
    dvc(copy, "checkout", "--relink")
    assert "Running stage" not in dvc(copy, "repro")
    (copy / "config.yaml").write_text("size: 2\nfactor: 7\n")
    said = dvc(copy, "repro")
    assert "Running stage 'store'" not in said
    assert metric(copy) == 14
    dry = ("-m", "snakemake", "-n", "--profile", "profiles/local")
    assert "Nothing to be done" in call(copy, sys.executable, *dry)


def test_another_profile_makes_nothing_again(clone: Path) -> None:
    call(clone, sys.executable, "workflow_scripts/adopt.py")
    (clone / "profiles" / "other").mkdir()
    (clone / "profiles" / "other" / "profile.v9+.yaml").write_text("cores: 2\ndefault-resources: {mem_mb: 77}\n")
    for profile in ("profiles/other", "profiles/local"):
        dry = ("-m", "snakemake", "-n", "--profile", profile)
        assert "Nothing to be done" in call(clone, sys.executable, *dry)
    assert "Running stage" not in dvc(clone, "repro")
