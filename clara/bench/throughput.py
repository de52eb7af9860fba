"""What a device reaches: documents and tokens a second, share of its peak, memory; one code for CPU and GPU."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from clara.bench.measure import flops, peak_memory, seconds
from clara.bench.report import share_of_peak
from clara.bench.works import backward_pass
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.training.examples import Example
from clara.training.objectives import CompressionObjective, Totals

OF_7B: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 4096,
}
"""The shape of Mistral-7B."""


@dataclass(frozen=True)
class Sizes:
    """How much is done at once, and how much in all."""

    documents: int
    batch_tokens: int
    """Of a batch of documents, padding included."""
    examples: int
    """Of a training step."""
    micro_batch: int


ON_CPU = Sizes(32, 4096, 8, 2)
ON_GPU = Sizes(2048, 65536, 64, 16)


@dataclass(frozen=True)
class Throughput:
    """One piece of work on one model."""

    work: str
    parameters: int
    """Of the language model."""
    items: int
    tokens: int
    """Real ones: padding does not count."""
    seconds: float
    items_per_second: float
    tokens_per_second: float
    gigaflops: float
    """A second."""
    utilisation: float | None
    """Share of the device's dense bfloat16 peak; None where that is not known."""
    peak_memory_gib: float
    """At most while it ran, the weights included; on a CPU the process's resident memory."""


def shaped(like: LoadedBackbone, **sizes: Any) -> LoadedBackbone:
    """A random Mistral of these sizes with the tokenizer, device and precision of `like`: speed needs no training."""
    from transformers import AutoModelForCausalLM, MistralConfig

    automatic: Any = AutoModelForCausalLM
    config = MistralConfig(**{**OF_7B, "sliding_window": None, "vocab_size": like.vocab_size, **sizes})
    config._attn_implementation = like.model.config._attn_implementation
    with like.device:
        model = automatic.from_config(config, dtype=like.dtype)
    model.eval().requires_grad_(False)
    model.config.use_cache = False
    return replace(like, model=model)


def throughput(
    model: ClaraModel, documents: Sequence[str], examples: Sequence[Example], sizes: Sizes
) -> list[Throughput]:
    """Compression of documents and one pretraining step, each after a pass that warms up and counts.

    Args:
        model: with a compressor and a generator.
        documents: repeated as often as `sizes` asks.
        examples: of pretraining; repeated likewise.
        sizes: how much.
    """
    texts = list(itertools.islice(itertools.cycle(documents), sizes.documents))
    inputs = [model.tokens.to_compress(text) for text in texts]
    chosen = list(itertools.islice(itertools.cycle(examples), sizes.examples))
    objective, totals = CompressionObjective(model, mse_weight=0.1), Totals.of(chosen)
    parts = [chosen[first : first + sizes.micro_batch] for first in range(0, len(chosen), sizes.micro_batch)]

    def compression() -> object:
        with torch.autocast(model.backbone.device.type, dtype=model.backbone.dtype, enabled=_mixed(model)):
            return encode_texts(model, inputs, batch_tokens=sizes.batch_tokens)

    def share(part: Sequence[Example]) -> torch.Tensor:
        loss: torch.Tensor = objective(part, totals, progress=0.0, seed=0).loss
        return loss

    def step() -> object:
        return backward_pass(model, [COMPRESSOR, GENERATOR], *(partial(share, part) for part in parts))

    read = [item for example in chosen for item in example.to_compress(model.tokens)]
    learned = sum(len(example.prompt) + len(example.target) for example in chosen) + sum(len(i.ids) for i in read)
    return [
        _measured("compressing", model, compression, len(texts), sum(len(item.ids) for item in inputs)),
        _measured("a pretraining step", model, step, len(chosen), learned),
    ]


def _mixed(model: ClaraModel) -> bool:
    return model.backbone.dtype != torch.float32


def _measured(name: str, model: ClaraModel, work: Callable[[], object], items: int, tokens: int) -> Throughput:
    counted = flops(work)
    with peak_memory() as memory:
        taken, _ = seconds(work)
    return Throughput(
        work=name,
        parameters=sum(parameter.numel() for parameter in model.backbone.model.parameters()),
        items=items,
        tokens=tokens,
        seconds=taken,
        items_per_second=items / taken,
        tokens_per_second=tokens / taken,
        gigaflops=counted / taken / 1e9,
        utilisation=share_of_peak(counted / taken),
        peak_memory_gib=memory.bytes / 2**30,
    )
