"""Sizes of steps with a model: by hand, monotone, plausible against what was measured (docs/experiments.md)."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from clara import config as configuration
from clara.errors import ConfigError
from clara.model.clara import ClaraModel
from clara.model_sizes import model_of
from clara.sizing import steps
from clara.sizing.data import num_examples
from clara.sizing.jobs import Sizes
from clara.sizing.passes import PROMPT_TOKENS, examples_disk_mb, tokens_shown
from clara.sizing.steps import CONTEXT_MB, SECTIONS, Site, with_model
from clara.training.example_file import on_disk
from clara.training.examples import Example, tokenized
from tests.sizing.estimates import DEMO, MIB, PAPER, size


def test_memory_of_a_training_by_hand() -> None:
    config = configuration.merge(
        DEMO,
        {
            "ratios": [4],
            "backbone": {"source": "random:llama", "dtype": "float32", "attention": "sdpa"},
            "memory": {"document_max_tokens": 98},
            "pretraining": {"max_target_tokens": 12, "optimization": {"micro_batch_size": 1000}},
        },
    )
    # 64 wide, 2 layers, 128 inside: 10 * 64 + 4 * 128 = 1152 values a token and layer. Passes: 98 + 2 + 24 tokens and
    # 24 + 64 + 12, together 224; the weights of 2 heads over each; logits 12 * 1000 * (8 + 4) bytes.
    kept = 1000 * (2 * (224 * 1152 + 2 * (124**2 + 100**2)) * 4 + 12 * 1000 * 12)
    adapter = 16 * 2 * (2 * 128 + 2 * 128 + 3 * 192)
    trained = adapter * (2 * 16 + 3 * 4)
    rows = 128 * (200 + 200)  # the demo's passages and their lists of simple questions
    assert size("pretrain", config).mem_mb == round(900 + (2e5 * 4 + trained + 1.25 * kept + rows) / 1e6)


def by_tokens(stage: str, tokens: int | None, **plan: Any) -> dict[str, Any]:
    return {stage: {"optimization": {"micro_batch_size": 512, "micro_batch_tokens": tokens, **plan}}}


def test_a_budget_of_whole_examples_takes_as_much_as_their_number_but_for_targets_and_candidates() -> None:
    # The longest example of the demo's pretraining at ratio 4: 256 + 2 + 64 and 64 + 64 + 128 positions.
    counted = size("pretrain", pretraining={"optimization": {"micro_batch_size": 32, "batch_size": 64}})
    bounded = size("pretrain", **by_tokens("pretraining", 32 * 578, batch_size=64))
    # As if no document had a token: 18,496 // (2 * 64 + 128) targets of 128 tokens each, and not more than 64.
    vocabulary = model_of(DEMO["backbone"]["source"]).vocabulary
    more = 1.25 * (64 - 32) * 128 * vocabulary * 10 / 1e6
    assert bounded.mem_mb - counted.mem_mb == pytest.approx(more, abs=2)
    assert bounded.seconds == pytest.approx(size("pretrain", pretraining={"optimization": {"batch_size": 64}}).seconds)


def test_a_budget_below_one_example_takes_one_and_above_the_batch_the_batch() -> None:
    one = size("pretrain", PAPER, **by_tokens("pretraining", 64), site=Site(node_gpus=1))
    counted = {"pretraining": {"optimization": {"micro_batch_tokens": None, "micro_batch_size": 1}}}
    assert one.gpu_mem_mb >= size("pretrain", PAPER, **counted, site=Site(node_gpus=1)).gpu_mem_mb
    whole = [by_tokens("pretraining", tokens, batch_size=8) for tokens in (10**6, 10**9)]
    assert size("pretrain", **whole[0]) == size("pretrain", **whole[1])


@pytest.mark.parametrize("rule", ["pretrain", "tune_instructions", "train_joint"])
def test_a_larger_budget_never_takes_less(rule: str) -> None:
    stage = {"pretrain": "pretraining", "tune_instructions": "instruction", "train_joint": "joint"}[rule]
    sizes = [size(rule, **by_tokens(stage, n, batch_size=512)).mem_mb for n in (64, 2048, 16384, 65536, 10**6)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[-2] > sizes[1]


def test_recomputed_layers_take_a_fraction() -> None:
    changes = {"pretraining": {"optimization": {"micro_batch_size": 32}}}
    kept = size("pretrain", **changes)
    changes["pretraining"]["optimization"]["gradient_checkpointing"] = True
    again = size("pretrain", **changes)
    assert again.mem_mb < kept.mem_mb / 3
    assert 1.3 < again.seconds / kept.seconds < 1.6


@pytest.mark.parametrize("rule", ["pretrain", "tune_instructions", "train_joint"])
def test_more_examples_tokens_or_a_larger_model_never_take_less(rule: str) -> None:
    stage = {"pretrain": "pretraining", "tune_instructions": "instruction", "train_joint": "joint"}[rule]
    for values, key in [((1, 2, 8, 64), "micro_batch_size"), ((16, 64, 512), "max_target_tokens")]:
        inner = {key: None}
        sizes = []
        for value in values:
            inner = {"optimization": {key: value}} if key == "micro_batch_size" else {key: value}
            sizes.append(size(rule, **{stage: inner}).mem_mb)
        assert sizes == sorted(sizes)
        assert sizes[-1] > sizes[0]
    models = [size(rule, backbone={"source": name}).mem_mb for name in ("x-135M", "x-1B", "x-3B", "x-7B", "x-70B")]
    assert models == sorted(models)
    longer = [size(rule, memory={"document_max_tokens": length}).mem_mb for length in (64, 256, 1024, 4096)]
    assert longer == sorted(longer)


def test_what_folds_an_adapter_holds_the_linear_weights_twice_in_the_hosts_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Mistral-7B in bfloat16: 32 layers of 2 * 4096² + 2 * 4096 * 1024 + 3 * 4096 * 14336 values of two bytes.
    assert 2 * model_of("mistral-7b").linear == 2 * 6_979_321_856
    rules = ("predict", "predict_baseline", "measure_memory_use", "compress_documents")
    for site in (Site(), Site(node_gpus=1)):
        counted = [size(rule, PAPER, site=site) for rule in rules]
        with monkeypatch.context() as patched:
            patched.setattr(steps, "FOLDING", set())
            without = [size(rule, PAPER, site=site) for rule in rules]
        more = [one.mem_mb - other.mem_mb for one, other in zip(counted, without, strict=True)]
        assert more == pytest.approx([13958.6, 13958.6, 0, 0], abs=1)
        assert [one.gpu_mem_mb for one in counted] == [one.gpu_mem_mb for one in without]


def test_inference_grows_with_batch_and_tokens() -> None:
    batches = [size("predict_baseline", evaluation={"generation": {"batch_size": n}}).mem_mb for n in (8, 16, 64, 256)]
    assert batches == sorted(batches)
    assert batches[-1] > batches[0]
    tokens = [size("compress_documents", compression={"batch_tokens": n}).mem_mb for n in (1024, 65536, 262144)]
    assert tokens == sorted(tokens)
    assert tokens[-1] > tokens[0]


def test_the_formula_agrees_with_what_training_of_the_demo_was_seen_to_take() -> None:
    # Micro-batches of four: 3.5 GB at ratio 16 and 4.2 GB at ratio 4, docs/experiments.md, 2026-11-23.
    four = {"pretraining": {"optimization": {"micro_batch_size": 4}}}
    sizes = Sizes({"base": configuration.merge(DEMO, four)}, Site())
    assert 3500 <= sizes.of("pretrain", "base", 16).mem_mb <= 1.35 * 3500
    assert 4200 <= sizes.of("pretrain", "base", 4).mem_mb <= 1.35 * 4200


@pytest.mark.parametrize(
    ("rule", "seconds"),
    # Of one core in the demo of 2026-11-24, ratio 4 where there are two.
    [("pretrain", 196), ("tune_instructions", 82), ("train_joint", 67), ("predict", 57), ("predict_baseline", 125),
     ("compress_documents", 179), ("measure_memory_use", 80), ("synthesize", 94)],
)  # fmt: skip
def test_times_of_the_demo_are_foretold_within_a_factor_of_three(rule: str, seconds: float) -> None:
    assert 0.9 * seconds < size(rule).seconds < 3 * seconds


def test_a_seven_billion_model_fits_one_card_and_asks_for_more_cards_for_time_alone() -> None:
    site = Site(node_gpus=4)
    pretraining, joint = size("pretrain", PAPER, site=site), size("train_joint", PAPER, site=site)
    weights = 14480  # 7.24 billion parameters of two bytes
    for one in (pretraining, joint):
        assert weights < one.gpu_mem_mb < 40_000
        assert weights < one.mem_mb / one.gpus < 30_000  # each process has the weights in the host's memory first
    assert pretraining.gpus == 4
    assert joint.gpus == 1
    assert size("pretrain", PAPER, site=Site(node_gpus=1)).gpus == 1
    assert size("prepare_backbone", PAPER, site=site).gpus == 0
    assert size("synthesize", PAPER, site=site).gpu_mem_mb > 2 * 32_000


@pytest.mark.parametrize(
    ("rule", "ratio", "mib"),
    # The largest `peak_gpu_memory_mib` of that run, 2026-11-27; what torch needed, of which the context is no part.
    [("pretrain", 16, 8762), ("pretrain", 64, 8447), ("tune_instructions", 16, 8662), ("tune_instructions", 64, 8137),
     ("tune_text_rag", None, 12125), ("train_joint", 16, 3542), ("train_joint", 64, 2781), ("predict", 16, 1219),
     ("predict", 64, 924), ("predict_given", 16, 1224), ("predict_given", 64, 942), ("predict_baseline", None, 10145),
     ("predict_given_text", None, 8690), ("hard_words", 4, 2142), ("hard_words", 16, 1005), ("hard_words", 64, 725),
     ("no_retrieval", None, 597), ("measure_memory_use", 16, 526), ("measure_states", 16, 537)],
)  # fmt: skip
def test_gpu_memory_that_torch_needed_is_bounded_and_by_no_more_than_three_times(
    shared: Sizes, rule: str, ratio: int | None, mib: int
) -> None:
    needed = shared.of(rule, "base", ratio).gpu_mem_mb - CONTEXT_MB
    assert mib * MIB < needed < 3 * mib * MIB


@pytest.mark.parametrize("rule", ["pretrain", "tune_instructions", "tune_text_rag", "train_joint"])
def test_examples_on_the_disk_are_bounded_and_not_by_much(rule: str, model: ClaraModel, tmp_path: Path) -> None:
    """Questions and documents as long as the settings let them be, targets half as long."""
    document, target, k, pool = 64, 48, 2, 3
    text = " ".join(["river"] * document)
    tokens = model.tokens
    assert len(tokens.text(text)) >= document
    while len(tokens.text(text)) > document:
        text = text[:-1]
    question = Example("k" * 16, "g" * 16, (text,) * (pool if rule == "train_joint" else k), [], [1] * (target // 2))
    slots = len(tokens.text(text)) * k if rule == "tune_text_rag" else k * (document // 4)
    if rule == "pretrain":
        question, slots = replace(question, documents=(text,)), document // 4
    made = replace(question, prompt=[1] * (PROMPT_TOKENS + slots), question="Who?")
    read: Literal["question", "documents"] = "question" if rule == "train_joint" else "documents"
    folder = on_disk(tmp_path / "examples", tokenized([made] * 100, tokens, read=read)).folder
    found = sum(file.stat().st_size for file in folder.iterdir())
    config = configuration.merge(
        DEMO,
        {
            "memory": {"document_max_tokens": document},
            "candidates": {"size": pool, "train_size": None},
            **{stage: {"max_target_tokens": target, "top_k": k} for stage in ("instruction", "joint")},
            "pretraining": {"max_target_tokens": target},
        },
    )
    section = config[SECTIONS[rule]]
    expected = examples_disk_mb(rule, config, section, 4, tokens_shown(config, False)) * 1e6
    assert found < expected / num_examples(rule, config) * 100 < 3 * found


def test_synthesis_asks_for_what_it_holds_of_the_data_on_every_engine(tmp_path: Path) -> None:
    with (tmp_path / "wiki.jsonl").open("wb") as file:
        file.truncate(33_000_000 * 600)
    site, corpus = Site(node_gpus=4), {"corpus": {"source": {"location": str(tmp_path / "wiki.jsonl")}}}
    for engine in ("openai", "vllm"):
        config = configuration.merge(PAPER, {"synthesis": {"engine": engine}})
        small, large = (
            with_model("synthesize", one, 16, site) for one in (config, configuration.merge(config, corpus))
        )
        assert large.mem_mb - small.mem_mb == pytest.approx(8 * (33 - 1), abs=2)  # a million where no file is known
    ready = {"synthesis": {"published": str(tmp_path / "wiki.jsonl")}}
    assert size("synthesize", configuration.merge(PAPER, ready), site=site).mem_mb > 2000 + 33 * 13.4 * 170


def test_more_gpus_for_synthesis_than_a_job_may_have_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"synthesis.tensor_parallel is 8, but a job may have 4 GPUs"):
        size("synthesize", PAPER, site=Site(node_gpus=4), synthesis={"tensor_parallel": 8})
    assert size("synthesize", PAPER, site=Site(node_gpus=4), synthesis={"tensor_parallel": 4}).gpus == 4
    assert size("synthesize", PAPER, synthesis={"tensor_parallel": 8}).gpus == 0


def test_the_papers_synthesis_ends_in_the_attempts_of_a_cluster() -> None:
    assert size("synthesize", PAPER, site=Site(node_gpus=4)).seconds < 0.75 * 4 * 12 * 3600
    halves = size("synthesize", PAPER, site=Site(node_gpus=4), synthesis={"shards": 2 * PAPER["synthesis"]["shards"]})
    assert halves.disk_mb == pytest.approx(size("synthesize", PAPER, site=Site(node_gpus=4)).disk_mb / 2)
