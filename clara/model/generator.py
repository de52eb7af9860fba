"""The generator: prompts whose document slots are filled with memory vectors, their losses, and answers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clara.errors import CheckpointError
from clara.losses import token_losses
from clara.model.backbone import LoadedBackbone
from clara.model.padding import left_padded, right_padded
from clara.tokens import AddedIds


class TargetLosses(NamedTuple):
    """-log p of the targets of a batch, in nats."""

    sums: Float[Tensor, " batch"]
    counts: Float[Tensor, " batch"]
    """Target tokens, the end of the turn included."""


class Generator(nn.Module):
    """The generator's own row: the embedding of SEP, which closes a document's slot."""

    def __init__(self, row: Float[Tensor, " dim"]) -> None:
        super().__init__()
        self.rows = nn.Parameter(row.float()[None])

    def embed(
        self,
        backbone: LoadedBackbone,
        ids: Tensor,
        memories: Float[Tensor, "documents memory dim"] | None,
        added: AddedIds,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Input embeddings of `ids`, on the host; the SLOT positions take the memory vectors in order.

        Raises:
            CheckpointError: the slots do not match the vectors given.
        """
        # Places are found on the host: a mask's places on a device would have to be waited for.
        places = (ids == added.slot).flatten().nonzero()[:, 0]
        given = 0 if memories is None else memories.shape[0] * memories.shape[1]
        if len(places) != given:
            raise CheckpointError(
                f"the prompts have places for {len(places)} memory vectors, but {given} came; pass one memory a slot"
            )
        there = backbone.put(ids)
        plain = backbone.model.get_input_embeddings()(there.clamp(max=added.vocab_size - 1))
        embedded = torch.where((there == added.sep)[..., None], self.rows[0].to(plain.dtype), plain)
        if memories is None:
            return embedded
        vectors = backbone.put(memories).flatten(0, 1).to(embedded.dtype)
        filled = embedded.flatten(0, 1).index_copy(0, backbone.put(places), vectors)
        return filled.view_as(embedded)

    def losses(
        self,
        backbone: LoadedBackbone,
        prompts: Sequence[list[int]],
        targets: Sequence[list[int]],
        memories: Float[Tensor, "documents memory dim"] | None,
        added: AddedIds,
    ) -> TargetLosses:
        """Losses of the targets after their prompts; the head runs only where a target token is predicted.

        Raises:
            CheckpointError: the slots do not match the memories.
        """
        rows = [prompt + target for prompt, target in zip(prompts, targets, strict=True)]
        ids = right_padded(rows)
        hidden = backbone.states(self.embed(backbone, ids, memories, added)).flatten(0, 1)
        lengths = torch.tensor([[len(prompt), len(target)] for prompt, target in zip(prompts, targets, strict=True)])
        offsets = torch.arange(ids.shape[1])
        predicting = (offsets >= lengths[:, :1] - 1) & (offsets < lengths.sum(1, keepdim=True) - 1)
        wanted = torch.tensor([token for target in targets for token in target])
        places = backbone.put(predicting.flatten().nonzero()[:, 0])
        losses = token_losses(backbone.logits(hidden.index_select(0, places)), backbone.put(wanted))
        owner = backbone.put(torch.repeat_interleave(torch.arange(len(rows)), lengths[:, 1]))
        sums = torch.zeros(len(rows), device=losses.device).index_add(0, owner, losses)
        return TargetLosses(sums, backbone.put(lengths[:, 1].float()))


@torch.inference_mode()
def generate(
    backbone: LoadedBackbone,
    generator: Generator | None,
    prompts: Sequence[list[int]],
    memories: Float[Tensor, "documents memory dim"] | None,
    added: AddedIds,
    *,
    max_new_tokens: int,
) -> list[str]:
    """Greedy answers, in the order of the prompts, with the adapter that is at work or merged.

    Args:
        backbone: writes.
        generator: embeds the slots; None for prompts of plain text.
        prompts: up to where the answer begins.
        memories: one a slot, in order.
        added: ids of the added tokens.
        max_new_tokens: tokens of an answer at most.

    Raises:
        CheckpointError: the slots do not match the memories.
        ConfigError: a prompt and its answer are longer than the model's context.
    """
    ids, mask = left_padded(prompts)
    length = ids.shape[1] + max_new_tokens
    backbone.require_room(length, f"the longest prompt with {max_new_tokens} tokens of answer")
    table = backbone.model.get_input_embeddings()
    written = backbone.model.generate(
        inputs_embeds=generator.embed(backbone, ids, memories, added) if generator else table(backbone.put(ids)),
        attention_mask=backbone.put(mask),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        use_cache=True,
        eos_token_id=backbone.end_of_turn,
        pad_token_id=backbone.end_of_turn,
    )
    return [text.strip() for text in backbone.tokenizer.batch_decode(written, skip_special_tokens=True)]
