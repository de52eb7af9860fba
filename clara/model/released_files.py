"""Reading the released checkpoint format: `config.json`, `adapters.pth`, `decoder_first_last_layers.pth`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor

from clara.errors import CheckpointError
from clara.files import read_json
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.records import Record, read_card_file

CONFIG, ADAPTERS, FIRST_LAST = "config.json", "adapters.pth", "decoder_first_last_layers.pth"
INPUT_TABLE, OUTPUT_TABLE = "model.embed_tokens.weight", "lm_head.weight"
ROLE_NAMES = {
    COMPRESSOR: "encoder_adapter",
    GENERATOR: "decoder_adapter",
    QUERY_REASONER: "query_reasoner_adapter",
}
STAGES = {"stage1": "pretraining", "stage1_2": "instruction", "stage2": "joint"}
"""Their names of the stages, and ours."""
NUM_OTHER_TOKENS = 3
"""Added after the memory tokens, in this order: AE, which nothing uses, ENC, SEP."""
DIFFERENT_WAYS = {"lora": True, "sep": True, "different_mem_tokens": True, "compr_model_name": None}
"""Settings of the released code whose other values make another kind of model."""
LAYER = re.compile(r"\.layers\.\d+\.")
BF16_STEP = 2.0**-7
"""Relative difference of two roundings to bfloat16: the tables may have been stored in it."""


@dataclass(frozen=True)
class Released:
    """What a released checkpoint holds."""

    source: Path
    stage: str
    """Our name of the stage."""
    base: str
    """The base model that its configuration names: a Hub name, or a path on the machine of its authors."""
    ratio: int
    document_max_tokens: int
    num_memory: int
    rank: int
    top_k: int
    """Documents that its generator reads."""
    adapters: dict[str, dict[str, Tensor]]
    """Role → matrices by our keys, `LAYER.A` and `LAYER.B`."""
    input_table: Float[Tensor, "extended dim"]
    """Input embeddings: the base's tokens, then the added ones."""
    output_table: Float[Tensor, "extended dim"]
    """The head's rows likewise; the input table itself where the base ties the two."""
    has_own_head: bool

    @property
    def num_base_tokens(self) -> int:
        """Tokens of the base's tokenizer."""
        return self.input_table.shape[0] - self.num_memory - NUM_OTHER_TOKENS

    def added(self, table: Float[Tensor, "extended dim"]) -> "AddedRows":
        """The rows of the added tokens in one of the two tables."""
        rows = table[self.num_base_tokens :].float()
        return AddedRows(memory=rows[: self.num_memory], enc=rows[self.num_memory + 1], sep=rows[self.num_memory + 2])


@dataclass(frozen=True)
class AddedRows:
    """Rows of the added tokens."""

    memory: Float[Tensor, "memory dim"]
    enc: Float[Tensor, " dim"]
    sep: Float[Tensor, " dim"]


def read_released(source: Path) -> Released:
    """The released checkpoint in the folder `source`, on the CPU.

    Raises:
        DataError, CheckpointError: a file is missing or damaged, an adapter is missing or left over, or it is of a
            kind that this project has no equal of.
    """
    config = _config(source)
    stage = STAGES[config.training_stage]
    num_memory = config.doc_max_length // config.compr_rate
    if num_memory < 1:
        raise CheckpointError(
            f"{source / CONFIG}: doc_max_length {config.doc_max_length} // compr_rate {config.compr_rate} leaves "
            "no memory token; name a checkpoint whose rate is at most its document length"
        )
    tables = _named_tensors(_content(source / FIRST_LAST), source / FIRST_LAST)
    if INPUT_TABLE not in tables or tables[INPUT_TABLE].ndim != 2:
        raise CheckpointError(f"{source / FIRST_LAST} lacks {INPUT_TABLE}; fetch the checkpoint again")
    for key in tables.keys() & {INPUT_TABLE, OUTPUT_TABLE}:
        _require_numbers(tables[key], f"{source / FIRST_LAST}, {key}")
    adapters = _adapters(source, stage)
    for name, adapter in adapters.items():
        _same_tables(source, name, adapter, tables)
    return Released(
        source=source,
        stage=stage,
        base=config.decoder_model_name,
        ratio=config.compr_rate,
        document_max_tokens=config.doc_max_length,
        num_memory=num_memory,
        rank=config.lora_r,
        top_k=config.generation_top_k,
        adapters={
            role: _matrices(adapters[name], source, name, rank=config.lora_r)
            for role, name in ROLE_NAMES.items()
            if name in adapters
        },
        input_table=tables[INPUT_TABLE],
        output_table=tables.get(OUTPUT_TABLE, tables[INPUT_TABLE]),
        has_own_head=OUTPUT_TABLE in tables,
    )


class _Config(Record):
    """What is used of the released `config.json`."""

    training_stage: str
    doc_max_length: PositiveInt
    compr_rate: PositiveInt
    lora_r: PositiveInt
    decoder_model_name: str
    generation_top_k: PositiveInt = 1


def _config(source: Path) -> _Config:
    path = source / CONFIG
    config: Any = read_json(path)
    missing = [
        key
        for key, field in _Config.model_fields.items()
        if field.is_required() and (not isinstance(config, dict) or key not in config)
    ]
    if missing:
        raise CheckpointError(
            f"{path} lacks {', '.join(missing)}; name a folder in the released CLaRa format, with {ADAPTERS} beside it"
        )
    read = read_card_file(_Config, path, "released configuration", remedy="fetch the checkpoint again")
    if read.training_stage not in STAGES:
        raise CheckpointError(
            f"{path}: training_stage is {read.training_stage!r}, expected {', '.join(STAGES)}; name a checkpoint "
            "of one of these"
        )
    for key, value in DIFFERENT_WAYS.items():
        if config.get(key, value) != value:
            raise CheckpointError(
                f"{path}: {key} is {config[key]!r}, only {value!r} can be imported; name another checkpoint"
            )
    return read


def _content(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; the released format has {CONFIG}, {ADAPTERS} and {FIRST_LAST}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises many kinds on a damaged file
        said = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} is damaged or holds more than tensors ({said}); fetch it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected tensors by name; fetch it again")
    return content


def _named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """`content`, which must be tensors by name."""
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(f"{path} must hold tensors by name; fetch the checkpoint again")
    return content


def _adapters(source: Path, stage: str) -> dict[str, dict[str, Tensor]]:
    path = source / ADAPTERS
    adapters = {str(name): _named_tensors(adapter, path) for name, adapter in _content(path).items()}
    wanted = {name for role, name in ROLE_NAMES.items() if role != QUERY_REASONER or stage == "joint"}
    if missing := sorted(wanted - set(adapters)):
        raise CheckpointError(
            f"{path} lacks {', '.join(missing)}, which a checkpoint of {stage} has; it holds {', '.join(adapters)}; "
            "fetch a complete checkpoint"
        )
    if extra := sorted(set(adapters) - wanted):
        raise CheckpointError(
            f"{path} holds {', '.join(extra)}, which a checkpoint of {stage} does not have; correct training_stage in "
            f"{source / CONFIG} or name another checkpoint"
        )
    return adapters


def _same_tables(source: Path, name: str, adapter: Mapping[str, Tensor], tables: Mapping[str, Tensor]) -> None:
    """Refuses an adapter whose own copy of a table is not the checkpoint's: the released code has one for all."""
    for key in (INPUT_TABLE, OUTPUT_TABLE):
        copy, table = adapter.get(key), tables.get(key, tables[INPUT_TABLE])
        if copy is not None and not nearly_equal(copy, table):
            raise CheckpointError(
                f"{source / ADAPTERS}, {name}: its copy of {key} differs from {FIRST_LAST}; the two files are of "
                "different checkpoints, fetch both again"
            )


def _matrices(adapter: Mapping[str, Tensor], source: Path, name: str, *, rank: int) -> dict[str, Tensor]:
    matrices, path = {}, source / ADAPTERS
    for key, tensor in adapter.items():
        if key in (INPUT_TABLE, OUTPUT_TABLE):
            continue
        layer, mark, kind = key.removesuffix(".weight").rpartition(".lora_")
        if not mark or kind not in ("A", "B") or not LAYER.search(layer):
            raise CheckpointError(
                f"{path} holds {key}, which is no LoRA matrix of a layer; this kind of adapter cannot be imported"
            )
        _require_numbers(tensor, f"{path}, {name}, {key}")
        if tensor.dim() == 2 and tensor.shape[0 if kind == "A" else 1] != rank:  # before room for another rank is made
            raise CheckpointError(
                f"{path}, {name}, {key} has shape {list(tensor.shape)}, which is not of lora_r {rank} in "
                f"{source / CONFIG}; correct lora_r, or fetch the checkpoint again"
            )
        matrices[f"{layer.removeprefix('base_model.model.')}.{kind}"] = tensor
    if not matrices:
        raise CheckpointError(f"{path}: {name} holds no LoRA matrix; fetch a complete checkpoint")
    return matrices


def _require_numbers(tensor: Tensor, what: str) -> None:
    """Refuses a tensor that holds anything but finite floating-point numbers."""
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        raise CheckpointError(f"{what} holds {tensor.dtype}, expected plain floating-point numbers; fetch it again")
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{what} holds numbers that are not finite; fetch the checkpoint again")


def nearly_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tables are the same but for rounding to bfloat16."""
    return one.shape == other.shape and torch.allclose(one.float(), other.float(), rtol=BF16_STEP, atol=1e-6)
