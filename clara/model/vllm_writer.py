"""Answers by vLLM to prompts of token ids or input embeddings, any number under way at once."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from clara.errors import ConfigError, ResourceError
from clara.model.clara import ClaraModel
from clara.model.vllm_door import GPU_SHARE, config_of, engine_options, prepare_environment


class Step(NamedTuple):
    """What one step of the engine added to an answer."""

    key: str
    ids: list[int]
    """New tokens, the end of the turn excluded."""
    ended: bool
    cut: bool
    """Whether the limit of tokens ended it."""


class VllmWriter:
    """Greedy answers of a plain language model by vLLM, to prompts of token ids or of input embeddings.

    Args:
        folder: the model in the transformers layout.
        dtype: precision of weights and arithmetic; only float32 gives the same tokens as transformers every time.
        end_of_turn: id that ends an answer.
        gpu_share: of a GPU's memory; less where another model lies there too.

    Raises:
        ResourceError: vLLM cannot start with it.
    """

    def __init__(self, folder: Path, *, dtype: str, end_of_turn: int, gpu_share: float = GPU_SHARE) -> None:
        prepare_environment()
        from vllm import EngineArgs, LLMEngine, SamplingParams
        from vllm.sampling_params import RequestOutputKind

        options = engine_options(folder, dtype=dtype, tensor_parallel=1, gpu_share=gpu_share)
        self.context = int(options["max_model_len"])
        self._parameters: Any = SamplingParams
        self._delta = RequestOutputKind.DELTA
        self.end_of_turn = end_of_turn
        self.hidden = int(config_of(folder)["hidden_size"])
        arguments = EngineArgs(
            model=str(folder), enable_prompt_embeds=True, skip_tokenizer_init=True, generation_config="vllm", seed=0,
            disable_log_stats=True, **options,
        )  # fmt: skip
        try:
            self._engine: Any = LLMEngine.from_engine_args(arguments)
        except (ValueError, RuntimeError) as error:
            raise ResourceError(
                f"vllm cannot start with {folder}: {error}; free memory or set the engine to transformers"
            ) from error

    def write(self, prompts: Sequence[Tensor] | Sequence[list[int]], *, max_new_tokens: int) -> list[list[int]]:
        """Tokens of each answer, its end excluded.

        Args:
            prompts: ids, or input embeddings `[tokens, dim]`, of each.
            max_new_tokens: tokens of an answer at most.

        Raises:
            ConfigError: a prompt and its answer are longer than the engine's context, or of another width; vLLM itself
                would hang.
            ResourceError: vLLM broke down.
        """
        keyed: dict[str, Any] = {str(number): prompt for number, prompt in enumerate(prompts)}
        for prompt in keyed.values():
            self._check(prompt, max_new_tokens)
        for key, prompt in keyed.items():
            self.add(key, prompt, max_new_tokens=max_new_tokens)
        answers: dict[str, list[int]] = {key: [] for key in keyed}
        left = len(answers)
        while left:
            for step in self.step():
                answers[step.key] += step.ids
                left -= step.ended
        return list(answers.values())

    def add(self, key: str, prompt: Tensor | list[int], *, max_new_tokens: int) -> None:
        """Takes a prompt, whose answer is written beside those under way; as `write`, which see."""
        self._check(prompt, max_new_tokens)
        greedy = self._parameters(
            temperature=0.0, max_tokens=max_new_tokens, stop_token_ids=[self.end_of_turn], ignore_eos=True,
            detokenize=False, output_kind=self._delta,
        )  # fmt: skip
        asked = {"prompt_embeds": prompt.detach().cpu()} if isinstance(prompt, Tensor) else {"prompt_token_ids": prompt}
        self._engine.add_request(key, asked, greedy)

    def step(self) -> list[Step]:
        """Goes on with all answers under way; there must be one.

        Raises:
            ResourceError: vLLM broke down, and is dead.
        """
        try:
            outputs = self._engine.step()
        except Exception as error:
            raise ResourceError(f"vllm broke down: {error}; start again, with engine transformers if it repeats") from (
                error
            )
        found = []
        for output in outputs:
            ids, reason = list(output.outputs[0].token_ids), output.outputs[0].finish_reason
            if ids and ids[-1] == self.end_of_turn:
                ids.pop()
            found.append(Step(output.request_id, ids, output.finished, reason == "length"))
        return found

    def drop(self, keys: Sequence[str]) -> None:
        """Gives up answers that nobody waits for."""
        self._engine.abort_request(list(keys))

    def _check(self, prompt: Tensor | list[int], max_new_tokens: int) -> None:
        if len(prompt) + max_new_tokens > self.context:
            raise ConfigError(
                f"a prompt of {len(prompt)} tokens with {max_new_tokens} of answer exceeds vllm's context of "
                f"{self.context}; let fewer documents be read, or set the engine to transformers"
            )
        if isinstance(prompt, Tensor) and prompt.shape[1] != self.hidden:
            raise ConfigError(f"the model reads vectors of {self.hidden} numbers, not of {prompt.shape[1]}")

    def close(self) -> None:
        """Drops the engine and its memory."""
        del self._engine
        gc.collect()


@torch.inference_mode()
def prompt_vectors(
    model: ClaraModel, prompts: Sequence[list[int]], memories: Float[Tensor, "documents memory dim"] | None
) -> list[Tensor]:
    """Input embeddings of prompts whose slots the memories fill in order, `[tokens, dim]` each."""
    ids = torch.tensor([token for prompt in prompts for token in prompt])[None]
    embedded = model.generator.embed(model.backbone, ids, memories, model.added)[0]
    return list(torch.split(embedded, [len(prompt) for prompt in prompts]))
