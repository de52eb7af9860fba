"""Checkpoints: adapters and added rows as safetensors, and a readable card that says what they are."""

import hashlib
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import save_file
from torch import Tensor

from clara.errors import CheckpointError
from clara.files import atomic_path, sha256_file, write_json
from clara.model import backbone as backbones
from clara.model import first_use, packed
from clara.model.adapters import COMPRESSOR, QUERY_REASONER
from clara.model.backbone_card import BackboneCard, read_backbone_card
from clara.model.clara import ClaraModel, Shape
from clara.records import read_card_file

CARD_SCHEMA = 1
WEIGHTS = "adapters.safetensors"


@dataclass(frozen=True)
class CheckpointCard:
    """What `card.json` says of a checkpoint."""

    stage: str
    """The stage that made it: pretraining, instruction or joint."""
    shape: Shape
    backbone: str
    """The backbone's card, relative to this card."""
    model_hash: str
    """The backbone's hash; another backbone is refused."""
    tokenizer_hash: str
    learned: list[str]
    """Roles that learned in this stage."""
    roles: list[str]
    """Roles that the weights hold."""
    parent: str | None = None
    """SHA-256 of the weights that the stage started from."""
    weights_hash: str = ""
    """SHA-256 of `adapters.safetensors`."""
    schema: int = field(default=CARD_SCHEMA)
    backbone_source: str | None = None
    """What the backbone is made from on first use, where its card is not there."""


def save(
    folder: Path, model: ClaraModel, *, stage: str, learned: list[str], parent: str | None, card_name: str
) -> CheckpointCard:
    """Writes weights and card to `folder`, the card last: where it is, the checkpoint is whole."""
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(state(model), temporary)
    origin = model.backbone.card
    card = CheckpointCard(
        stage=stage,
        shape=model.shape,
        backbone=os.path.relpath(origin.path.resolve(), folder.resolve()),
        model_hash=origin.model_hash,
        tokenizer_hash=origin.tokenizer_hash,
        learned=learned,
        roles=list(model.roles),
        parent=parent,
        weights_hash=sha256_file(folder / WEIGHTS),
    )
    write_json(folder / card_name, asdict(card))
    return card


def state(model: ClaraModel) -> dict[str, Tensor]:
    """All roles' parameters by `ROLE.adapter.…` and `ROLE.own.…`, float32, on the CPU."""
    tensors = {}
    for role, module in model.roles.items():
        for key, value in model.adapters.state(role).items():
            tensors[f"{role}.adapter.{key}"] = value
        for key, value in module.state_dict().items():
            tensors[f"{role}.own.{key}"] = value
    return {key: value.detach().float().cpu().contiguous().clone() for key, value in tensors.items()}


def role_hash(tensors: dict[str, Tensor], role: str, *, model_hash: str) -> str:
    """SHA-256 over the parameters of one role, as stored, and its backbone's hash."""
    digest = hashlib.sha256(model_hash.encode())
    for key, value in sorted(tensors.items()):
        if key.startswith(f"{role}."):
            digest.update(key.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def load_state(model: ClaraModel, tensors: dict[str, Tensor]) -> None:
    """Fills a model that has the same roles, strictly.

    Raises:
        CheckpointError: a tensor is missing, left over or of another shape.
    """
    expected = state(model)
    odd = sorted(set(expected) ^ set(tensors))
    if odd:
        raise CheckpointError(f"the checkpoint's tensors do not fit the model: {len(odd)} differ, first {odd[0]}")
    for role, module in model.roles.items():
        prefix = f"{role}.adapter."
        model.adapters.load(role, {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        own = {k.removeprefix(f"{role}.own."): v for k, v in tensors.items() if k.startswith(f"{role}.own.")}
        for key, value in module.state_dict().items():
            if value.shape != own[key].shape:
                raise CheckpointError(f"{role}.own.{key}: expected {list(value.shape)}, found {list(own[key].shape)}")
        module.load_state_dict(own)


def read_card(path: Path) -> CheckpointCard:
    """The card of a checkpoint.

    Raises:
        CheckpointError: it is no checkpoint card, or its weights are missing or damaged.
    """
    card = read_card_file(CheckpointCard, path, "checkpoint card", remedy="name the card.json of a training stage")
    if card.schema != CARD_SCHEMA:
        raise CheckpointError(f"{path} has schema {card.schema}, this version reads {CARD_SCHEMA}; make it again")
    weights = path.parent / WEIGHTS
    if not weights.exists():
        raise CheckpointError(f"{weights} is missing; run the stage {card.stage} again")
    if sha256_file(weights) != card.weights_hash:
        raise CheckpointError(f"{weights} is damaged: its SHA-256 is not the card's; delete {path} and run again")
    return card


def read_backbone(path: Path, card: CheckpointCard) -> BackboneCard:
    """The card of the backbone that the checkpoint at `path` was trained on; one passed on without it makes it.

    Raises:
        CheckpointError: the backbone there is another one now.
    """
    place = (path.parent / card.backbone).resolve()
    if card.backbone_source is not None and not place.exists():
        place = first_use.prepared(card.backbone_source)
    origin = read_backbone_card(place)
    for name, ours, theirs in (
        ("weights", origin.model_hash, card.model_hash),
        ("tokenizer", origin.tokenizer_hash, card.tokenizer_hash),
    ):
        if ours != theirs:
            raise CheckpointError(
                f"{path} was trained on a backbone whose {name} hash is {theirs[:12]}, but {origin.folder} has "
                f"{ours[:12]}; use the backbone it was trained on or train again"
            )
    return origin


class LoadedCheckpoint(NamedTuple):
    """A model and what is known of it."""

    model: ClaraModel
    card: CheckpointCard
    compressor_hash: str
    """Names the compressor: a store built by another one is refused."""


def load(
    path: Path,
    *,
    dtype: str,
    attention: str = "sdpa",
    compiled: bool = False,
    cpu_threads: int | None = None,
    trust_remote_code: bool = False,
    verified: bool = False,
    inference: bool = False,
    device: str | None = None,
) -> LoadedCheckpoint:
    """The model of the checkpoint whose card is `path`, in evaluation mode, nothing learning.

    Args:
        path: a `card.json`.
        dtype: precision of the backbone.
        attention: attention implementation.
        compiled: whether torch compiles the body for training and compressing.
        cpu_threads: threads of this process's computations on a CPU (`clara.model.threads`).
        trust_remote_code: whether code of a Hub model may run.
        verified: compare the backbone's files with the hashes of its card; a second for each 1.5 GB.
        inference: take the adapters into the backbone's precision as well: faster, but no longer trainable.
        device: as torch names it; None takes a GPU where there is one, else the CPU.

    Raises:
        CheckpointError: weights are damaged, or the backbone is not the one it was trained on.
    """
    card = read_card(path)
    origin = read_backbone(path, card)
    loaded = backbones.load(
        origin,
        dtype=dtype,
        attention=attention,
        compiled=compiled,
        cpu_threads=cpu_threads,
        trust_remote_code=trust_remote_code,
        verified=verified,
        device=device,
    )
    tensors = packed.read(path.parent / WEIGHTS)
    _require_shape(card, tensors, path)
    model = ClaraModel(loaded, card.shape)
    if QUERY_REASONER in card.roles:
        maps = {name: f"{QUERY_REASONER}.own.{name}" in tensors for name in ("question_map", "document_map")}
        model.add_query_reasoner("random", **maps)
    load_state(model, tensors)
    model.requires_grad_(False)
    if inference:
        model.adapters.cast(model.backbone.dtype)
    return LoadedCheckpoint(model.eval(), card, role_hash(tensors, COMPRESSOR, model_hash=card.model_hash))


def _require_shape(card: CheckpointCard, tensors: dict[str, Tensor], path: Path) -> None:
    """Refuses a card that says other sizes than its weights have, before memory is taken for them."""
    rows = tensors.get(f"{COMPRESSOR}.own.rows")
    ranks = {tensor.shape[0] for key, tensor in tensors.items() if key.endswith(".A")}
    found = (None if rows is None else rows.shape[0] - 1, ranks)
    if found != (card.shape.num_memory, {card.shape.rank}):
        raise CheckpointError(
            f"{path} says num_memory {card.shape.num_memory} and rank {card.shape.rank}, but its weights have "
            f"{found[0]} and {sorted(ranks)}; restore the card that was written with them"
        )
