"""DVC records what Snakemake made, runs nothing twice, and never takes files of other settings for these."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clara.evaluation.paper.specs import SOURCES, read_table
from tests.workflow.checkout import LOCAL, ROOT, copy_checkout, environment, pretend_finished, run, snakemake

TOY = """
configfile: "config.yaml"

rule toy_all:
    input: "results/b.txt"

rule a:
    output: "results/a.txt"
    log: "logs/a.log"
    params: size=config["size"]
    shell: "echo {params.size} > {output}"

rule b:
    input: "results/a.txt"
    output: "results/b.txt"
    log: "logs/b.log"
    shell: "cp {input} {output}"
"""
RUNNER = str(ROOT / "workflow_scripts" / "dvc_stage.py")


def stages() -> dict[str, dict]:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def test_every_section_of_the_configuration_belongs_to_a_stage() -> None:
    named = {key.split(".")[0] for stage in stages().values() for row in stage["params"] for key in row["config.yaml"]}
    assert named == set(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))


def test_every_output_survives_the_start_of_its_stage() -> None:
    # DVC deletes outputs before a stage unless they persist; Snakemake would then train again.
    for name, stage in stages().items():
        for row in [*stage.get("outs", []), *stage.get("metrics", [])]:
            assert all(flags.get("persist") for flags in row.values()), name


def test_a_table_is_made_again_where_its_numbers_or_the_papers_change() -> None:
    for name, stage in stages().items():
        if not name.startswith(("table-", "ablation-")):
            continue
        table = read_table(ROOT / "paper" / "tables" / f"{name.replace('-', '_')}.yaml")
        folder = SOURCES[table.source].split("/")[0]
        assert f"results/demo/{folder}" in stage["deps"], name
        assert "paper/setting.yaml" in stage["deps"], name
        given = any((row.system or "").startswith("given-") for row in table.rows)
        measured = folder == "measurements" or (given and name.startswith("table-"))
        assert not measured or "measurements" in stage["params"][0]["config.yaml"], name
    report = stages()["report"]
    assert {"paper", "results/demo/evaluation", "results/demo/measurements"} <= set(report["deps"])
    assert {"paper", "measurements"} <= set(report["params"][0]["config.yaml"])


def test_every_plot_is_of_a_stages_output_and_its_page_needs_no_network() -> None:
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    named = [next(iter(row)) if isinstance(row, dict) else row for row in plots]
    rows = [row for stage in stages().values() for row in [*stage.get("outs", []), *stage.get("metrics", [])]]
    outs = [next(iter(row)) for row in rows]
    assert [path for path in named if not any(path == out or path.startswith(f"{out}/") for out in outs)] == []
    template = re.search(r"html_template = (\S+)", (ROOT / ".dvc" / "config").read_text(encoding="utf-8"))
    assert template
    page = (ROOT / ".dvc" / template[1]).read_text(encoding="utf-8")
    assert "{plot_divs}" in page
    assert "{scripts}" not in page  # DVC would put addresses of a CDN there
    assert re.findall(r"(?:src|href)=", page) == []


@pytest.mark.slow
def test_the_stages_targets_make_what_the_stages_list_and_no_more(finished_run: Path) -> None:
    targets = [stage["cmd"].split()[-1] for stage in stages().values()]
    done = snakemake(finished_run, "--summary", *targets, *LOCAL)
    made = {line.split("\t")[0] for line in done.stdout.splitlines()[1:]}
    rows = [row for stage in stages().values() for row in [*stage.get("outs", []), *stage.get("metrics", [])]]
    listed = [next(iter(row)) for row in rows]
    assert [out for out in listed if not any(path == out or path.startswith(f"{out}/") for path in made)] == []
    folders = tuple(f"{out}/" for out in listed)
    assert [path for path in made if path not in listed and not path.startswith(folders)] == []


@pytest.mark.slow
def test_dvc_repro_after_a_finished_run_runs_nothing_and_records_it(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path / "checkout")
    # The tables and figures that the demo has no number of are stages as well.
    pretend_finished(folder, *(stage["cmd"].split()[-1] for stage in stages().values()), *LOCAL)
    # Each file holds its own name: made again, it would hold something else. DVC links files anew, so times may move.
    before = {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}
    for name in (".dvc", ".dvcignore", ".gitignore"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(folder)], check=True)
    subprocess.run(["rm", "-rf", str(folder / ".dvc" / "cache"), str(folder / ".dvc" / "tmp")], check=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {**environment(), "PATH": path, "DVC_NO_ANALYTICS": "1"}

    def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=500)

    done = dvc("repro")
    assert done.returncode == 0, done.stdout + done.stderr
    assert before == {path: path.read_bytes() for path in before}
    assert set(yaml.safe_load((folder / "dvc.lock").read_text())["stages"]) == set(stages())
    assert dvc("status", "-q").returncode == 0
    again = dvc("repro")
    assert "Running stage" not in again.stdout


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A two-rule workflow whose stage was made once."""
    (tmp_path / "Snakefile").write_text(TOY)
    (tmp_path / "config.yaml").write_text("size: 1\n")
    (tmp_path / "profiles" / "local").mkdir(parents=True)
    (tmp_path / "profiles" / "local" / "profile.v9+.yaml").write_text("cores: 1\n")
    (tmp_path / "workflow_scripts").symlink_to(ROOT / "workflow_scripts")
    done = run(tmp_path, RUNNER, "toy_all")
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.slow
def test_files_without_records_are_made_again(toy: Path) -> None:
    subprocess.run(["rm", "-rf", str(toy / ".snakemake")], check=True)  # a fresh clone after dvc pull
    (toy / "config.yaml").write_text("size: 2\n")
    done = run(toy, RUNNER, "toy_all")
    assert done.returncode == 0, done.stderr
    assert re.search("made again, for want of records: .*results/a.txt", done.stderr)
    assert (toy / "results" / "b.txt").read_text() == "2\n"


@pytest.mark.slow
def test_files_of_other_settings_are_made_again_and_others_left(toy: Path) -> None:
    assert "Execute" not in run(toy, RUNNER, "toy_all").stderr
    (toy / "config.yaml").write_text("size: 3\n")
    assert run(toy, RUNNER, "toy_all").returncode == 0
    assert (toy / "results" / "b.txt").read_text() == "3\n"


@pytest.mark.slow
def test_a_stage_that_fails_says_so(toy: Path) -> None:
    (toy / "Snakefile").write_text(TOY.replace("cp {input}", "cp nothing"))
    done = run(toy, RUNNER, "toy_all")
    assert done.returncode == 2
    assert "error: Snakemake could not make toy_all" in done.stderr
