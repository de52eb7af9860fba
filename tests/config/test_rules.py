import json
from pathlib import Path

import pytest

from clara import config
from clara.config.rules import RULES, FetchCorpus, MakeCandidates, parse_settings, settings_for
from clara.errors import ConfigError

VALUES = config.load(Path(__file__).parents[2] / "config.yaml")


@pytest.mark.parametrize("rule", RULES)
def test_the_shipped_configuration_has_what_each_rule_reads(rule):
    given = settings_for(rule, VALUES, benchmark="nq")
    assert parse_settings(RULES[rule], json.dumps(given)).model_dump(mode="json").keys() == given.keys()


def test_a_wildcard_chooses_the_section():
    assert (
        settings_for("prepare_questions", VALUES, benchmark="musique")["benchmark"] is VALUES["benchmarks"]["musique"]
    )


def test_an_unknown_benchmark_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"benchmarks.squad is not in the configuration; known: nq, hotpotqa"):
        settings_for("prepare_questions", VALUES, benchmark="squad")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (FetchCorpus, "{}", "source: field required"),
        (FetchCorpus, "{", "the text: invalid JSON"),
        (MakeCandidates, '{"seed": "1", "size": 5, "bm25_k1": 1, "bm25_b": 0, "x": 1}', "seed: .*x: extra inputs"),
    ],
)
def test_settings_of_another_shape_are_refused_with_every_fault(kind, text, message):
    with pytest.raises(ConfigError, match=f"--settings is no {kind.__name__} settings: .*{message}"):
        parse_settings(kind, text)
