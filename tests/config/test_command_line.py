"""`--config` as Snakemake reads it: numbers within lists and mappings come as text."""

from pathlib import Path

import pytest

from clara.config import of_command_line, overridden
from clara.errors import ConfigError


def test_numbers_in_lists_and_mappings_are_numbers_again() -> None:
    values = {"ratios": ["32"], "paper": {"backbone": "phi4", "complete": []}, "seed": 3}
    given = {
        "ratios": ["32"],
        "paper": {"complete": ["table_2"]},
        "joint": {"temperature": "0.1", "learns": ["generator"]},
    }
    assert overridden(values, given) == {
        "ratios": [32],
        "paper": {"backbone": "phi4", "complete": ["table_2"]},
        "seed": 3,
        "joint": {"temperature": 0.1, "learns": ["generator"]},
    }


def test_a_benchmark_that_null_took_away_stays_away() -> None:
    # Snakemake has laid the text null over the entry.
    values = {"benchmarks": {"nq": "null", "musique": {"num_test": "3"}}}
    given = {"benchmarks": {"nq": "null", "musique": {"num_test": "3"}}}
    assert overridden(values, given) == {"benchmarks": {"musique": {"num_test": 3}}}
    assert overridden({"benchmarks": {"nq": 1}}, {"benchmarks": {"musique": None}}) == {"benchmarks": {"nq": 1}}


def test_a_value_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match="--config holds a value that is no YAML"):
        overridden({}, {"ratios": ["[1"]})


def test_programs_that_plan_know_the_variants_that_a_run_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "synthesis: {kinds: [simple]}\nvariants: {longer: {seed: 7}, complex: {pretraining: {kinds: [complex]}}}\n"
    )
    arguments = ["report", "--configfile", str(overlay), "--config", "seeds=[43]", "benchmarks={nq: null}", "-n"]
    config = of_command_line(arguments)
    assert set(config["variants"]) == {"base", "longer", "base_seed43", "longer_seed43"}  # complex: no rows
    assert config["seeds"] == [43]
    assert "nq" not in config["benchmarks"]
