"""What `adopt.py` asks Snakemake for: the target of each stage's command in the shipped dvc.yaml."""

from pathlib import Path

import pytest
import yaml

from workflow_scripts import adopt

ROOT = Path(__file__).parents[2]


def test_targets_are_those_of_the_stages_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert adopt.targets(["corpus", "scorecard", "table-2"]) == [
        "corpus_all", "results/demo/paper/verdicts.json", "results/demo/paper/table_2.csv",
    ]  # fmt: skip
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert all(len(adopt.targets([stage])) == 1 for stage in stages)
    assert adopt.targets([]) == []
