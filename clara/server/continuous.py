"""Continuous batching: vLLM writes the answers, and a request joins those under way at their next token."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from clara.evaluation.writers import engine_of, folded
from clara.model.answers import UNKNOWN, Selected
from clara.model.clara import ClaraModel
from clara.model.streaming import Growing
from clara.model.vllm_writer import VllmWriter, prompt_vectors
from clara.server.batching import Batcher
from clara.server.explore import Served
from clara.server.jobs import Job, Piece, Written
from clara.server.limits import Limits

GPU_SHARE = 0.7
"""vLLM's of a GPU's memory, where the checkpoint, which compresses and searches, lies there too."""

EngineName = Literal["auto", "transformers", "vllm"]


@contextmanager
def writer_of(model: ClaraModel, engine: EngineName) -> Iterator[VllmWriter | None]:
    """The vLLM that writes this model's answers, its generator folded in; None where transformers does.

    Raises:
        ConfigError: vLLM is named and cannot run here.
        ResourceError: it cannot start.
    """
    backbone = model.backbone
    if engine == "auto" and backbone.device.type != "cuda":  # named: a GPU may stand beside it
        engine = "transformers"
    if engine_of(engine, backbone.card.folder, setting="--engine") == "transformers":
        yield None
        return
    dtype = str(backbone.dtype).removeprefix("torch.")
    with folded(model) as folder:
        writer = VllmWriter(folder, dtype=dtype, end_of_turn=backbone.end_of_turn, gpu_share=GPU_SHARE)
    with closing(writer):
        yield writer


@dataclass
class _UnderWay:
    """An answer that is being written."""

    job: Job
    found: Selected
    text: Growing
    started: float


class Continuous(Batcher):
    """As `Batcher`, but answers are written by `writer`, as many together as `limits.batch`."""

    def __init__(
        self,
        served: Served,
        limits: Limits,
        *,
        writer: VllmWriter,
        others: Sequence[Served] = (),
        on_batch: Callable[[int], None],
    ) -> None:
        super().__init__(served, limits, others=others, on_batch=on_batch)
        self._writer = writer
        self._under_way: dict[str, _UnderWay] = {}
        self._numbers = itertools.count()
        self._works = True

    @property
    def engine_works(self) -> bool:
        return self._works

    def _accepted(self) -> list[Job]:
        return [*(each.job for each in self._under_way.values()), *super()._accepted()]

    def _serve(self) -> None:
        while (batch := self._collect(len(self._under_way))) or self._under_way:
            if batch:
                self._work(batch)
            self._advance()

    def _answer(self, jobs: Sequence[Job]) -> None:
        for job, found in zip(*self._chosen(jobs), strict=True):
            try:
                self._begin(job, found)
            except Exception as error:  # the thread must live on; the client is told
                job.give(error)

    def _begin(self, job: Job, found: Selected) -> None:
        if found.unknown:
            job.give(Piece(UNKNOWN))
            job.give(Written(found, 0, False, 0.0))
            return
        model = self.model.model
        prompt = model.tokens.answer_prompt(job.texts[0], len(found.documents))
        memories = torch.stack(found.memories).to(model.backbone.device) if found.memories else None
        (vectors,) = prompt_vectors(model, [prompt], memories)
        key = str(next(self._numbers))
        self._writer.add(key, vectors, max_new_tokens=job.max_new_tokens)
        text = Growing(model.backbone, lambda text: job.give(Piece(text)))
        self._under_way[key] = _UnderWay(job, found, text, time.perf_counter())

    def _advance(self) -> None:
        """One token further with every answer that somebody waits for."""
        self._drop([key for key, each in self._under_way.items() if each.job.gone.is_set()])
        if not self._under_way:
            return
        try:
            steps = self._writer.step()
        except Exception as error:  # the thread must live on; the clients are told
            self._drop(list(self._under_way), error)
            self._works = False
            return
        self._works = True
        for step in steps:
            answer = self._under_way.get(step.key)
            if answer is None:  # dropped meanwhile
                continue
            try:
                answer.text.add(step.ids, last=step.ended)
            except Exception as error:  # of this answer alone
                self._drop([step.key], error)
                continue
            if step.ended:
                seconds = time.perf_counter() - answer.started
                answer.job.give(Written(answer.found, len(answer.text.ids), step.cut, seconds))
                del self._under_way[step.key]

    def _drop(self, keys: Sequence[str], error: Exception | None = None) -> None:
        """Gives up answers, here and in the engine; who still waits for one is told the error."""
        for key in keys:
            answer = self._under_way.pop(key)
            if error is not None:
                answer.job.give(error)
        if not keys:
            return
        try:
            self._writer.drop(keys)
        except Exception:  # of a dead engine; its next step says why
            self._works = False
