"""The card of a prepared backbone: where the language model lies, and the hashes it is known by."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from clara.errors import CheckpointError, DataError
from clara.files import sha256_file
from clara.provenance import require_as_made
from clara.records import Record, read_card_file


class _Card(Record):
    """`card.json` as it is written."""

    path: str
    source: str
    model_hash: str
    tokenizer_hash: str
    files: dict[str, str]
    texts: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of what else is read with the model: the template of prompts, the tokenizer's settings, code. Without
    part in `model_hash`, by which checkpoints know their model."""


@dataclass(frozen=True)
class BackboneCard:
    """What `card.json` says of a prepared backbone."""

    path: Path
    """The card itself."""
    folder: Path
    """Folder with config, safetensors and tokenizer."""
    source: str
    model_hash: str
    """SHA-256 over the weight files and their configuration."""
    tokenizer_hash: str
    """SHA-256 of tokenizer.json."""


def read_backbone_card(card: Path) -> BackboneCard:
    """The card of a prepared backbone.

    Raises:
        CheckpointError: it is of another kind, or its folder has lost files.
    """
    content = read_card_file(_Card, card, "backbone card", remedy="delete it and run prepare_backbone again")
    folder = card.parent / content.path
    result = BackboneCard(card, folder, content.source, content.model_hash, content.tokenizer_hash)
    lost = [name for name in [*content.files, "tokenizer.json", *content.texts] if not (folder / name).exists()]
    if lost:
        raise CheckpointError(f"{folder} has lost {', '.join(lost)}; delete {card} and run prepare_backbone again")
    return result


def require_unharmed(card: BackboneCard) -> None:
    """Fails where card, weights, configuration, tokenizer or template are not as they were when it was prepared.

    Raises:
        CheckpointError: names the folder.
    """
    content = read_card_file(_Card, card.path, "backbone card", remedy="delete it and run prepare_backbone again")
    found = {name: sha256_file(card.folder / name) for name in content.files}
    harmed = (
        combined_hash(found) != card.model_hash or sha256_file(card.folder / "tokenizer.json") != card.tokenizer_hash
    )
    harmed |= any(sha256_file(card.folder / name) != digest for name, digest in content.texts.items())
    try:
        require_as_made(card.path, sha256_file(card.path))
    except DataError:
        harmed = True
    if harmed:
        raise CheckpointError(
            f"the language model in {card.folder} is not as it was prepared, a damaged disk or an edit; delete "
            f"{card.path} and run prepare_backbone again"
        )


def combined_hash(hashes: dict[str, str]) -> str:
    """One SHA-256 over those of several files."""
    return hashlib.sha256("".join(f"{name}:{value};" for name, value in sorted(hashes.items())).encode()).hexdigest()
