"""Text to memory vectors (paper, section 2.1): the compressor for documents, the query reasoner for questions."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clara.model.backbone import LoadedBackbone
from clara.model.padding import right_padded
from clara.tokens import AddedIds, CompressorInput

SALIENCE_FLOOR = 0.001
"""Weight of a token that every document has, next to 1 for the rarest."""
GATE_START = 0.1
"""First weight of the hidden states in the pooled form: small, so that memories start as plain input embeddings."""


class Memories(NamedTuple):
    """Memory vectors of a batch of texts, and the means that the alignment loss compares."""

    vectors: Float[Tensor, "batch memory dim"]
    text_mean: Float[Tensor, "batch dim"]
    """Mean last hidden state over the text's tokens, frame excluded."""
    memory_mean: Float[Tensor, "batch dim"]
    """Mean last hidden state over the memory tokens."""


class MemoryEncoder(nn.Module):
    """The added rows (ENC and memory tokens) of one role, and the form of its memories.

    Args:
        rows: initial embeddings of ENC and the memory tokens.
        form: `plain` returns last hidden states; `pooled` adds them, normalised and gated, to segment means of the
            text's input embeddings, in which a token counts by its salience.
        vocab_size: of the backbone.
    """

    question_map: nn.Parameter | None
    """Of a query reasoner that has one: what `ClaraModel.encode` turns its vectors by, `[dim, dim]`; 0 changes none."""
    document_map: nn.Parameter | None
    """Of a query reasoner that has one: what `ClaraModel.compared` turns documents by, likewise."""
    salience: Tensor
    """Weight of each token in a segment's mean, `[vocab]`; not learned, but part of the role's state."""

    def __init__(self, rows: Float[Tensor, "added dim"], form: Literal["plain", "pooled"], *, vocab_size: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows.float())
        self.form = form
        self.register_parameter("question_map", None)
        self.register_parameter("document_map", None)
        self.gate = nn.Parameter(torch.tensor(GATE_START)) if form == "pooled" else None
        if form == "pooled":
            self.register_buffer("salience", torch.ones(vocab_size))

    def forward(self, backbone: LoadedBackbone, inputs: Sequence[CompressorInput], added: AddedIds) -> Memories:
        """Memories of `inputs`; the caller has put the role's adapter to work.

        Padding is on the right, where a causal model cannot see it: it changes nothing and needs no mask. The head is
        never run and no layer but the last is kept.
        """
        host, numbers = _tensors(inputs)
        ids, (lengths, starts, sizes) = backbone.put(host), backbone.put(numbers).unbind(1)
        plain = backbone.model.get_input_embeddings()(ids.clamp(max=added.vocab_size - 1))
        # Each added token takes its row by its place, found on the host. Indexing rows by all ids would give the same
        # and send back the gradient of every token of the text to one row, which a GPU adds up one after the other.
        places = (host >= added.vocab_size).flatten().nonzero()[:, 0]
        own = self.rows.index_select(0, backbone.put(host.flatten()[places] - added.vocab_size)).to(plain.dtype)
        embedded = plain.flatten(0, 1).index_copy(0, backbone.put(places), own).view_as(plain)
        hidden = backbone.states(embedded)
        positions = (lengths[:, None] - added.num_memory) + torch.arange(added.num_memory, device=ids.device)
        states = hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))
        vectors = states
        if self.gate is not None:
            weights = self.salience[ids.clamp(max=added.vocab_size - 1)]
            pooled = segment_means(plain, starts, sizes, added.num_memory, weights=weights)
            scaled = normalised(states.float()) * backbone.embedding_scale
            vectors = (pooled + self.gate * scaled).to(plain.dtype)
        offsets = torch.arange(ids.shape[1], device=ids.device)
        inside = (offsets >= starts[:, None]) & (offsets < (starts + sizes)[:, None])
        text_mean = (hidden.float() * inside[..., None]).sum(1) / sizes.clamp(min=1)[:, None]
        return Memories(vectors, text_mean, states.float().mean(1))


def segment_means(
    values: Float[Tensor, "batch tokens dim"],
    starts: Int[Tensor, " batch"],
    sizes: Int[Tensor, " batch"],
    num_segments: int,
    *,
    weights: Float[Tensor, "batch tokens"] | None = None,
) -> Float[Tensor, "batch segments dim"]:
    """Weighted mean of each of `num_segments` nearly equal segments of values[starts : starts + sizes], float32.

    Segment j of n values spans [⌊j n / l⌋, ⌈(j+1) n / l⌉): with fewer values than segments neighbours share values.
    An empty span gives zeros.
    """
    weight = torch.ones(values.shape[:2], device=values.device) if weights is None else weights.float()
    columns = torch.cat([values.float() * weight[..., None], weight[..., None]], dim=-1)
    sums = torch.nn.functional.pad(columns.cumsum(1), (0, 0, 1, 0))
    steps = torch.arange(num_segments, device=values.device)
    first = starts[:, None] + steps * sizes[:, None] // num_segments
    last = starts[:, None] + ((steps + 1) * sizes[:, None] + num_segments - 1) // num_segments

    def at(bounds: Tensor) -> Tensor:
        return sums.gather(1, bounds[..., None].expand(-1, -1, sums.shape[-1]))

    spans = at(last) - at(first)
    return spans[..., :-1] / spans[..., -1:].clamp(min=1e-6)


def token_salience(documents: Iterable[Sequence[int]], vocab_size: int, *, power: float) -> Float[Tensor, " vocab"]:
    """A power of the inverse document frequency of every token, scaled to at most 1.

    In the mean of nine embeddings the words that every text has drown those that tell texts apart. With the fourth
    power a memory is close to the embedding of its segment's rarest word, which the generator learns to read at ratio
    16 within a dozen steps; with equal or squared weights it does not. A map of questions ranks documents better
    with the first power (docs/experiments.md).

    Args:
        documents: token ids of each, one in memory at a time.
        vocab_size: of the backbone; tokens in no document count most.
        power: at least 0, which makes all weights 1.
    """
    seen, number = torch.zeros(vocab_size), 0
    for number, ids in enumerate(documents, 1):  # noqa: B007
        seen[torch.tensor(sorted(set(ids)), dtype=torch.long)] += 1
    information = torch.log((number + 1) / (seen + 1))
    return (information / information.max().clamp(min=1e-6)).pow(power).clamp(min=SALIENCE_FLOOR)


def normalised(states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
    """`states` divided by their root mean square."""
    return states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + 1e-6)


def _tensors(inputs: Sequence[CompressorInput]) -> tuple[Tensor, Tensor]:
    """Ids `[batch, tokens]`, and of each text its length with the frame, its start and its length `[batch, 3]`."""
    ids = right_padded([item.ids for item in inputs])
    return ids, torch.tensor([[len(item.ids), item.text_start, item.text_length] for item in inputs])
