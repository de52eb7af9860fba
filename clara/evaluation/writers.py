"""Who writes the answers: transformers, batch by batch, or vLLM, many at once, from the same prompts."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from clara.config.evaluation import Generation
from clara.errors import ConfigError
from clara.model import vllm_door, vllm_writer
from clara.model.adapters import GENERATOR
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from clara.model.generator import generate
from clara.tokens import AddedIds

HOST = torch.device("cpu")
VLLM_BATCH = 512
"""Prompts handed to vLLM at once, which makes its own batches of them; also what a killed run loses at most."""

Write = Callable[[Sequence[list[int]], Tensor | None], list[str]]
"""Answers to prompts whose slots the memories `[documents, memory, dim]` fill in order."""


@dataclass(frozen=True)
class Writer:
    """Writes answers, so many prompts at a time."""

    write: Write
    batch_size: int


def engine_of(
    engine: Literal["auto", "transformers", "vllm"], folder: Path, *, setting: str = "evaluation.generation.engine"
) -> Literal["transformers", "vllm"]:
    """The engine that is named; `auto` is vLLM on a GPU where it can run the model in `folder`.

    Raises:
        ConfigError: vLLM is named and cannot run here; names the `setting`.
    """
    if engine == "transformers" or (engine == "auto" and not torch.cuda.is_available()):
        return "transformers"
    reason = vllm_door.obstacle(folder)
    if reason is not None and engine == "vllm":
        raise ConfigError(f"{setting} = vllm cannot run here: {reason}; install a fitting vLLM or set transformers")
    return "transformers" if reason is not None else "vllm"


@contextmanager
def from_memories(model: ClaraModel, generation: Generation, scratch: Path | None) -> Iterator[Writer]:
    """A writer whose prompts hold memories; the generator is folded into the language model.

    With vLLM the folded model is written to `scratch` (None: the system's temporary folder), removed afterwards, and
    this process's own copy leaves the GPU: its input embeddings, by which memories become prompts, are looked up on
    the CPU.
    """
    backbone, added = model.backbone, model.added
    if engine_of(generation.engine, backbone.card.folder) == "transformers":

        def write(prompts: Sequence[list[int]], memories: Tensor | None) -> list[str]:
            vectors = None if memories is None else backbone.put(memories)
            limit = generation.max_new_tokens
            return generate(backbone, model.generator, prompts, vectors, added, max_new_tokens=limit)

        with model.adapters.merged(GENERATOR):
            yield Writer(write, generation.batch_size)
        return
    with folded(model, scratch) as folder:
        device = backbone.device
        model.to(HOST)
        torch.cuda.empty_cache()
        lazy = _Lazy(folder, backbone)

        def write_by_vllm(prompts: Sequence[list[int]], memories: Tensor | None) -> list[str]:
            return lazy.texts(vllm_writer.prompt_vectors(model, prompts, memories), generation.max_new_tokens)

        try:
            yield Writer(write_by_vllm, max(generation.batch_size, VLLM_BATCH))
        finally:
            lazy.close()
            model.to(device)


@contextmanager
def from_text(backbone: LoadedBackbone, generation: Generation) -> Iterator[Writer]:
    """A writer of the language model alone."""
    added = AddedIds(backbone.vocab_size, 0)
    if engine_of(generation.engine, backbone.card.folder) == "transformers":

        def write(prompts: Sequence[list[int]], memories: Tensor | None) -> list[str]:
            return generate(backbone, None, prompts, memories, added, max_new_tokens=generation.max_new_tokens)

        yield Writer(write, generation.batch_size)
        return
    device = backbone.device
    backbone.model.to(HOST)
    torch.cuda.empty_cache()
    lazy = _Lazy(backbone.card.folder, backbone)
    try:
        yield Writer(
            lambda prompts, memories: lazy.texts(list(prompts), generation.max_new_tokens),
            max(generation.batch_size, VLLM_BATCH),
        )
    finally:
        lazy.close()
        backbone.model.to(device)


class _Lazy:
    """vLLM, started by the first batch: a run whose answers are all there already starts none."""

    def __init__(self, folder: Path, backbone: LoadedBackbone) -> None:
        self.folder, self.backbone = folder, backbone

    @cached_property
    def engine(self) -> vllm_writer.VllmWriter:
        dtype = str(self.backbone.dtype).removeprefix("torch.")
        return vllm_writer.VllmWriter(self.folder, dtype=dtype, end_of_turn=self.backbone.end_of_turn)

    def texts(self, prompts: Sequence[Any], limit: int) -> list[str]:
        ids = self.engine.write(prompts, max_new_tokens=limit)
        texts: list[str] = self.backbone.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def close(self) -> None:
        if "engine" in self.__dict__:
            self.engine.close()


@contextmanager
def folded(model: ClaraModel, scratch: Path | None = None) -> Iterator[Path]:
    """A folder with the generator folded into the language model, for an engine that reads folders; removed afterwards.

    Args:
        model: is as before.
        scratch: where; None: the system's temporary folder.
    """
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="folded-", dir=scratch))
    try:
        with model.adapters.merged(GENERATOR):
            model.backbone.model.save_pretrained(folder)
            model.backbone.tokenizer.save_pretrained(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
