"""Transformers in this process: slower than vLLM, runs wherever torch does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clara.synthesis.chat import ChatForm
from clara.synthesis.engine import Reply, Request, failure, overflow

if TYPE_CHECKING:
    from clara.synthesis.decoding import Row

BATCH_SIZE = 16
"""Requests decoded together."""
BATCHES_AHEAD = 4
"""Batches' worth of requests taken before one is cut: the more there are, the better lengths match."""

SMALL = 64
"""Tokens that are read as one with others: no shorter beginning is kept, no shorter difference parts a batch."""


class TransformersEngine:
    """Batches by length of what is to be read; beginnings that prompts share are read once."""

    name = "transformers"

    def __init__(self, folder: Path, *, dtype: str, identity: str) -> None:
        import torch

        from clara.model.attention import settle
        from clara.model.model_folder import placed, read_model, read_tokenizer
        from clara.synthesis.prefixes import Prefixes

        self.model = identity
        self.capacity = BATCH_SIZE * BATCHES_AHEAD
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer: Any = read_tokenizer(folder)
        self._chat = ChatForm(self._tokenizer)
        self._model: Any = placed(read_model(folder, dtype=dtype), self._device, dtype)
        settle(self._model)
        # Of a slice, such as the last positions, torch would copy the whole output head for each row.
        self._model.get_output_embeddings().register_forward_pre_hook(
            lambda head, given: tuple(states.contiguous() for states in given)
        )
        self._context = int(getattr(self._model.config, "max_position_embeddings", 1 << 30))
        end = self._model.generation_config.eos_token_id
        ends = end if isinstance(end, list) else [end]
        self._ends = {token for token in [*ends, self._tokenizer.eos_token_id] if token is not None}
        self._prefixes = Prefixes(self._model)
        self._rows: list[Row] = []
        self._requests: dict[str, Request] = {}
        self._refused: list[tuple[str, Reply]] = []

    def submit(self, key: str, request: Request) -> None:
        """Takes the request; one that does not fit the context fails at once."""
        from clara.synthesis.decoding import Row

        prefix, rest = self._tokens(request)
        length, more = len(prefix) + len(rest), request.sampling.max_tokens
        if length + more > self._context:
            self._refused.append((key, failure(overflow(length, more, self._context))))
            return
        end = min(self._ends)
        allowed = [[*self._encode(choice), end] for choice in request.choices]
        self._requests[key] = request
        self._rows.append(Row(key, prefix, rest, request.sampling, allowed))

    def collect(self) -> list[tuple[str, Reply]]:
        """Replies of one batch among the requests that wait: those whose beginning was read first, longest first."""
        if self._refused or not self._rows:
            done, self._refused = self._refused, []
            return done
        self._rows.sort(key=lambda row: (row.prefix in self._prefixes, len(row.rest), row.prefix, row.key))
        size = _alike([len(row.rest) for row in reversed(self._rows[-BATCH_SIZE:])])
        batch, self._rows = self._rows[-size:], self._rows[:-size]
        return self._decode_in_memory(batch)

    def close(self) -> None:
        """Drops the model and its memory."""
        del self._model, self._prefixes

    def _decode_in_memory(self, rows: list["Row"]) -> list[tuple[str, Reply]]:
        """The replies of a batch; where memory does not hold it, of its halves; a row that does not fit alone fails."""
        try:
            return self._decode(rows)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        self._prefixes.clear()
        if len(rows) == 1:
            del self._requests[rows[0].key]
            return [(rows[0].key, failure(f"out of memory with a prompt of {rows[0].prompt_tokens} tokens: {reason}"))]
        middle = len(rows) // 2
        return self._decode_in_memory(rows[:middle]) + self._decode_in_memory(rows[middle:])

    def _tokens(self, request: Request) -> tuple[tuple[int, ...], list[int]]:
        """A prompt in two: what it has in common with those that part after `request.shared` characters; the rest."""
        ids = [*self._chat.ids(request.messages), *self._encode(request.beginning)]
        *before, last = request.messages
        cut = last.content[: request.shared]
        ends = (self._chat.ids((*before, last._replace(content=cut + other))) for other in ("\n\n0", "\n\nA"))
        same = min(_equal_tokens(ids, other) for other in ends)
        return (tuple(ids[:same]), ids[same:]) if same >= SMALL else ((), ids)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _decode(self, rows: list["Row"]) -> list[tuple[str, Reply]]:
        from clara.synthesis.decoding import decode

        decode(self._model, self._prefixes, rows, self._ends)
        return [(row.key, self._reply(row)) for row in rows]

    def _reply(self, row: "Row") -> Reply:
        request, ids = self._requests.pop(row.key), row.reply
        ended = ids[-1] in self._ends
        # Decoded with the beginning, because many tokenizers drop the space before a text's first word.
        whole = [*self._encode(request.beginning), *(ids[:-1] if ended else ids)]
        text = self._tokenizer.decode(whole, skip_special_tokens=True)
        return Reply(text, "stop" if ended else "length", row.prompt_tokens, len(ids))


def _alike(lengths: list[int]) -> int:
    """How many of some lengths, from the first on, are apart by no more than a factor of two."""
    for number in range(1, len(lengths)):
        if max(lengths[: number + 1]) > 2 * min(lengths[: number + 1]) + SMALL:
            return number
    return len(lengths)


def _equal_tokens(one: list[int], other: list[int]) -> int:
    """How many tokens two prompts have in common, fewer than the first has."""
    pairs = zip(one[:-1], other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one) - 1, len(other)))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up; on a CPU torch has no class of its own for that."""
    import torch

    told = isinstance(error, RuntimeError) and "not enough memory" in str(error)
    return told or isinstance(error, (MemoryError, torch.OutOfMemoryError))
