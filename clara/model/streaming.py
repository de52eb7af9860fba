"""Greedy answers token by token: each row of a batch has its own length and can be stopped while it is written."""

import queue
import threading
from collections.abc import Callable, Sequence
from collections.abc import Generator as Loop
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from clara.model.backbone import LoadedBackbone
from clara.model.generator import Generator
from clara.model.padding import left_padded
from clara.tokens import AddedIds

UNFINISHED = "�"
"""What a tokenizer gives for the bytes of a character whose last ones are not there yet."""

OnText = Callable[[int, str], None]
"""Takes a row's number and what was added to its text."""


@torch.inference_mode()
def stream(
    backbone: LoadedBackbone,
    generator: Generator,
    prompts: Sequence[list[int]],
    memories: Float[Tensor, "documents memory dim"] | None,
    added: AddedIds,
    *,
    max_new_tokens: Sequence[int],
    on_text: OnText,
    stopped: Callable[[int], bool],
) -> list[int]:
    """Tokens of each answer; the answers, the same as `generate`'s, are given to `on_text` as they grow.

    An answer with fewer tokens than its limit ended by itself, unless it was stopped.

    Args:
        backbone: writes.
        generator: embeds the slots.
        prompts: up to where the answer begins.
        memories: one a slot, in order.
        added: ids of the added tokens.
        max_new_tokens: tokens of each answer at most.
        on_text: called after every token that adds to a row's text.
        stopped: whether nobody waits for a row any more; asked before every token.

    Raises:
        CheckpointError: the slots do not match the memories.
        ConfigError: a prompt and its answer are longer than the model's context.
    """
    ids, mask = left_padded(prompts)
    longest = max(max_new_tokens)
    backbone.require_room(ids.shape[1] + longest, f"the longest prompt with {longest} tokens of answer")
    texts = _Texts(backbone, max_new_tokens, on_text)
    backbone.model.generate(
        inputs_embeds=generator.embed(backbone, ids, memories, added),
        attention_mask=backbone.put(mask),
        max_new_tokens=longest,
        do_sample=False,
        use_cache=True,
        eos_token_id=backbone.end_of_turn,
        pad_token_id=backbone.end_of_turn,
        streamer=texts,
        stopping_criteria=StoppingCriteriaList([_Ends(max_new_tokens, stopped)]),
    )
    return [len(ids) for ids in texts.ids]


class _Ends(StoppingCriteria):
    """Ends the rows that are long enough or that nobody waits for."""

    def __init__(self, max_new_tokens: Sequence[int], stopped: Callable[[int], bool]) -> None:
        self.limits, self.stopped = max_new_tokens, stopped

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        length = input_ids.shape[1]
        ended = [length >= limit or self.stopped(row) for row, limit in enumerate(self.limits)]
        return torch.tensor(ended, device=input_ids.device)


class Growing:
    """The text of one answer, token by token.

    Args:
        backbone: its tokenizer gives the text.
        on_text: called with what was added, after every token that adds to it.
    """

    def __init__(self, backbone: LoadedBackbone, on_text: Callable[[str], None]) -> None:
        self._tokenizer, self._on_text = backbone.tokenizer, on_text
        self.ids: list[int] = []
        self._given = ""

    def add(self, ids: Sequence[int], *, last: bool) -> None:
        """Takes tokens; after the last ones everything is given."""
        self.ids += ids
        # All is decoded anew: a token's text may depend on the one before. Answers are short.
        text = self._tokenizer.decode(self.ids, skip_special_tokens=True).lstrip()
        if not last:
            text = text.rstrip()
            if text.endswith(UNFINISHED):
                return
        text = text.rstrip()
        if len(text) > len(self._given) and text.startswith(self._given):
            self._on_text(text[len(self._given) :])
            self._given = text


class _Texts:
    """What transformers tells of each new token, as text."""

    def __init__(self, backbone: LoadedBackbone, max_new_tokens: Sequence[int], on_text: OnText) -> None:
        self.backbone, self.limits = backbone, max_new_tokens
        self.rows = [Growing(backbone, partial(on_text, row)) for row in range(len(max_new_tokens))]
        self.ended = [False] * len(max_new_tokens)

    @property
    def ids(self) -> list[list[int]]:
        return [row.ids for row in self.rows]

    def put(self, tokens: Tensor) -> None:
        if tokens.dim() > 1:  # the prompt, which is none of the answer
            return
        for row, token in enumerate(tokens.tolist()):
            self.ended[row] |= token == self.backbone.end_of_turn
            if self.ended[row]:
                continue
            self.ended[row] = len(self.rows[row].ids) + 1 >= self.limits[row]
            self.rows[row].add([token], last=self.ended[row])

    def end(self) -> None:
        for row in self.rows:
            row.add([], last=True)


class _Left(Exception):
    """Nobody waits for the next piece."""


def pieces(work: Callable[[Callable[[str], None], Callable[[], bool]], None]) -> Loop[str, None, None]:
    """What `work` gives, from a thread of its own that rests while the loop has a piece; leaving the loop ends it.

    So the work is done within the caller's `next`: what the caller holds there, such as a model, the work holds too,
    and between two pieces nobody does.

    Args:
        work: takes a function that it gives each piece to, and one that says whether to stop.
    """
    given: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
    wanted, left = threading.Semaphore(0), threading.Event()

    def give(piece: str) -> None:
        given.put(piece)
        wanted.acquire()
        if left.is_set():
            raise _Left  # without another step, for which nobody may hold the model

    def run() -> None:
        try:
            work(give, left.is_set)
            given.put(None)
        except BaseException as error:  # raised in the thread that reads
            given.put(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        while (piece := given.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
            wanted.release()
    finally:
        left.set()
        wanted.release()
        worker.join()
