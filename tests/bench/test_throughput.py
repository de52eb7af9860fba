"""The same measurements on every device: here on a CPU, where a GPU's peak is pretended."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clara.bench import large, measure, report, throughput
from clara.bench.throughput import Sizes, shaped
from clara.bench.works import pretraining_examples
from clara.model.clara import ClaraModel
from tests import tiny

MEBIBYTE = 2**20


def test_compression_and_training_are_measured_in_real_tokens(make_model: Callable[..., ClaraModel]) -> None:
    model = make_model()
    examples = pretraining_examples(model, tiny.questions())
    compressing, training = throughput.throughput(model, tiny.TEXTS, examples, Sizes(9, 64, 6, 2))
    inputs = [len(model.tokens.to_compress(text).ids) for text in tiny.TEXTS]
    assert (compressing.items, compressing.tokens) == (9, sum(inputs) + sum(inputs[:3]))
    assert compressing.tokens_per_second == pytest.approx(compressing.tokens / compressing.seconds)
    assert training.items == 6
    # Forward and backward through frozen layers are twice a forward pass, of compressor and generator.
    assert training.gigaflops * training.seconds / training.tokens > 1.5 * (
        compressing.gigaflops * compressing.seconds / compressing.tokens
    )
    assert compressing.parameters == sum(p.numel() for p in model.backbone.model.parameters())
    assert compressing.utilisation is None
    assert compressing.peak_memory_gib > 0.05


def test_a_shaped_model_has_the_shape_that_is_asked_for(make_model: Callable[..., ClaraModel]) -> None:
    like = make_model().backbone
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}
    made = shaped(like, **sizes, num_hidden_layers=3)
    assert made.hidden_size == 128
    assert len(made.body.layers) == 3
    assert made.vocab_size == like.vocab_size
    assert not any(parameter.requires_grad for parameter in made.model.parameters())
    model = ClaraModel(made, tiny.shape(form="plain"))
    (found,) = throughput.throughput(
        model, tiny.TEXTS, pretraining_examples(model, tiny.questions()), Sizes(2, 64, 2, 2)
    )[:1]
    assert found.items_per_second > 0
    seven_billion = sum(
        (2 + 2 / 4) * throughput.OF_7B["hidden_size"] ** 2
        + 3 * throughput.OF_7B["hidden_size"] * throughput.OF_7B["intermediate_size"]
        for _ in range(throughput.OF_7B["num_hidden_layers"])
    )
    assert seven_billion == pytest.approx(6.98e9, rel=0.01)


@pytest.mark.parametrize(("name", "share"), [("NVIDIA H100 80GB HBM3", 0.5), ("Some other", None)])
def test_utilisation_is_the_share_of_a_known_peak(
    name: str, share: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report.share_of_peak(1e12) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    assert report.share_of_peak(989e12 / 2) == share


def test_attention_on_a_cpu_and_products_added_in_place_are_counted() -> None:
    query, key = torch.randn(2, 6, 10, 8, requires_grad=True), torch.randn(2, 3, 10, 8)
    products = 2 * (2 * 6 * 10 * 10 * 8)  # query by key, weights by value

    def attend() -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)

    assert measure.flops(attend) == 2 * products
    assert measure.flops(lambda: attend().sum().backward()) == 2 * products + 5 * products  # the weights come again
    assert measure.flops(lambda: torch.zeros(3, 4).addmm_(torch.ones(3, 5), torch.ones(5, 4))) == 2 * 3 * 4 * 5


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the mark is Linux's")
def test_the_peak_is_that_of_the_block() -> None:
    with measure.peak_memory() as quiet:
        pass
    with measure.peak_memory() as loud:
        held = torch.ones(64 * MEBIBYTE)
        del held
    with measure.peak_memory() as after:
        pass
    assert loud.bytes - quiet.bytes > 200 * MEBIBYTE
    assert loud.bytes - after.bytes > 200 * MEBIBYTE


def test_the_profile_names_kernels() -> None:
    table = measure.profile_of(lambda: torch.ones(64, 64) @ torch.ones(64, 64))
    assert "aten::mm" in table


@pytest.mark.slow
def test_searches_of_a_small_store_by_every_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(large, "SHARD", 64)
    memories = torch.randn(16, 4, 64, generator=torch.Generator().manual_seed(0))
    found = large.search_store(memories, memories[:3], tmp_path, count=120)
    assert found.documents == 128
    assert set(found.by_index) == {"scan", "lists"}
    assert all(way.recall_at_5["400"] == 1 for kind, way in found.by_index.items() if kind == "scan")
    assert 50 < found.by_index["scan"].process_mib < 2000
    assert "| 128 | 0.00 GB | scan |" in report.searches_table([found])
