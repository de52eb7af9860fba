"""The commands under tables and claims name the files, ratios and starts that what they make needs."""

import re
import shlex
from functools import reduce
from pathlib import Path

import pytest
import yaml

from clara.config import load, merge
from clara.evaluation.paper.commands import NAME, Run, command_for

ROOT = Path(__file__).parents[3]
RUN = Run("small", [4, 16], ["instruction"], ["base"])


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("results/small/evaluation/metrics/text_rag.json", "--configfile configs/small.yaml"),
        (
            "results/small/evaluation/metrics/given-instruction-cr4-no_mse.json",
            "--configfile configs/small.yaml configs/ablations.yaml",
        ),
        (
            "results/small/evaluation/metrics/pretraining-cr4-base.json",
            "--configfile configs/small.yaml --config 'inits=[pretraining]'",
        ),
    ],
)
def test_a_command_adds_what_the_run_does_not_have(target: str, words: str) -> None:
    assert command_for([target], RUN) == f"snakemake {target} --profile profiles/local {words}"
    assert command_for([target], RUN._replace(name="demo")).count("small.yaml") == 0


def test_a_command_names_first_what_the_runs_configuration_lies_over() -> None:
    target = "results/small_cpu/evaluation/metrics/instruction-cr4-tau_1.json"
    files = "configs/small.yaml configs/small-cpu.yaml configs/ablations.yaml"
    said = command_for([target], RUN._replace(name="small_cpu"), settings=["seed=7"])
    assert said == f"snakemake {target} --profile profiles/local --configfile {files} --config seed=7"


def test_what_another_command_gave_the_run_is_named_again() -> None:
    # As configs/ablations.yaml and --config gave it to the run that made the table.
    run = Run("small_cpu", [4, 16, 32], ["instruction", "pretraining"], ["base", "start", "simple", "no_pretraining"])
    target = "results/small_cpu/evaluation/metrics/given-instruction-cr32-no_pretraining.json"
    files = "configs/small.yaml configs/small-cpu.yaml configs/ablations.yaml"
    beginning = f"snakemake {target} --profile profiles/local --configfile {files}"
    assert command_for([target], run) == f"{beginning} --config 'ratios=[32]'"
    whole = command_for(["t"], run, systems=["instruction-cr4-simple"], complete="table_3")
    keys = "'paper={complete: [table_3]}' 'ratios=[4, 16, 32]' 'inits=[instruction, pretraining]'"
    assert whole == f"snakemake t --profile profiles/local --configfile {files} --config {keys}"


def test_a_run_that_no_file_names_is_taken_as_it_was() -> None:
    run = Run("mine", [8], ["pretraining"], ["base", "simple"])
    target = "results/mine/evaluation/metrics/pretraining-cr8-simple.json"
    assert command_for([target], run) == f"snakemake {target} --profile profiles/local"


PAGES = [
    page for page in sorted((ROOT / "docs" / "results").rglob("*.md")) if "`snakemake results/" in page.read_text()
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_recorded_tables_make_what_they_name(page: Path) -> None:
    for command in re.findall(r"`snakemake (results/[^`]+)`", page.read_text(encoding="utf-8")):
        words = shlex.split(command)
        targets = words[: words.index("--profile")]
        files = [load(ROOT / word) for word in ["config.yaml", *words] if word.endswith(".yaml")]
        keys = [dict([word.split("=", 1)]) for word in words if "=" in word]
        given = reduce(merge, [*files, *({key: yaml.safe_load(value)} for row in keys for key, value in row.items())])
        assert {Path(target).parts[1] for target in targets} == {given["run"]}
        for init, ratio, variant in (found.groups() for path in targets if (found := NAME.fullmatch(Path(path).stem))):
            assert init in given["inits"], command
            assert int(ratio) in given["ratios"], command
            assert variant in given["variants"], command
