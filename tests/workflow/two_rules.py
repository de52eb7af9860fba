"""A project of two rules whose results were made, committed and pushed to a DVC remote, and DVC run in it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.workflow.checkout import ROOT, environment

SNAKEFILE = """
configfile: "config.yaml"

rule all:
    input: "results/metric.json"

rule store_all:
    input: "results/store/a.txt"

rule metric_all:
    input: "results/metric.json"

rule store:
    output: "results/store/a.txt"
    log: "logs/a.log"
    params: size=config["size"]
    shell: "echo {params.size} > {output}"

rule metric:
    input: "results/store/a.txt"
    output: "results/metric.json"
    log: "logs/b.log"
    params: factor=config["factor"]
    shell: "expr $(cat {input}) '*' {params.factor} > {output}"
"""
ADOPT = "python workflow_scripts/adopt.py"
STAGE = "python workflow_scripts/dvc_stage.py"
DVC = {
    "stages": {
        "store": {
            "cmd": f"{STAGE} store_all",
            "params": [{"config.yaml": ["size"]}],
            "outs": [{"results/store": {"persist": True}}],
        },
        "metric": {
            "cmd": f"{STAGE} metric_all",
            "deps": ["results/store"],
            "params": [{"config.yaml": ["factor"]}],
            "metrics": [{"results/metric.json": {"persist": True}}],
        },
    }
}


def call(folder: Path, *command: str) -> str:
    """What a command in `folder` says; it has to end well."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = environment() | {"PATH": path, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    settings |= {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(folder: Path, *arguments: str) -> str:
    return call(folder, sys.executable, "-m", "dvc", *arguments)


def metric(folder: Path) -> int:
    return int(json.loads((folder / "results/metric.json").read_text()))


def publish(folder: Path) -> None:
    """Makes it in `folder`, pushed to the folder `remote` beside it; `size` 2, `factor` 10, metric 20."""
    (folder / "profiles" / "local").mkdir(parents=True)
    (folder / "profiles" / "local" / "profile.v9+.yaml").write_text("cores: 1\n")
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "config.yaml").write_text("size: 2\nfactor: 10\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(DVC))
    (folder / ".gitignore").write_text(".snakemake/\n/logs/\n/results/\n")
    shutil.copytree(
        ROOT / "workflow_scripts", folder / "workflow_scripts", ignore=shutil.ignore_patterns("__pycache__")
    )
    call(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "remote", "add", "-d", "shared", str(folder.parent / "remote"))
    dvc(folder, "repro")
    assert metric(folder) == 20
    dvc(folder, "push")
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "-qm", "results")
