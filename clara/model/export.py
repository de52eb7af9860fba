"""Export: one role of a checkpoint folded into its language model, as a plain transformers folder."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig

from clara.errors import CheckpointError
from clara.files import write_json
from clara.folders import atomic_folder
from clara.model import backbone as backbones
from clara.model import checkpoint, packed
from clara.model.model_folder import precision_of

OWN = "clara"
"""Folder within the exported one for what a language model has no place for; its loaders do not look there."""


def export(card: Path, role: str, target: Path, *, dtype: str = "float32") -> None:
    """Writes the language model with the adapter of `role` merged in, its tokenizer, and the role's own parameters.

    `target` loads with `AutoModelForCausalLM.from_pretrained` and, like any model, with vLLM. Fed input embeddings, it
    gives what the checkpoint gives with the adapter at work. `clara/own.safetensors` holds the embeddings of the added
    tokens: of the compressor and query reasoner `rows` (ENC, then the memory tokens) and in the pooled form `gate` and
    `salience`, of a query reasoner with maps `question_map` and `document_map`, of the generator `rows` (SEP);
    `clara/card.json` says what they belong to.

    Args:
        card: the checkpoint's `card.json`.
        role: compressor, query_reasoner or generator.
        target: a folder that is empty or not there yet; it becomes whole or stays as it is.
        dtype: precision of the written weights; below float32 the merged weights are rounded.

    Raises:
        CheckpointError: the checkpoint has no such role or is damaged, or `target` holds files.
        ConfigError: `dtype` is no precision.
        ResourceError: `target` cannot be written.
    """
    said = checkpoint.read_card(card)
    if role not in said.roles:
        raise CheckpointError(f"{card} has no {role}; it has {', '.join(said.roles)}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} is a file or is not empty; name a new folder for the exported model")
    precision = precision_of(dtype)
    origin = checkpoint.read_backbone(card, said)
    loaded = backbones.load(origin, dtype="float32")
    tensors = packed.read(card.parent / checkpoint.WEIGHTS)
    _merge(loaded.model, tensors, f"{role}.adapter.", scale=said.shape.alpha / said.shape.rank)
    loaded.model.config.use_cache = True
    loaded.model.generation_config = _generation(origin.folder, loaded.end_of_turn)
    prefix = f"{role}.own."
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    shape = {"num_memory": said.shape.num_memory, "form": said.shape.form}
    document = {"document_max_tokens": said.shape.document_max_tokens}
    with atomic_folder(target) as temporary:
        loaded.model.to(precision).save_pretrained(temporary)
        loaded.tokenizer.save_pretrained(temporary)
        (temporary / OWN).mkdir()
        save_file(own, temporary / OWN / "own.safetensors")
        card_content = {"role": role, **shape, **document, "weights_hash": said.weights_hash}
        write_json(temporary / OWN / "card.json", card_content)


def _merge(model: Any, tensors: dict[str, torch.Tensor], prefix: str, *, scale: float) -> None:
    """Adds scale B A to every layer that the adapter has."""
    for key in sorted(tensors):
        if key.startswith(prefix) and key.endswith(".A"):
            layer = model.get_submodule(key.removeprefix(prefix).removesuffix(".A"))
            update = tensors[key.removesuffix(".A") + ".B"] @ tensors[key]
            layer.weight.data += scale * update.to(layer.weight.device)


def _generation(folder: Path, end_of_turn: int) -> Any:
    """The backbone's own generation settings, which end where its turns end."""
    kind: Any = GenerationConfig
    settings = kind.from_pretrained(folder) if (folder / "generation_config.json").exists() else kind()
    settings.eos_token_id = end_of_turn
    return settings
