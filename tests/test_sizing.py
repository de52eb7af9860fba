"""Sizes of steps: by hand, monotone, plausible against what was measured (docs/experiments.md), and limits of GPUs."""

import json
from pathlib import Path
from typing import Any

import pytest

from clara import config as configuration
from clara.errors import ConfigError
from clara.model_sizes import UNKNOWN, Model, model_of
from clara.sizing import (
    CONTEXT_MB,
    MEASURED_MB,
    Site,
    Size,
    Sizes,
    job_size,
    kind_of,
    require_gpus,
    variant_and_ratio,
)

ROOT = Path(__file__).resolve().parents[1]
DEMO = configuration.load(ROOT / "config.yaml")
PAPER = configuration.merge(DEMO, configuration.load(ROOT / "configs" / "paper-mistral.yaml"))
MODEL_RULES = sorted(MEASURED_MB)


def size(rule: str, config: dict[str, Any] = DEMO, *, site: Site | None = None, **overrides: Any) -> Size:
    return Sizes({"base": configuration.merge(config, overrides)}, site or Site()).of(rule)


def test_an_adapter_has_rank_times_in_and_out_of_every_linear_layer() -> None:
    tiny = Model(0, layers=3, width=10, heads=1, kv_width=4, inner=20, vocabulary=1)
    # q and o: 10 -> 10; k and v: 10 -> 4; gate and up: 10 -> 20; down: 20 -> 10.
    assert tiny.adapter(2) == 2 * 3 * (2 * 20 + 2 * 14 + 3 * 30)


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
    assert size("pretrain", config).mem_mb == round(900 + (2e5 * 4 + trained + 1.25 * kept) / 1e6)


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


def test_inference_grows_with_batch_and_tokens() -> None:
    batches = [size("predict_baseline", evaluation={"generation": {"batch_size": n}}).mem_mb for n in (8, 16, 64, 256)]
    assert batches == sorted(batches)
    assert batches[-1] > batches[0]
    tokens = [size("compress_documents", compression={"batch_tokens": n}).mem_mb for n in (1024, 65536, 262144)]
    assert tokens == sorted(tokens)
    assert tokens[-1] > tokens[0]


def test_the_demo_gets_its_measured_memory_on_cpus() -> None:
    assert {rule: size(rule).mem_mb for rule in MODEL_RULES} == MEASURED_MB


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
        assert weights < one.mem_mb < 30_000
    assert pretraining.gpus == 4
    assert joint.gpus == 1
    assert size("pretrain", PAPER, site=Site(node_gpus=1)).gpus == 1
    assert size("prepare_backbone", PAPER, site=site).gpus == 0
    assert size("synthesize", PAPER, site=site).gpu_mem_mb > 2 * 32_000


def test_attempts_ask_for_more_and_a_slot_is_the_most() -> None:
    sizes = Sizes({"base": PAPER}, Site(node_gpus=4, slot_minutes=720))
    assert sizes.memory("pretrain", "base", 4, 3) == 3 * sizes.memory("pretrain", "base", 4, 1)
    assert sizes.minutes("pretrain", "base", 4, 1) == 720
    small = Sizes({"base": DEMO}, Site())
    assert small.minutes("predict", "base", 4, 1) == 30
    baseline = [sizes.minutes("predict_baseline", "base", None, attempt) for attempt in (1, 2, 9)]
    assert baseline[0] < baseline[1] <= baseline[2] == 720


def test_a_model_is_known_by_its_configuration_by_name_or_guessed(tmp_path: Path) -> None:
    given = {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 32000, "tie_word_embeddings": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(given))
    assert model_of(str(tmp_path)).parameters == pytest.approx(7.24e9, rel=0.01)
    assert model_of("mistralai/Mistral-7B-Instruct-v0.2").parameters == 7.24e9
    assert model_of("someone/new-70B-chat").parameters == 7e10
    assert model_of("someone/new-model") == UNKNOWN
    assert model_of("$CLARA_NOT_SET/model") == UNKNOWN


def test_jobs_are_known_by_the_wildcards_of_their_paths() -> None:
    assert variant_and_ratio({"variant": "soft", "ratio": "16"}) == ("soft", 16)
    assert variant_and_ratio({"stage": "joint", "name": "instruction-cr4-soft"}) == ("soft", 4)
    assert variant_and_ratio({"system": "bm25"}) == ("base", None)
    sizes = Sizes({"base": DEMO}, Site())
    assert job_size(sizes, "score", {"system": "bm25"}).gpus == 0


def test_a_limit_below_a_request_is_refused_where_snakemake_would_cut_it() -> None:
    require_gpus({"pretrain": 2, "predict": 1}, None)
    require_gpus({"pretrain": 2, "predict": 1}, 2)
    with pytest.raises(ConfigError, match=r"gpu=1 would cut the GPUs of pretrain \(2\)"):
        require_gpus({"pretrain": 2, "predict": 1}, 1)


# configs/small.yaml and over it configs/small-gpu.yaml, as they ran on an H200 that fourteen jobs shared.
GPU: dict[str, Any] = {
    "ratios": [4, 16, 64],
    "backbone": {"attention": "sdpa"},
    "benchmarks": {"nq": {"format": "rows", "train": "x.jsonl.gz", "test": "x.jsonl.gz"}},
    "candidates": {"train_size": 8},
    "pretraining": {"max_target_tokens": 256, "optimization": {"batch_size": 16, "micro_batch_size": 16}},
    "instruction": {"top_k": 5, "optimization": {"batch_size": 8, "micro_batch_size": 8}},
    "joint": {"top_k": 5, "optimization": {"batch_size": 16, "micro_batch_size": 16}},
    "compression": {"batch_tokens": 32768},
    "evaluation": {"top_k": 5, "generation": {"batch_size": 128, "engine": "transformers"}},
}
MIB = 1.048576


@pytest.fixture(scope="module")
def shared() -> Sizes:
    return Sizes({"base": configuration.merge(DEMO, GPU)}, Site(node_gpus=1))


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


@pytest.mark.parametrize(
    ("rule", "ratio", "gib"),
    # What whole processes held of the GPU when others found it full, by the messages of these.
    [("pretrain", 16, 19.39), ("pretrain", 64, 17.30), ("tune_text_rag", None, 28.74), ("hard_words", 4, 4.56),
     ("hard_words", 64, 1.74), ("predict_given_text", None, 11.27)],
)  # fmt: skip
def test_a_job_beside_others_asks_for_what_its_process_was_seen_to_hold(
    shared: Sizes, rule: str, ratio: int | None, gib: float
) -> None:
    asked = shared.gpu_memory(rule, "base", ratio, 1)
    assert gib * 1024 * MIB < asked < 2.5 * gib * 1024 * MIB
    assert shared.gpu_memory(rule, "base", ratio, 2) == 2 * asked


def test_a_job_without_a_gpu_asks_for_none_and_one_by_vllm_for_a_whole_one(shared: Sizes) -> None:
    assert Sizes({"base": DEMO}, Site()).gpu_memory("pretrain", "base", 4, 1) == 0
    assert shared.gpu_memory("prepare_backbone", "base", None, 1) == 0
    vllm = configuration.merge(DEMO, {**GPU, "evaluation": {"generation": {"engine": "vllm"}}})
    assert Sizes({"base": vllm}, Site(node_gpus=1, gpu_gb=141)).gpu_memory("predict", "base", 16, 1) == 141_000


def test_kinds_of_a_step_that_show_less_text_are_known_by_wildcards() -> None:
    assert kind_of("predict_baseline", {"baseline": "no_retrieval"}) == "no_retrieval"
    assert kind_of("predict_baseline", {"baseline": "text_rag_tuned"}) == "predict_baseline"
    assert kind_of("predict_compressed_text", {"method": "hard_words", "ratio": "4"}) == "hard_words"
    assert kind_of("predict_compressed_text", {"method": "llmlingua2"}) == "predict_compressed_text"
    assert kind_of("train_joint", {"variant": "soft"}) == "train_joint"
