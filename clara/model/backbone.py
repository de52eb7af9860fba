"""The frozen language model: loading it, and what the stages need of it."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from clara.errors import ConfigError
from clara.model import threads
from clara.model.attention import one_text_a_row, settle
from clara.model.backbone_card import BackboneCard, require_unharmed
from clara.model.model_folder import placed, read_model, read_tokenizer
from clara.tokens import end_of_turn_id

COMPILER = "inductor"
EMBEDDINGS_SAMPLED = 65536
"""Input embeddings that statistics are taken over; bounds memory for very large vocabularies."""


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

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which the adapters' float32 weights compute in the model's precision."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

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
        """Refuses what does not fit the model's context; nothing is ever cut to it.

        Documents and targets were cut before to the lengths of the settings; trainings and compressions say how many.

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


def load(
    card: BackboneCard,
    *,
    dtype: str,
    attention: str = "sdpa",
    compiled: bool = False,
    cpu_threads: int | None = None,
    trust_remote_code: bool = False,
    verified: bool = False,
    device: str | None = None,
) -> LoadedBackbone:
    """The frozen model on its device, in evaluation mode.

    Args:
        card: of the prepared backbone.
        dtype: precision of weights and arithmetic; a CPU without instructions for it computes in float32.
        attention: attention implementation; on a CPU our own takes the place of eager and sdpa.
        compiled: whether torch compiles the body for training and compressing.
        cpu_threads: threads of this process's computations on a CPU (`clara.model.threads`).
        trust_remote_code: whether code of a Hub model may run.
        verified: compare its files with the hashes of the card first; the steps of the workflow do.
        device: as torch names it; None takes a GPU where there is one, else the CPU.

    Raises:
        ConfigError: the device is not here.
        CheckpointError: the model cannot be used, or a file is not the one that was prepared.
    """
    from transformers import GenerationConfig

    place = _device(device)
    threads.use(cpu_threads)
    if verified:
        require_unharmed(card)
    model = read_model(card.folder, dtype=dtype, attention=attention, trust_remote_code=trust_remote_code)
    placed(model, place, dtype).requires_grad_(False)
    settle(model)
    model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    model.config.use_cache = False
    # A model's own generation settings (sampling, penalties, forced tokens) would change greedy answers.
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    tokenizer = read_tokenizer(card.folder, trust_remote_code=trust_remote_code)
    return LoadedBackbone(model, tokenizer, end_of_turn_id(tokenizer), card, compiled)


def _device(name: str | None) -> str:
    """The device that is named, or the best one.

    Raises:
        ConfigError: it is none, or not here.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        # Every process of a launch has a GPU of its own, by its local rank.
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if gpus else "cpu"
    here = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))]
    if torch.backends.mps.is_available():
        here.append("mps")
    if name not in here:
        raise ConfigError(f"device = {name} is not here; choose {', '.join(here)}, or leave it out for the best")
    return name


def _contiguous(head: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The head's input, laid out in a row: of a slice, torch makes a product that copies the head for each text."""
    return tuple(argument.contiguous() for argument in arguments)


def embedding_weight(backbone: LoadedBackbone) -> nn.Parameter:
    """The input embedding table `[vocab, dim]`."""
    weight: nn.Parameter = backbone.model.get_input_embeddings().weight
    return weight
