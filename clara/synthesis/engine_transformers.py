"""Transformers in this process: slower than vLLM, runs wherever torch does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clara.synthesis.engine import Reply, Request, failure, overflow

BATCH_SIZE = 16
"""Requests decoded together."""
BATCHES_AHEAD = 4
"""Batches' worth of requests taken before one is cut: the more there are, the better lengths match."""


@dataclass
class _Row:
    key: str
    request: Request
    ids: list[int]
    allowed: list[list[int]]
    """Token ids of each choice, end of turn included; empty when the reply is free."""


class TransformersEngine:
    """Batches by prompt length, one key-value cache a batch, each row drawn by its own generator."""

    name = "transformers"

    def __init__(self, folder: Path, *, dtype: str, identity: str) -> None:
        import torch

        from clara.model.model_folder import read_model, read_tokenizer

        self.model = identity
        self.capacity = BATCH_SIZE * BATCHES_AHEAD
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer: Any = read_tokenizer(folder)
        self._model: Any = read_model(folder, dtype=dtype).to(self._device).eval()
        self._context = int(getattr(self._model.config, "max_position_embeddings", 1 << 30))
        end = self._model.generation_config.eos_token_id
        ends = end if isinstance(end, list) else [end]
        self._ends = {token for token in [*ends, self._tokenizer.eos_token_id] if token is not None}
        self._rows: list[_Row] = []
        self._refused: list[tuple[str, Reply]] = []

    def submit(self, key: str, request: Request) -> None:
        """Takes the request; one that does not fit the context fails at once."""
        ids = self._tokenizer.apply_chat_template(
            [message._asdict() for message in request.messages], add_generation_prompt=True, return_dict=False
        )
        ids = [*ids, *self._encode(request.beginning)]
        if len(ids) + request.sampling.max_tokens > self._context:
            self._refused.append((key, failure(overflow(len(ids), request.sampling.max_tokens, self._context))))
            return
        end = min(self._ends)
        allowed = [[*self._encode(choice), end] for choice in request.choices]
        self._rows.append(_Row(key, request, ids, allowed))

    def collect(self) -> list[tuple[str, Reply]]:
        """Replies of the batch of longest prompts among those that wait."""
        if self._refused or not self._rows:
            done, self._refused = self._refused, []
            return done
        self._rows.sort(key=lambda row: (len(row.ids), row.key))
        batch, self._rows = self._rows[-BATCH_SIZE:], self._rows[:-BATCH_SIZE]
        return self._decode_in_memory(batch)

    def close(self) -> None:
        """Drops the model and its memory."""
        del self._model

    def _decode_in_memory(self, rows: list[_Row]) -> list[tuple[str, Reply]]:
        """The replies of a batch; where memory does not hold it, of its halves; a row that does not fit alone fails."""
        try:
            return self._decode(rows)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        if len(rows) == 1:
            return [(rows[0].key, failure(f"out of memory with a prompt of {len(rows[0].ids)} tokens: {reason}"))]
        middle = len(rows) // 2
        return self._decode_in_memory(rows[:middle]) + self._decode_in_memory(rows[middle:])

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _decode(self, rows: list[_Row]) -> list[tuple[str, Reply]]:
        import torch

        width = max(len(row.ids) for row in rows)
        # Left padding keeps the last position of every row at the same column.
        pad = min(self._ends) if self._ends else 0
        tokens = torch.tensor([[pad] * (width - len(row.ids)) + row.ids for row in rows], device=self._device)
        mask = torch.tensor([[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows], device=self._device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        draws = [torch.Generator().manual_seed(row.request.sampling.seed) for row in rows]
        replies: list[list[int]] = [[] for _ in rows]
        open_rows = set(range(len(rows)))
        cache = None
        with torch.inference_mode():
            while open_rows:
                output = self._model(
                    input_ids=tokens,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    logits_to_keep=1,
                )
                cache = output.past_key_values
                logits = output.logits[:, -1].float().cpu()
                chosen = [pad] * len(rows)
                for index in sorted(open_rows):
                    chosen[index] = _draw(logits[index], rows[index], replies[index], draws[index])
                    replies[index].append(chosen[index])
                    limit = rows[index].request.sampling.max_tokens
                    if chosen[index] in self._ends or len(replies[index]) >= limit:
                        open_rows.discard(index)
                tokens = torch.tensor(chosen, device=self._device)[:, None]
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                positions = positions[:, -1:] + 1
        return [(row.key, self._reply(row, reply)) for row, reply in zip(rows, replies, strict=True)]

    def _reply(self, row: _Row, ids: list[int]) -> Reply:
        ended = ids[-1] in self._ends
        # Decoded with the beginning, because many tokenizers drop the space before a text's first word.
        whole = [*self._encode(row.request.beginning), *(ids[:-1] if ended else ids)]
        text = self._tokenizer.decode(whole, skip_special_tokens=True)
        return Reply(text, "stop" if ended else "length", len(row.ids), len(ids))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up; on a CPU torch has no class of its own for that."""
    import torch

    told = isinstance(error, RuntimeError) and "not enough memory" in str(error)
    return told or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def _draw(logits: Any, row: _Row, so_far: list[int], generator: Any) -> int:
    """The next token of one row: the likeliest at temperature 0, else one drawn from the nucleus."""
    import torch

    if row.allowed:
        count = len(so_far)
        going = {choice[count] for choice in row.allowed if choice[:count] == so_far}
        closed = torch.full_like(logits, float("-inf"))
        keep = sorted(going)
        closed[keep] = logits[keep]
        logits = closed
    sampling = row.request.sampling
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities, order = torch.softmax(logits / sampling.temperature, dim=-1).sort(descending=True, stable=True)
    # A token stays while those before it hold less than top_p; the first one always stays.
    probabilities[probabilities.cumsum(0) - probabilities >= sampling.top_p] = 0
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])
