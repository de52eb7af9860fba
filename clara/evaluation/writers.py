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
from clara.model import vllm_door
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


def engine_of(generation: Generation, folder: Path) -> Literal["transformers", "vllm"]:
    """The engine that the settings name; `auto` is vLLM on a GPU where it can run the model in `folder`.

    Raises:
        ConfigError: vLLM is named and cannot run here.
    """
    if generation.engine == "transformers" or (generation.engine == "auto" and not torch.cuda.is_available()):
        return "transformers"
    reason = vllm_door.obstacle(folder)
    if reason is not None and generation.engine == "vllm":
        raise ConfigError(
            f"evaluation.generation.engine = vllm cannot run here: {reason}; install a fitting vLLM or set transformers"
        )
    return "transformers" if reason is not None else "vllm"


@contextmanager
def from_memories(model: ClaraModel, generation: Generation, scratch: Path | None) -> Iterator[Writer]:
    """A writer whose prompts hold memories; the generator is folded into the language model.

    With vLLM the folded model is written to `scratch` (None: the system's temporary folder), removed afterwards, and
    this process's own copy leaves the GPU: its input embeddings, by which memories become prompts, are looked up on
    the CPU.
    """
    backbone, added = model.backbone, model.added
    if engine_of(generation, backbone.card.folder) == "transformers":

        def write(prompts: Sequence[list[int]], memories: Tensor | None) -> list[str]:
            vectors = None if memories is None else backbone.put(memories)
            limit = generation.max_new_tokens
            return generate(backbone, model.generator, prompts, vectors, added, max_new_tokens=limit)

        with model.adapters.merged(GENERATOR):
            yield Writer(write, generation.batch_size)
        return
    with _folder(scratch) as folder:
        with model.adapters.merged(GENERATOR):
            _write_plain(backbone, folder)
        device = backbone.device
        model.to(HOST)
        torch.cuda.empty_cache()
        lazy = _Lazy(folder, backbone)

        def write_by_vllm(prompts: Sequence[list[int]], memories: Tensor | None) -> list[str]:
            return lazy.texts(_embedded(model, prompts, memories), generation.max_new_tokens)

        try:
            yield Writer(write_by_vllm, max(generation.batch_size, VLLM_BATCH))
        finally:
            lazy.close()
            model.to(device)


@contextmanager
def from_text(backbone: LoadedBackbone, generation: Generation) -> Iterator[Writer]:
    """A writer of the language model alone."""
    added = AddedIds(backbone.vocab_size, 0)
    if engine_of(generation, backbone.card.folder) == "transformers":

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
    def engine(self) -> vllm_door.VllmWriter:
        dtype = str(self.backbone.dtype).removeprefix("torch.")
        return vllm_door.VllmWriter(self.folder, dtype=dtype, end_of_turn=self.backbone.end_of_turn)

    def texts(self, prompts: Sequence[Any], limit: int) -> list[str]:
        ids = self.engine.write(prompts, max_new_tokens=limit)
        texts: list[str] = self.backbone.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def close(self) -> None:
        if "engine" in self.__dict__:
            self.engine.close()


@torch.inference_mode()
def _embedded(model: ClaraModel, prompts: Sequence[list[int]], memories: Tensor | None) -> list[Tensor]:
    """Input embeddings of prompts on the CPU, `[tokens, dim]` each."""
    ids = torch.tensor([token for prompt in prompts for token in prompt])[None]
    embedded = model.generator.embed(model.backbone, ids, memories, model.added)[0]
    return list(torch.split(embedded, [len(prompt) for prompt in prompts]))


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="folded-", dir=scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_plain(backbone: LoadedBackbone, folder: Path) -> None:
    """The language model as it is now, in the transformers layout, for an engine that reads folders."""
    backbone.model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
