import json
from pathlib import Path

import pytest

from clara import config
from clara.config.rules import (
    RULES,
    FetchCorpus,
    MakeCandidates,
    Pretrain,
    aside_for,
    parse_settings,
    settings_for,
    wildcard_values,
)
from clara.errors import ConfigError

RELEASED = {"evaluation": {"released": {"official": {"source": "/nowhere", "base": None}}}}
VALUES = config.merge(config.load(Path(__file__).parents[2] / "config.yaml"), RELEASED)
JOBS = [(rule, wildcards) for rule in RULES for wildcards in wildcard_values(rule, VALUES)]


@pytest.mark.parametrize(
    ("rule", "wildcards"), JOBS, ids=lambda value: value if isinstance(value, str) else "-".join(value.values())
)
def test_the_shipped_configuration_has_what_each_job_reads(rule, wildcards):
    given = settings_for(rule, VALUES, **wildcards)
    rest = aside_for(rule, VALUES, **wildcards)
    settings = parse_settings(RULES[rule], json.dumps(given), json.dumps(rest))
    assert settings.model_dump(mode="json") == given  # what a record keeps is what Snakemake compares


def test_what_decides_nothing_is_told_apart_and_read_with_the_rest():
    rest = aside_for("pretrain", VALUES)
    assert rest == {"pretraining": {"optimization": {"save_every": 4}}}
    given = json.dumps(settings_for("pretrain", VALUES))
    assert parse_settings(Pretrain, given, json.dumps(rest)).pretraining.optimization.save_every == 4
    assert aside_for("synthesize", VALUES)["synthesis"].keys() == {
        "shards", "max_failed_share", "exclude_leaks", "exports"
    }  # fmt: skip
    for wrong in ("{}", "{", "[]"):
        with pytest.raises(ConfigError, match=r"pretraining\.optimization\.save_every: field required"):
            parse_settings(Pretrain, given, wrong)


def test_a_wildcard_chooses_the_section():
    chosen = settings_for("prepare_questions", VALUES, benchmark="musique")["benchmark"]
    assert chosen == VALUES["benchmarks"]["musique"] != VALUES["benchmarks"]["nq"]


def test_a_setting_of_some_jobs_is_null_for_the_others():
    read = {each: settings_for("predict_baseline", VALUES, baseline=each) for each in ("no_retrieval", "text_rag")}
    assert [read[each]["top_k"] for each in ("no_retrieval", "text_rag")] == [None, VALUES["evaluation"]["top_k"]]
    assert settings_for("predict_compressed_text", VALUES, method="hard_words")["llmlingua2"] is None


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
