"""Texts to memories, of documents or of questions, in batches of near-equal length."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from clara.errors import CheckpointError
from clara.model.adapters import COMPRESSOR
from clara.model.clara import ClaraModel
from clara.progress import Progress
from clara.tokens import CompressorInput

ENOUGH_TOKENS = {"cpu": 256, "cuda": 8192}
"""Tokens from which on a larger batch gains a device less than padding costs it: a CPU nothing at all, as measured; a
GPU starts a small model's kernels no faster than it runs them on so many, which is an estimate."""
NO_NUMBERS = (
    "the memories hold values that are no numbers, so a file of the checkpoint or of its language model is damaged, or "
    "its precision too narrow; make both again, or load it as float32"
)
LEAST_SHARE = 0.9
"""Of a batch's longest text, that every text in it has at least, once there are enough."""


@torch.inference_mode()
def encode_texts(
    model: ClaraModel,
    inputs: Sequence[CompressorInput],
    *,
    batch_tokens: int,
    role: str = COMPRESSOR,
    progress: Progress | None = None,
) -> Tensor:
    """Memories `[texts, memory, dim]` on the CPU, in the order of `inputs`, without dropout.

    Raises:
        CheckpointError: some are no numbers.
    """
    backbone = model.backbone
    vectors = torch.empty(len(inputs), model.shape.num_memory, backbone.hidden_size, dtype=backbone.dtype)
    computing: tuple[list[int], Tensor] | None = None
    with _evaluation_mode(model):
        lengths, enough = [len(item.ids) for item in inputs], enough_tokens(backbone.device)
        for batch in [*batches_by_length(lengths, batch_tokens, enough=enough), []]:
            # The next batch is under way before the last one's result is waited for: a GPU is never idle in between.
            started = (batch, model.encode(role, [inputs[index] for index in batch]).vectors) if batch else None
            if computing is not None:
                done, found = computing
                host = found.cpu()
                if not bool(host.isfinite().all()):
                    raise CheckpointError(NO_NUMBERS)
                vectors[done] = host
                if progress is not None:
                    progress.update(progress.done + len(done))
            computing = started
    return vectors


def enough_tokens(device: torch.device) -> int:
    """Tokens of a batch that is large enough for the device."""
    return ENOUGH_TOKENS.get(device.type, ENOUGH_TOKENS["cpu"])


@contextmanager
def _evaluation_mode(model: ClaraModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def batches_by_length(
    lengths: Sequence[int], batch_tokens: int, *, enough: int = ENOUGH_TOKENS["cpu"]
) -> Iterator[list[int]]:
    """Indices in batches of at most `batch_tokens`, padding included; longest first, so that memory peaks at once.

    A batch of `enough` tokens also ends where the next text is much shorter, which would be mostly padding.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        width = lengths[batch[0]] if batch else lengths[index]
        shorter = width * len(batch) >= enough and lengths[index] < LEAST_SHARE * width
        if batch and (shorter or width * (len(batch) + 1) > batch_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
