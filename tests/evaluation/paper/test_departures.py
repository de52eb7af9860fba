"""Where a run is not the paper's: named under its tables and scorecard, and nothing where it is."""

from pathlib import Path

import pytest

from clara import config as configuration
from clara.errors import ConfigError
from clara.evaluation.paper.departures import PAPER, departures, sentence

ROOT = Path(__file__).parents[3]
BASE = configuration.load(ROOT / "config.yaml")


@pytest.mark.parametrize("name", ["paper-mistral", "paper-phi4"])
def test_the_papers_own_configurations_differ_in_nothing(name: str) -> None:
    base = configuration.merge(BASE, configuration.load(ROOT / "configs" / f"{name}.yaml"))
    assert departures(base, ROOT) == departures(base, ROOT, "efficiency") == []
    assert sentence([]) == ""


def test_the_demo_says_that_its_memories_and_scores_are_another_form() -> None:
    said = sentence(departures(BASE, ROOT))
    assert said.startswith("Not the paper's setting, in this run's base: memory.form pooled (paper: plain); ")
    assert "memory.score late_interaction (paper: flattened)" in said
    assert "pretraining.kinds simple (paper: simple, complex, paraphrase)" in said
    assert "evaluation.top_k 3 (paper: 5)" in said


def test_a_training_pool_without_a_size_of_its_own_has_that_of_all() -> None:
    found = departures(configuration.merge(BASE, {"candidates": {"size": 6}}), ROOT)
    assert [one[1:] for one in found if one.key.startswith("candidates")] == [(6, 20), (6, 20)]


def test_tables_name_what_their_numbers_depend_on() -> None:
    assert departures(BASE, ROOT, "data") == []
    more = {one.key for one in departures(BASE, ROOT, "efficiency")} - {one.key for one in departures(BASE, ROOT)}
    assert more == {"measurements.efficiency.new_tokens"}


def test_a_key_that_no_configuration_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "paper").mkdir()
    (tmp_path / PAPER).write_text("method: {memory.shape: plain}\n")
    with pytest.raises(ConfigError, match=r"paper/setting.yaml names memory.shape, which is no key of config.yaml"):
        departures(BASE, tmp_path)
