"""Rules have one form: a program of their name, named files, log, benchmark, settings and code, one fixed command."""

import re

import pytest
import yaml

from clara import config as configuration
from clara.config.rules import RULES, aside_for, wildcard_values
from tests.workflow.checkout import ROOT
from tests.workflow.lints import complaints

TEXT = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").rglob("*.smk")))
BLOCKS = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^rule |^def |\Z|^# )", TEXT, re.MULTILINE | re.DOTALL))
RESUMABLE = {
    "synthesize", "pretrain", "tune_instructions", "compress_documents", "train_joint", "predict", "predict_given",
    "predict_by_k", "rewrite_documents",
}  # fmt: skip
RESUMABLE |= {"tune_text_rag", "predict_released"}


def test_every_rule_with_settings_stands_in_a_file() -> None:
    assert BLOCKS.keys() == RULES.keys() | {"collect_documents", "rank_bm25"}


@pytest.mark.parametrize("rule", BLOCKS)
def test_a_rule_has_the_form_of_all(rule: str) -> None:
    block = BLOCKS[rule]
    parts = [part for part in re.findall(r"^    (\w+):", block, re.MULTILINE) if part != "priority"]
    assert parts == "input output log benchmark threads resources params message shell".split()
    assert f'script=program("{rule}")' in block
    assert (ROOT / "workflow_scripts" / f"{rule}.py").exists()
    assert f'code=PLAN.code("{rule}")' in block
    outputs = re.search(r"    output:\n(.*?)    log:", block, re.DOTALL)
    assert outputs
    assert all("=" in line for line in outputs[1].splitlines() if re.match(r" {8}\S", line) and line.strip() != "),")
    assert "mem_mb=" in block


@pytest.mark.parametrize("rule", BLOCKS)
def test_everything_that_enters_a_command_is_quoted(rule: str) -> None:
    command = BLOCKS[rule].split("    shell:")[1]
    free = [name for name in re.findall(r"\{([^{}]+)\}", command) if not name.endswith(":q")]
    # Free are numbers, the program's own path, and wildcards that the constraints keep to letters, digits and dashes.
    assert set(free) <= {
        "threads", "resources.gpu", "input.script",
        "wildcards.ratio", "wildcards.init", "wildcards.variant", "wildcards.baseline",
        "wildcards.shard", "wildcards.method", "wildcards.ranker", "wildcards.released",
    }  # fmt: skip
    assert "exec tee {log:q}" in command


def test_a_rule_that_reads_a_checkpoint_reads_its_weights() -> None:
    reading = {rule for rule, block in BLOCKS.items() if " checkpoint=" in block.split("    output:")[0]}
    assert "predict_baseline" in reading
    assert {rule for rule in reading if " weights=" not in BLOCKS[rule].split("    output:")[0]} == set()


@pytest.mark.parametrize("rule", sorted(RESUMABLE))
def test_a_rule_that_can_be_interrupted_has_a_state(rule: str) -> None:
    # Replies are kept under the hash of their request, so a shard of synthesis needs one folder only.
    # A released checkpoint's documents stay where another one is named beside it.
    own = {
        "synthesize": 'state="state/{run}/synthesize/{shard}-of-{shards}"',
        "predict_released": "PLAN.state('predict_released', released=w.released)",
    }
    assert own.get(rule, f'state=state("{rule}")') in BLOCKS[rule]
    assert "--state {params.state:q}" in BLOCKS[rule]


def test_settings_that_decide_nothing_reach_a_program_beside_what_reruns_it() -> None:
    values = configuration.load(ROOT / "config.yaml")
    values["evaluation"]["released"] = {"official": {"source": "/nowhere", "base": None}}
    for rule in RULES:
        reads = any(aside_for(rule, values, **wildcards) for wildcards in wildcard_values(rule, values))
        assert (f'aside=lambda w: PLAN.aside("{rule}"' in BLOCKS[rule].split("    params:")[0]) == reads, rule
        assert ("--settings {params.settings:q} --aside {resources.aside:q}" in BLOCKS[rule]) == reads, rule


def test_every_prompt_is_an_input_of_a_rule_that_uses_it() -> None:
    from clara.plan import Plan

    plan = Plan(configuration.load(ROOT / "config.yaml"), ROOT)
    used = {prompt for rule in RULES for prompt in plan.prompts(rule)}
    assert used == {str(path.relative_to(ROOT)) for path in (ROOT / "clara" / "prompts").glob("*.jinja")}
    for rule in RULES:
        if plan.prompts(rule):
            assert f'prompts=PLAN.prompts("{rule}")' in BLOCKS[rule], rule


@pytest.mark.slow
def test_snakemake_finds_nothing_to_mend() -> None:
    assert complaints() == []


def test_steps_with_a_model_never_wait_for_work_that_could_have_been_done_before() -> None:
    """What they stand on goes before them, and they go before what nothing of theirs stands on."""
    from clara.plan import BEFORE

    text = (ROOT / "profiles" / "gpu" / "profile.v9+.yaml").read_text(encoding="utf-8")
    on_gpu = {entry.split("=")[0] for entry in yaml.safe_load(text)["set-threads"]}
    assert {"synthesize", "train_joint", "predict"} <= on_gpu
    found = {rule: re.search(r"\n    priority: (\d+)", block) for rule, block in BLOCKS.items()}
    priority = {rule: int(match[1]) if match else 0 for rule, match in found.items()}
    needed, waiting = {"pretrain", "tune_instructions"}, list(on_gpu)  # compression starts from either
    while waiting:
        parents = set(BEFORE.get(waiting.pop(), ())) - needed
        needed |= parents
        waiting += parents
    assert {priority[rule] for rule in needed - on_gpu} == {20}
    assert {priority[rule] for rule in on_gpu & needed} == {10}
    assert {priority[rule] for rule in BLOCKS.keys() - needed} == {0}
