"""Every key of config.yaml reruns the rules that docs/rerun.md says, and no other."""

import copy
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clara import config as configuration
from clara.config.rules import RULES
from clara.plan import BEFORE, STAGES, Plan
from tests.workflow.checkout import CI, ROOT, planned

GRAPH_KEYS = ("run", "ratios", "inits", "variants", "evaluation.baselines", "candidates.settings")
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


def changed(value: Any) -> Any:
    """Another value of about the same kind; whether it makes sense does not matter here."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value * 2 + 1
        case list():
            return value[::-1] if len(set(map(str, value))) > 1 else [*value, *value]
        case None:
            return 1
        case _:
            return f"{value}x"


def with_change(config: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    edited = copy.deepcopy(config)
    section = edited
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = changed(section[path[-1]])
    return edited


CONFIG = configuration.load(ROOT / "config.yaml")
KEYS = [path for path in leaves(CONFIG) if not ".".join(path).startswith(GRAPH_KEYS)]


def rules_reading(before: Plan, after: Plan) -> set[str]:
    combinations = itertools.product(RULES, CONFIG["benchmarks"])
    return {
        rule
        for rule, benchmark in combinations
        if before.settings(rule, benchmark=benchmark) != after.settings(rule, benchmark=benchmark)
    }


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_a_key_reaches_the_rules_that_the_table_names(path: tuple[str, ...]) -> None:
    table = documented()
    prefixes = [".".join(path[:length]) for length in range(len(path), 0, -1)]
    expected = next(table[prefix] for prefix in prefixes if prefix in table)
    assert rules_reading(Plan(CONFIG, ROOT), Plan(with_change(CONFIG, path), ROOT)) == expected


def test_every_row_of_the_table_is_a_key_of_the_configuration() -> None:
    known = {".".join(path[:length]) for path in leaves(CONFIG) for length in range(1, len(path) + 1)}
    assert documented().keys() <= known
    assert set(GRAPH_KEYS) <= known | {"variants"}


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("corpus.passages.words", 50),
        ("backbone.attention", "sdpa"),
        ("benchmarks.nq.num_test", 5),
        ("candidates.bm25_k1", 1.2),
        ("synthesis.temperature", 0.5),
        ("pretraining.mse_weight", 0.2),
        ("instruction.optimization.learning_rate", 1.0e-4),
        ("joint.temperature", 0.5),
        ("evaluation.generation.max_new_tokens", 5),
        ("evaluation.scoring.recall_at", [1, 2]),
        ("report.title", "Another"),
    ],
)
def test_snakemake_reruns_these_rules_and_what_follows(finished: Path, path: str, value: Any) -> None:
    keys = path.split(".")
    overlay: Any = value
    for key in reversed(keys):
        overlay = {key: overlay}
    (finished / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    ci = configuration.merge(CONFIG, configuration.load(finished / "configs" / "ci.yaml"))
    direct = rules_reading(Plan(ci, finished), Plan(configuration.merge(ci, overlay), finished))
    assert direct
    assert set(planned(finished, *CI, "overlay.yaml")) == followers(direct, ci)


@pytest.mark.slow
def test_nothing_reruns_when_nothing_changed(finished_run: Path) -> None:
    assert planned(finished_run, *CI) == {}


@pytest.mark.slow
def test_threads_and_memory_rerun_nothing(finished_run: Path) -> None:
    assert planned(finished_run, "--set-threads", "pretrain=2", "--set-resources", "pretrain:mem_mb=9000", *CI) == {}
