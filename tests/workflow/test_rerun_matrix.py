"""Every key of config.yaml reruns the rules that docs/rerun.md says, and no other."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clara import config as configuration
from clara.config.rules import RULES, wildcard_values
from clara.errors import ConfigError
from clara.plan import BEFORE, STAGES, Plan
from tests.workflow.checkout import CI, ROOT, planned, planned_for_each

GRAPH_KEYS = (
    "run", "ratios", "inits", "variants", "synthesis.shards", "synthesis.exports", "evaluation.baselines",
    "candidates.settings", "seeds", "measurements.which", "measurements.of", "paper.complete",
    "paper.lies_over",
    "evaluation.released",
)  # fmt: skip
"""Keys that say which files there are; docs/rerun.md lists them apart."""


def documented() -> dict[str, set[str]]:
    """Key → rules, from the first table of docs/rerun.md."""
    text = (ROOT / "docs" / "rerun.md").read_text(encoding="utf-8").split("These keys say which files there are")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", text, re.MULTILINE)
    return {key: set(re.findall(r"`(\w+)`", rules)) for key, rules in rows}


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def overlay(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A mapping of mappings that sets one key."""
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def candidates(value: Any) -> list[Any]:
    """Other values that may suit where `value` stands."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value * 2, value + 1, value // 2]
        case float():
            return [value * 2, value + 1, (value + 1) / 2, value / 2]
        case list():
            return [value[:-1], value[::-1], *[[word] for word in WORDS]]
        case None:
            return [1, 2, 4, *WORDS, {"base_url": "http://localhost", "model": "x"}]
        case _:
            return [*WORDS, f"{value}x"]


WORDS = ["a" * 64, "http://localhost", "x"]
"""Texts that suit where a hash, an address or a name stands; words of a choice are taken from the refusal."""


def changed(config: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Another value of the key at `path` that `config` may have."""
    before = config
    for key in path:
        before = before[key]
    waiting = candidates(before)
    while waiting:
        value = waiting.pop(0)
        if value == before:
            continue
        try:
            configuration.validate(configuration.merge(config, overlay(path, value)))
            return value
        except ConfigError as error:
            words = re.findall(r"'([\w:]+)'", str(error).partition("should be ")[2])
            waiting += [[word] if isinstance(value, list) else word for word in words if value in ("x", ["x"])]
    raise AssertionError(f"{path} takes no other value than {before}")


CONFIG = configuration.load(ROOT / "config.yaml")
KEYS = [path for path in leaves(CONFIG) if not ".".join(path).startswith(GRAPH_KEYS)]


ONE, TWO = ({"source": f"/{name}", "base": None} for name in ("one", "two"))
WITH_RELEASED = configuration.merge(CONFIG, {"evaluation": {"released": {"one": ONE}}})
"""The shipped configuration with a job of every rule."""


def jobs_reading(before: Plan, after: Plan) -> dict[str, list[tuple[str, ...]]]:
    """Rule → the wildcards of its jobs that get other settings, of those that both configurations have."""
    base = before.variants["base"]
    changed: dict[str, list[tuple[str, ...]]] = {}
    jobs = [(rule, wildcards) for rule in RULES for wildcards in wildcard_values(rule, base)]
    for rule, wildcards in jobs:
        if before.settings(rule, **wildcards) != after.settings(rule, **wildcards):
            changed.setdefault(rule, []).append(tuple(wildcards.values()))
    return changed


def rules_reading(before: Plan, after: Plan) -> set[str]:
    return set(jobs_reading(before, after))


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_a_key_reaches_the_rules_that_the_table_names(path: tuple[str, ...]) -> None:
    table = documented()
    prefixes = [".".join(path[:length]) for length in range(len(path), 0, -1)]
    expected = next(table[prefix] for prefix in prefixes if prefix in table)
    after = configuration.merge(WITH_RELEASED, overlay(path, changed(CONFIG, path)))
    assert rules_reading(Plan(WITH_RELEASED, ROOT), Plan(after, ROOT)) == expected


DECIDING_NOTHING = {
    "synthesis.max_failed_share", "pretraining.optimization.save_every", "instruction.optimization.save_every",
    "joint.optimization.save_every",
}  # fmt: skip
"""Keys that an error tells to raise or lower, and that must therefore not cost what is made already."""


def test_keys_that_decide_nothing_change_no_rule_and_no_state() -> None:
    assert {key for key, rules in documented().items() if not rules} == DECIDING_NOTHING
    paths = [*(tuple(key.split(".")) for key in DECIDING_NOTHING), ("synthesis", "shards")]
    after = configuration.merge(CONFIG, {"synthesis": {"exports": ["pairs.jsonl"]}})
    for path in paths:
        after = configuration.merge(after, overlay(path, changed(CONFIG, path)))
    states = [
        [plan.state(rule, "base", "instruction") for rule in BEFORE] for plan in (Plan(CONFIG, ROOT), Plan(after, ROOT))
    ]
    assert states[0] == states[1]
    assert rules_reading(Plan(CONFIG, ROOT), Plan(after, ROOT)) == set()
    asides = [Plan(values, ROOT).aside("pretrain") for values in (CONFIG, after)]
    assert asides[0] != asides[1]


def test_every_row_of_the_table_is_a_key_of_the_configuration() -> None:
    known = {".".join(path[:length]) for path in leaves(CONFIG) for length in range(1, len(path) + 1)}
    assert documented().keys() <= known
    assert set(GRAPH_KEYS) <= known | {"variants"}


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ({"released": {"one": ONE, "two": TWO}}, {}),
        ({"released": {"one": TWO}}, {"predict_released": ["one"]}),
        ({"cross_encoder": {"source": "x"}}, {"rank_neural": ["cross_encoder"]}),
        ({"dense": {"max_tokens": 99}}, {"rank_neural": ["dense"]}),
        (
            {"llmlingua2": {"source": "x"}},
            {"predict_compressed_text": ["llmlingua2"], "predict_given_compressed_text": ["llmlingua2"]},
        ),
        ({"top_k": 2}, {"predict_baseline": ["text_rag", "text_rag_tuned"], "predict_released": ["one"]}),
    ],
    ids=["a checkpoint more", "another checkpoint", "cross_encoder", "dense", "llmlingua2", "top_k"],
)
def test_a_key_reaches_only_the_jobs_of_a_rule_that_read_it(change: dict[str, Any], jobs: dict[str, list[str]]) -> None:
    after = configuration.merge(WITH_RELEASED, {"evaluation": change})
    found = jobs_reading(Plan(WITH_RELEASED, ROOT), Plan(after, ROOT))
    cut = {"predict_baseline", "rank_neural", "predict_released"} | set(jobs)
    read = {rule: [name for (name,) in found.get(rule, [])] for rule in cut}
    assert read == {rule: jobs.get(rule, []) for rule in cut}


def followers(rules: set[str], config: dict[str, Any]) -> set[str]:
    """The rules and all that read their results, by the plan's own account."""
    before = {rule: set(parents) for rule, parents in BEFORE.items()}
    initial = {STAGES[init][-1] for init in config["inits"]}
    before["compress_documents"] |= initial
    before["train_joint"] |= initial
    before["measure_memory_use"] |= {"pretrain", "train_joint", *initial}
    found = set(rules)
    while more := {rule for rule, parents in before.items() if parents & found} - found:
        found |= more
    return found


WHICH = ["data", "figures", "given", "by_k", "recovery", "grounding", "efficiency", "states"]
PAPER = {"make_paper_table": 3, "make_scorecard": 1}
"""Tables that the miniature fills (1, 2, 7), and the scorecard: their rows and commands name ratios and starts."""

GRAPH_CHANGES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "a ratio more": (
        {"ratios": [4, 16, 64]},
        {"pretrain": 1, "tune_instructions": 1, "compress_documents": 1, "train_joint": 1, "measure_memory_use": 3}
        | {"predict": 1, "score": 1, "build_report": 1}
        | PAPER,
    ),
    "a ratio less": ({"ratios": [16]}, {"build_report": 1} | PAPER),
    "another start": (
        {"inits": ["pretraining", "instruction"]},
        {
            "compress_documents": 2,
            "train_joint": 2,
            "measure_memory_use": 2,
            "predict": 2,
            "score": 2,
            "build_report": 1,
            "make_paper_table": 4,
            "make_scorecard": 1,
        },
    ),
    "a variant of scoring": (
        {"variants": {"v": {"evaluation": {"scoring": {"recall_at": [1]}}}}},
        {"score": 2, "build_report": 1},
    ),
    "a seed more": (
        {"seeds": [7]},
        {"pretrain": 2, "tune_instructions": 2, "compress_documents": 2, "train_joint": 2, "measure_memory_use": 6}
        | {"predict": 2, "score": 2, "aggregate_seeds": 1, "make_scorecard": 1, "build_report": 1},
    ),
    "a seed of one variant": (
        {"variants": {"again": {"seed": 7}}},
        {"pretrain": 2, "tune_instructions": 2, "compress_documents": 2, "train_joint": 2, "measure_memory_use": 6}
        | {"predict": 2, "score": 2, "build_report": 1},
    ),
    "all measurements": (
        {"measurements": {"which": WHICH, "by_k": [1, 2]}},
        # given: two ratios from two stages, whose stores of pretraining are made, and the text
        {"compress_documents": 2, "predict_given": 4, "predict_given_text": 1, "score": 5}
        | {"predict_by_k": 2, "score_by_k": 2, "rewrite_documents": 2, "score_recovery": 2, "score_grounding": 3}
        | {"measure_efficiency": 2, "measure_states": 2, "measure_data": 1}
        | {"collect_training": 1, "draw_figure": 5}
        # Tables 3, 4, 8, 9, 11, 12, 15, 16, 17 have a number now, Table 1 more of them; 2 and 7 name effective ratios.
        | {"make_paper_table": 12, "make_scorecard": 1, "build_report": 1},
    ),
    "an export": ({"synthesis": {"exports": ["pairs.jsonl"]}}, {"export_pairs": 1}),
    "a baseline less": (
        {"evaluation": {"baselines": ["bm25", "no_retrieval"]}},
        PAPER | {"build_report": 1, "make_paper_table": 1},
    ),
}
"""Changes of the keys that say which files there are, and the jobs that follow."""

ABSENT = {
    "answer_as_teacher", "tune_text_rag", "predict_compressed_text", "predict_given_compressed_text",
    "predict_released", "rank_neural", "measure_bert_score", "export_pairs",
}  # fmt: skip
"""Rules of baselines, variants and models that configs/ci.yaml does not have; tests/workflow/test_dry_runs.py plans
them."""

CI_CONFIG = configuration.merge(CONFIG, configuration.load(ROOT / "configs" / "ci.yaml"))
MEASURING = {
    "predict_given", "predict_given_text", "predict_by_k", "score_by_k", "rewrite_documents", "score_recovery",
    "score_grounding", "measure_efficiency", "measure_states", "measure_data", "aggregate_seeds", "collect_training",
    "draw_figure",
}  # fmt: skip
"""Rules of measurements, none of which the configuration for tests asks for."""
CI_KEYS = [path for path in leaves(CI_CONFIG) if not ".".join(path).startswith((*GRAPH_KEYS, "measurements"))]


@pytest.fixture(scope="module")
def plans(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, dict[str, int]]:
    """Key, or name of a change of the graph → what Snakemake would run; about 0.4 s of a core each."""
    folder = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("matrix") / "checkout"))
    overlays = {path: overlay(path, changed(CI_CONFIG, path)) for path in CI_KEYS}
    overlays |= {name: change for name, (change, _) in GRAPH_CHANGES.items()}
    return dict(zip(overlays, planned_for_each(folder, list(overlays.values()), *CI), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("path", CI_KEYS, ids=".".join)
def test_snakemake_reruns_the_rules_that_read_a_key_and_what_follows(
    plans: dict[Any, dict[str, int]], path: tuple[str, ...]
) -> None:
    after = configuration.merge(CI_CONFIG, overlay(path, changed(CI_CONFIG, path)))
    direct = rules_reading(Plan(CI_CONFIG, ROOT), Plan(after, ROOT))
    assert direct or documented().get(".".join(path)) == set()
    asked = {"answer_as_teacher"} if path == ("instruction", "answers") else set()  # the other value is the teacher's
    assert set(plans[path]) == (followers(direct - ABSENT, CI_CONFIG) - MEASURING - ABSENT) | asked


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPH_CHANGES)
def test_a_change_of_the_graph_runs_these_jobs(plans: dict[Any, dict[str, int]], name: str) -> None:
    assert plans[name] == GRAPH_CHANGES[name][1]


@pytest.mark.slow
def test_nothing_reruns_when_nothing_changed(finished_run: Path) -> None:
    assert planned(finished_run, *CI) == {}


@pytest.mark.slow
def test_threads_and_memory_rerun_nothing(finished_run: Path) -> None:
    other = ["--set-resources", "pretrain:mem_mb=9000", "pretrain:gpu_mem_mb=9000"]
    assert planned(finished_run, "--set-threads", "pretrain=2", *other, *CI) == {}
