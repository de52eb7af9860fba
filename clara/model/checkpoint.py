"""Checkpoints: adapters and added rows as safetensors, and a readable card that says what they are."""

import hashlib
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clara.errors import CheckpointError
from clara.files import atomic_path, read_json, sha256_file, write_json
from clara.model import backbone as backbones
from clara.model.adapters import QUERY_REASONER
from clara.model.clara import Clara, Shape

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


def save(
    folder: Path, model: Clara, *, stage: str, learned: list[str], parent: str | None, card_name: str
) -> CheckpointCard:
    """Writes weights and card to `folder`, the card last: where it is, the checkpoint is whole."""
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(state(model), temporary)
    origin = model.backbone.card
    backbone_card = origin.folder.parent / "card.json" if (origin.folder.parent / "card.json").exists() else None
    card = CheckpointCard(
        stage=stage,
        shape=model.shape,
        backbone=os.path.relpath(backbone_card, folder) if backbone_card else str(origin.folder),
        model_hash=origin.model_hash,
        tokenizer_hash=origin.tokenizer_hash,
        learned=learned,
        roles=list(model.roles),
        parent=parent,
        weights_hash=sha256_file(folder / WEIGHTS),
    )
    write_json(folder / card_name, asdict(card))
    return card


def state(model: Clara) -> dict[str, Tensor]:
    """All roles' parameters by `ROLE.adapter.…` and `ROLE.own.…`, float32, on the CPU."""
    tensors = {}
    for role, module in model.roles.items():
        for key, value in model.adapters.state(role).items():
            tensors[f"{role}.adapter.{key}"] = value
        for key, value in module.state_dict().items():
            tensors[f"{role}.own.{key}"] = value
    return {key: value.detach().float().cpu().contiguous().clone() for key, value in tensors.items()}


def role_hash(model: Clara, role: str) -> str:
    """SHA-256 over the parameters of one role, as stored, and its backbone's hash."""
    digest = hashlib.sha256(model.backbone.card.model_hash.encode())
    for key, value in sorted(state(model).items()):
        if key.startswith(f"{role}."):
            digest.update(key.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def load_state(model: Clara, tensors: dict[str, Tensor]) -> None:
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
    content: Any = read_json(path)
    try:
        card = CheckpointCard(**{**content, "shape": Shape(**content["shape"])})
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint card ({error}); name the card.json of a training stage"
        ) from error
    if card.schema != CARD_SCHEMA:
        raise CheckpointError(f"{path} has schema {card.schema}, this version reads {CARD_SCHEMA}; make it again")
    weights = path.parent / WEIGHTS
    if not weights.exists():
        raise CheckpointError(f"{weights} is missing; run the stage {card.stage} again")
    if sha256_file(weights) != card.weights_hash:
        raise CheckpointError(f"{weights} is damaged: its SHA-256 is not the card's; run the stage {card.stage} again")
    return card


def load(
    path: Path, *, dtype: str, attention: str = "sdpa", trust_remote_code: bool = False
) -> tuple[Clara, CheckpointCard]:
    """The model of the checkpoint whose card is `path`, in evaluation mode, nothing learning.

    Raises:
        CheckpointError: weights are damaged, or the backbone is not the one it was trained on.
    """
    card = read_card(path)
    origin = backbones.read_card((path.parent / card.backbone).resolve())
    for name, ours, theirs in (
        ("weights", origin.model_hash, card.model_hash),
        ("tokenizer", origin.tokenizer_hash, card.tokenizer_hash),
    ):
        if ours != theirs:
            raise CheckpointError(
                f"{path} was trained on a backbone whose {name} hash is {theirs[:12]}, but {origin.folder} has {ours[:12]}; "
                "use the backbone it was trained on or train again"
            )
    loaded = backbones.load(origin, dtype=dtype, attention=attention, trust_remote_code=trust_remote_code)
    model = Clara(loaded, card.shape)
    if QUERY_REASONER in card.roles:
        model.add_query_reasoner("random")
    load_state(model, load_file(path.parent / WEIGHTS))
    return model.eval(), card


def for_inference(model: Clara) -> Clara:
    """The same model with its adapters in the backbone's precision; it cannot be trained further."""
    model.adapters.cast(model.backbone.dtype)
    return model.eval()
