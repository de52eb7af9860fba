"""The frozen language model: preparing its folder once, and loading it."""

import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from clara.errors import CheckpointError, ClaraError, ConfigError, DataError
from clara.files import sha256_file, write_json
from clara.folders import atomic_folder
from clara.hub import fetch_model
from clara.model import random_backbone, threads
from clara.model.attention import one_text_a_row, settle
from clara.model.licences import licence_of
from clara.model.model_folder import placed, read_model, read_tokenizer, require_usable
from clara.provenance import require_as_made
from clara.records import Record, read_card_file
from clara.tokens import end_of_turn_id

CARD_SCHEMA = 1
COMPILER = "inductor"
TEXTS = (".json", ".jinja", ".txt", ".model", ".py")
"""Endings of the files that a model and its tokenizer are read from, beside the weights."""
EMBEDDINGS_SAMPLED = 65536
"""Input embeddings that statistics are taken over; bounds memory for very large vocabularies."""


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


@dataclass
class LoadedBackbone:
    """A language model on its device, with what the stages need to know of it."""

    model: Any
    """The causal language model, frozen."""
    tokenizer: Any
    end_of_turn: int
    card: BackboneCard
    compiled: bool = False
    """Whether `states` runs the body as torch compiles it."""

    @cached_property
    def _states(self) -> Any:
        # Compiled once for every adapter and mode, not for every length; writing answers stays as it is.
        return torch.compile(self.body, dynamic=True, backend=COMPILER) if self.compiled else self.body

    @cached_property
    def embedding_scale(self) -> float:
        """Root mean square of an entry of the input embeddings."""
        return float(self.sample_embeddings().pow(2).mean().sqrt())

    @property
    def body(self) -> Any:
        """The model without its head."""
        return self.model.get_decoder()

    def put(self, tensor: Tensor) -> Tensor:
        """`tensor` on the device; the program does not wait for the device to be done with what it has."""
        return tensor.to(self.device, non_blocking=True)

    def states(self, embedded: Tensor) -> Tensor:
        """Last hidden states `[batch, tokens, dim]` of input embeddings of that shape.

        Raises:
            ConfigError: there are more tokens than the model can read.
        """
        self.require_room(embedded.shape[1], "the longest text or prompt of a batch")
        with one_text_a_row():
            states: Tensor = self._states(inputs_embeds=embedded, use_cache=False).last_hidden_state
        return states

    @property
    def context(self) -> int | None:
        """Tokens that the model can read at most; None where its configuration sets no limit."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if limit is None else int(limit)

    def require_room(self, tokens: int, what: str) -> None:
        """Refuses what does not fit the model's context: nothing is ever cut in silence.

        Args:
            tokens: tokens to read and to write, together.
            what: names them in the message.

        Raises:
            ConfigError: they are too many.
        """
        if self.context is not None and tokens > self.context:
            raise ConfigError(
                f"{what} takes {tokens} tokens, but the language model reads at most {self.context}; lower top_k, "
                "document_max_tokens or the length of answers, or raise the ratio"
            )

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def vocab_size(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.get_input_embeddings().weight.dtype
        return dtype

    def sample_embeddings(self) -> Tensor:
        """Input embeddings `[tokens, dim]`, float32, spread over the vocabulary, as the model's body receives them."""
        ids = torch.linspace(0, self.vocab_size - 1, min(self.vocab_size, EMBEDDINGS_SAMPLED), device=self.device)
        with torch.no_grad():
            embedded: Tensor = self.model.get_input_embeddings()(ids.round().long())  # Gemma's table scales its rows
        return embedded.detach().float()  # with checkpointed layers, transformers makes embeddings require gradients

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits, float32, of last hidden states `[positions, dim]`."""
        logits: Tensor = self.model.get_output_embeddings()(hidden).float()
        config = self.model.config.get_text_config()
        if (scale := getattr(config, "logit_scale", None)) is not None:
            logits = logits * scale
        if (divisor := getattr(config, "logits_scaling", None)) is not None:
            logits = logits / divisor
        if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits


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
            "model_hash": _combined(hashes),
            "tokenizer_hash": sha256_file(folder / "tokenizer.json"),
        },
    )
    return read_card(card)


def read_card(card: Path) -> BackboneCard:
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


def load(
    card: BackboneCard,
    *,
    dtype: str,
    attention: str = "sdpa",
    compiled: bool = False,
    cpu_threads: int | None = None,
    trust_remote_code: bool = False,
    verified: bool = False,
) -> LoadedBackbone:
    """The frozen model on the best device, in evaluation mode.

    Args:
        card: of the prepared backbone.
        dtype: precision of weights and arithmetic; a CPU without instructions for it computes in float32.
        attention: attention implementation; on a CPU our own takes the place of eager and sdpa.
        compiled: whether torch compiles the body for training and compressing.
        cpu_threads: threads of this process's computations on a CPU (`clara.model.threads`).
        trust_remote_code: whether code of a Hub model may run.
        verified: compare its files with the hashes of the card first; the steps of the workflow do.

    Raises:
        CheckpointError: the model cannot be used, or a file is not the one that was prepared.
    """
    from transformers import GenerationConfig

    threads.use(cpu_threads)
    if verified:
        require_unharmed(card)
    model = read_model(card.folder, dtype=dtype, attention=attention, trust_remote_code=trust_remote_code)
    # Every process of a launch has a GPU of its own, by its local rank.
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    placed(model, device, dtype).requires_grad_(False)
    settle(model)
    model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    model.config.use_cache = False
    # A model's own generation settings (sampling, penalties, forced tokens) would change greedy answers.
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    tokenizer = read_tokenizer(card.folder, trust_remote_code=trust_remote_code)
    return LoadedBackbone(model, tokenizer, end_of_turn_id(tokenizer), card, compiled)


def require_unharmed(card: BackboneCard) -> None:
    """Fails where card, weights, configuration, tokenizer or template are not as they were when it was prepared.

    Raises:
        CheckpointError: names the folder.
    """
    content = read_card_file(_Card, card.path, "backbone card", remedy="delete it and run prepare_backbone again")
    found = {name: sha256_file(card.folder / name) for name in content.files}
    harmed = _combined(found) != card.model_hash or sha256_file(card.folder / "tokenizer.json") != card.tokenizer_hash
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


def _contiguous(head: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The head's input, laid out in a row: of a slice, torch makes a product that copies the head for each text."""
    return tuple(argument.contiguous() for argument in arguments)


def embedding_weight(backbone: LoadedBackbone) -> nn.Parameter:
    """The input embedding table `[vocab, dim]`."""
    weight: nn.Parameter = backbone.model.get_input_embeddings().weight
    return weight


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


def _combined(hashes: dict[str, str]) -> str:
    import hashlib

    return hashlib.sha256("".join(f"{name}:{value};" for name, value in sorted(hashes.items())).encode()).hexdigest()
