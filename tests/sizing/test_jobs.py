"""What jobs ask for: more at each attempt, beside others on a GPU, by their wildcards; and limits of GPUs."""

import pytest

from clara import config as configuration
from clara import machine
from clara.errors import ConfigError
from clara.sizing.jobs import MEASURED_MB, Sizes, job_size, kind_of, require_gpus, variant_and_ratio
from clara.sizing.steps import Site
from tests.sizing.estimates import DEMO, GPU, MIB, PAPER, size


def test_the_demo_gets_its_measured_memory_on_cpus() -> None:
    assert {rule: size(rule).mem_mb for rule in sorted(MEASURED_MB)} == MEASURED_MB


def test_attempts_ask_for_more_and_a_slot_is_the_most() -> None:
    sizes = Sizes({"base": PAPER}, Site(node_gpus=4, slot_minutes=720))
    assert sizes.memory("pretrain", "base", 4, 3) == 3 * sizes.memory("pretrain", "base", 4, 1)
    assert sizes.minutes("pretrain", "base", 4, 1) == 720
    small = Sizes({"base": DEMO}, Site())
    assert small.minutes("predict", "base", 4, 1) == 30
    baseline = [sizes.minutes("predict_baseline", "base", None, attempt) for attempt in (1, 2, 9)]
    assert baseline[0] < baseline[1] <= baseline[2] == 720


def test_steps_without_a_model_ask_for_time_by_their_data_and_for_more_at_each_attempt() -> None:
    sizes = Sizes({"base": PAPER}, Site(node_gpus=4, slot_minutes=2000))
    asked = [sizes.minutes("gather_pairs", "base", None, attempt) for attempt in (1, 2)]
    assert asked[0] > 60
    assert asked[1] == pytest.approx(2 * asked[0] - 10, abs=2)
    assert Sizes({"base": DEMO}, Site()).minutes("gather_pairs", "base", None, 1) == 30


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
    for rule in ("predict_compressed_text", "predict_given_compressed_text"):
        assert kind_of(rule, {"method": "hard_words", "ratio": "4"}) == "hard_words"
        assert kind_of(rule, {"method": "llmlingua2"}) == rule
    assert kind_of("train_joint", {"variant": "soft"}) == "train_joint"


def test_a_released_checkpoint_is_sized_by_its_base_and_answers_as_well() -> None:
    theirs = {"theirs": {"source": "/nowhere", "base": "mistralai/Mistral-7B-Instruct-v0.2"}}
    config = configuration.merge(DEMO, {"evaluation": {"released": theirs}})
    sizes = Sizes({"base": config}, Site(node_gpus=1))
    found = job_size(sizes, "predict_released", {"released": "theirs"})
    as_backbone = configuration.merge(config, {"backbone": {"source": theirs["theirs"]["base"]}})
    own = Sizes({"base": as_backbone}, Site(node_gpus=1))
    assert found.gpu_mem_mb > 14_000 > sizes.of("compress_documents").gpu_mem_mb
    assert found.seconds == own.of("compress_documents").seconds + own.of("predict").seconds
    assert sizes.memory(kind_of("predict_released", {"released": "theirs"}), "base", None, 1) == found.mem_mb


def test_where_half_precision_is_computed_in_float32_jobs_without_gpus_take_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"base": configuration.merge(DEMO, {"synthesis": {"dtype": "bfloat16"}})}
    rules = ("pretrain", "predict", "predict_baseline", "compress_documents")
    before = {rule: Sizes(given, Site()).of(rule) for rule in (*rules, "synthesize", "prepare_backbone")}
    on_gpus = Sizes(given, Site(node_gpus=1)).of("pretrain")
    monkeypatch.setattr(machine, "arithmetic", lambda dtype: "float32")
    after = Sizes(given, Site())
    for rule in rules:  # 135 million weights of two bytes more, at least
        assert after.of(rule).mem_mb >= before[rule].mem_mb + 265
        assert after.of(rule).seconds > before[rule].seconds
        assert after.of(rule).disk_mb == before[rule].disk_mb
    assert after.of("synthesize") == before["synthesize"]  # by vLLM
    assert after.of("prepare_backbone").mem_mb == before["prepare_backbone"].mem_mb
    assert Sizes(given, Site(node_gpus=1)).of("pretrain") == on_gpus
    alone = {"base": configuration.merge(given["base"], {"synthesis": {"engine": "transformers"}})}
    assert Sizes(alone, Site()).of("synthesize").mem_mb > before["synthesize"].mem_mb
