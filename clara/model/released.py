"""Importing released checkpoints, and the released implementation's frame for comparisons with it."""

import re
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from clara.environment import write_provenance
from clara.errors import CheckpointError, ConfigError, ResourceError
from clara.files import read_json
from clara.model import backbone as backbones
from clara.model import backbone_folder, checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.backbone_card import BackboneCard, read_backbone_card
from clara.model.checkpoint import CheckpointCard
from clara.model.clara import ClaraModel, Shape
from clara.model.released_files import ADAPTERS, CONFIG, FIRST_LAST, Released, nearly_equal, read_released
from clara.tokens import CompressorInput

ALPHA_OVER_RANK = 2
DROPOUT = 0.1
"""As in the released code, which stores neither."""
FEW = 64
"""Embeddings that are looked up to see whether the base scales them."""
ADDED_TOKEN = re.compile(r"<MEM(\d+)>|<SEP>")


def import_released(source: Path, target: Path, *, base: str | None = None) -> CheckpointCard:
    """Writes the released checkpoint in `source` as ours to `target`, for `clara.load(target)`.

    Args:
        source: holds the three files of the released format.
        target: takes `card.json`, `adapters.safetensors`, `settings.json`, `environment.json`, and the base model's
            card in `backbone/`.
        base: the base model, as a folder or Hub name; None takes the one that the checkpoint names.

    Raises:
        DataError, CheckpointError: the checkpoint is incomplete or of another kind, or the base is not the one that it
            was trained on, says which part differs; or `target` holds a checkpoint that was trained here.
    """
    _require_free(target)
    released = read_released(source)
    origin = _prepare_base(released, base, target / "backbone" / "card.json")
    dtype = _dtype(origin)
    model = to_model(released, backbones.load(origin, dtype=dtype))
    write_provenance(
        target,
        {
            "imported_from": str(source),
            "backbone": {"source": origin.source, "dtype": dtype, "attention": "sdpa"},
            "ratio": released.ratio,
            released.stage: {"top_k": released.top_k},
        },
        seed=None,
        inputs=[source / name for name in (CONFIG, ADAPTERS, FIRST_LAST)],
    )
    roles = [COMPRESSOR, GENERATOR] if released.stage != "joint" else [QUERY_REASONER, GENERATOR]
    return checkpoint.save(target, model, stage=released.stage, learned=roles, parent=None, card_name="card.json")


def to_model(released: Released, backbone: LoadedBackbone) -> ClaraModel:
    """Our model with the parameters of a released checkpoint, in evaluation mode.

    Raises:
        CheckpointError: the backbone is not the checkpoint's base.
    """
    _require_base(released, backbone)
    shape = Shape(
        num_memory=released.num_memory,
        document_max_tokens=released.document_max_tokens,
        form="plain",
        rank=released.rank,
        alpha=ALPHA_OVER_RANK * released.rank,
        dropout=DROPOUT,
    )
    model = ClaraModel(backbone, shape)
    if QUERY_REASONER in released.adapters:
        model.add_query_reasoner("random")
    rows = released.added(released.input_table)
    for role, matrices in released.adapters.items():
        model.adapters.load(role, matrices)
        own = rows.sep[None] if role == GENERATOR else torch.cat([rows.enc[None], rows.memory])
        model.roles[role].load_state_dict({"rows": own})
    return model.eval()


def _require_free(target: Path) -> None:
    """Refuses a folder whose checkpoint was made by training, not by an earlier import."""
    settings = target / "settings.json"
    known = read_json(settings) if settings.exists() else {}
    if (target / "card.json").exists() and not (isinstance(known, dict) and "imported_from" in known):
        raise CheckpointError(f"{target} holds a checkpoint that was not imported; name another folder for this one")


def _prepare_base(released: Released, base: str | None, card: Path) -> BackboneCard:
    named = base or released.base
    beside = [Path(named), released.source / named, released.source.parent / named]
    found = next((str(folder) for folder in beside if folder.is_dir()), named)
    if (Path(found) / "card.json").exists():  # a backbone that was prepared before, such as results/RUN/backbone
        return read_backbone_card(Path(found) / "card.json")
    try:
        return backbone_folder.prepare(found, card, seed=0, revision=None, trust_remote_code=False)
    except (ConfigError, ResourceError) as error:
        raise CheckpointError(
            f"the base model {named} was neither found here nor fetched; name its folder or Hub name with --base"
        ) from error


def _dtype(origin: BackboneCard) -> str:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(origin.folder).get_text_config()
    return str(config.dtype or torch.float32).removeprefix("torch.")


def _require_base(released: Released, backbone: LoadedBackbone) -> None:
    """Refuses a base by the first thing that differs: width, layers, vocabulary, end of text, embeddings, head."""

    def refuse(what: str) -> CheckpointError:
        return CheckpointError(
            f"{backbone.card.folder} is not the base model of {released.source}: {what}; name the right one with --base"
        )

    width = released.input_table.shape[1]
    if width != backbone.hidden_size:
        raise refuse(f"the checkpoint has hidden size {width}, the model {backbone.hidden_size}")
    layers = 1 + max(int(key.split(".layers.")[1].split(".")[0]) for key in released.adapters[COMPRESSOR])
    own_layers = backbone.model.config.get_text_config().num_hidden_layers
    if layers != own_layers:
        raise refuse(f"the checkpoint has {layers} layers, the model {own_layers}")
    if released.num_base_tokens != len(backbone.tokenizer):
        raise refuse(
            f"its embedding table has {released.input_table.shape[0]} rows, that is a vocabulary of "
            f"{released.num_base_tokens} and {released.num_memory} + 3 added tokens, the model's vocabulary is "
            f"{len(backbone.tokenizer)}"
        )
    if backbone.tokenizer.eos_token_id != backbone.end_of_turn:
        raise refuse("its texts were closed by the tokenizer's EOS, with which the chat template ends no turn")
    known = slice(released.num_base_tokens)
    if not nearly_equal(released.input_table[known], backbones.embedding_weight(backbone)[known].cpu()):
        raise refuse("the input embeddings of the base vocabulary differ")
    look_up = backbone.model.get_input_embeddings()
    few = torch.arange(min(released.num_base_tokens, FEW), device=backbone.device)
    if not nearly_equal(look_up(few).detach().cpu(), look_up.weight[few].detach().cpu()):
        # Under the released code's transformers 4, Gemma scales whatever comes in, memories too; under 5, words alone.
        raise refuse("it scales the embeddings that it looks up, of which the released format says nothing")
    tied = backbone.model.get_output_embeddings().weight is backbones.embedding_weight(backbone)
    if not tied and not released.has_own_head:
        raise refuse("the model has a head of its own, the checkpoint has no lm_head.weight")
    if not nearly_equal(released.output_table[known], backbone.model.get_output_embeddings().weight[known].cpu()):
        raise refuse("the output embeddings of the base vocabulary differ")


def released_input(model: ClaraModel, text: str) -> CompressorInput:
    """The compressor's input whose text mean takes in the frame, as the released alignment loss does."""
    plain = model.tokens.to_compress(text)
    return CompressorInput(plain.ids, 0, len(plain.ids) - model.shape.num_memory)


def released_prompt(model: ClaraModel, text: str) -> list[int]:
    """Ids of a prompt in which memory tokens stand as literal `<MEM0>` … `<SEP>`, the chat template already applied.

    The only place where such strings are parsed: they come from the released implementation, never from a user.
    """
    ids: list[int] = []
    end = 0
    for match in ADDED_TOKEN.finditer(text):
        ids += model.tokens.tokenizer.encode(text[end : match.start()], add_special_tokens=False)
        ids.append(model.added.sep if match[1] is None else model.added.slot)
        end = match.end()
    ids += model.tokens.tokenizer.encode(text[end:], add_special_tokens=False)
    return ids


def released_logits(
    released: Released, backbone: LoadedBackbone, hidden: Float[Tensor, "positions dim"]
) -> Float[Tensor, "positions extended"]:
    """Next-token logits over the released vocabulary, whose softmax includes the added tokens; ours leaves them out."""
    own = backbone.logits(hidden)[:, : released.num_base_tokens]
    added = released.output_table[released.num_base_tokens :].float().to(hidden.device)
    return torch.cat([own, hidden.float() @ added.T], dim=1)
