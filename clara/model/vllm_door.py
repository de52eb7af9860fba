"""The door to vLLM: whether it runs here, its options, and greedy answers to prompts of vectors. Nothing else starts it
but `clara.synthesis.engine_vllm`, and both import it inside functions.
"""

import gc
import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from clara.errors import ConfigError, ResourceError

CONTEXT_TOKENS = 4096
"""Prompt and reply together; a passage of 256 tokens with demonstrations stays below 1,500."""
CPU_CACHE_BYTES = 1 << 30
"""Key-value cache on a CPU; there vLLM would otherwise take a share of the whole memory."""
CPU_BLOCK_TOKENS = 32
"""Tokens of a block of that cache; prefixes are shared by whole blocks, and the CPU's default of 128 shares little."""
CPU_SEQUENCES = 64
GPU_SEQUENCES = 512


def prepare_environment() -> None:
    """Sets what vLLM reads once, when it is imported; the user's own values win.

    In process, because a second process costs half a minute on a small machine. Threads unbound, because the automatic
    binding pins the engines of all processes to the same core.
    """
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")


def obstacle(folder: Path) -> str | None:
    """Why vLLM cannot run the model in `folder` on this machine, or None when it can."""
    if importlib.util.find_spec("vllm") is None:
        return "the package vllm is not installed"
    prepare_environment()
    from vllm.platforms import current_platform

    # A vLLM built for other hardware imports without complaint; only its platform tells.
    device: str = current_platform.device_type
    if not device:
        return "the installed vllm has no device on this machine"
    if device == "cpu":
        config = _config(folder)
        heads = config.get("num_attention_heads", 1)
        size = config.get("head_dim") or config.get("hidden_size", 0) // heads
        if size < 32:
            return f"vllm's CPU attention needs heads of 32 dimensions or more and the model has {size}"
    return None


def engine_options(folder: Path, *, dtype: str, tensor_parallel: int) -> dict[str, Any]:
    """vLLM's options for the model in `folder` on this machine, in process or as a server."""
    from vllm.platforms import current_platform

    options: dict[str, Any] = {
        "dtype": dtype,
        "max_model_len": _context(folder),
        "max_num_seqs": GPU_SEQUENCES,
        "enable_prefix_caching": True,
        "tensor_parallel_size": tensor_parallel,
        "gpu_memory_utilization": 0.9,
    }
    if current_platform.device_type == "cpu":
        # On a CPU the share is one of free memory at start, although the cache's size is given.
        options |= {"max_num_seqs": CPU_SEQUENCES, "gpu_memory_utilization": 0.1, "enforce_eager": True}
        # vLLM 0.32 rewinds the generator of a seeded request after a partial prefill; a CPU generator cannot.
        options |= {"enable_chunked_prefill": False, "max_num_batched_tokens": CONTEXT_TOKENS}
        options["block_size"] = CPU_BLOCK_TOKENS
        if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
            options["kv_cache_memory_bytes"] = CPU_CACHE_BYTES
    return options


def _context(folder: Path) -> int:
    config = _config(folder)
    return min(CONTEXT_TOKENS, int(config.get("max_position_embeddings", CONTEXT_TOKENS)))


class VllmWriter:
    """Greedy answers of a plain language model by vLLM, to prompts of token ids or of input embeddings.

    Args:
        folder: the model in the transformers layout.
        dtype: precision of weights and arithmetic; only float32 gives the same tokens as transformers every time.
        end_of_turn: id that ends an answer.

    Raises:
        ResourceError: vLLM cannot start with it.
    """

    def __init__(self, folder: Path, *, dtype: str, end_of_turn: int) -> None:
        prepare_environment()
        from vllm import LLM, SamplingParams

        options = engine_options(folder, dtype=dtype, tensor_parallel=1)
        self.context = int(options["max_model_len"])
        self._parameters: Any = SamplingParams
        self.end_of_turn = end_of_turn
        self.hidden = int(_config(folder)["hidden_size"])
        try:
            self._engine: Any = LLM(
                str(folder), enable_prompt_embeds=True, skip_tokenizer_init=True, generation_config="vllm", seed=0,
                disable_log_stats=True, **options,
            )  # fmt: skip
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
        """
        longest = max(map(len, prompts))
        if longest + max_new_tokens > self.context:
            raise ConfigError(
                f"a prompt of {longest} tokens with {max_new_tokens} of answer exceeds vllm's context of "
                f"{self.context}; lower evaluation.top_k or set evaluation.generation.engine: transformers"
            )
        greedy = self._parameters(
            temperature=0.0, max_tokens=max_new_tokens, stop_token_ids=[self.end_of_turn], ignore_eos=True,
            detokenize=False,
        )  # fmt: skip
        asked = [
            {"prompt_embeds": prompt.detach().cpu()} if isinstance(prompt, Tensor) else {"prompt_token_ids": prompt}
            for prompt in prompts
        ]
        for prompt in prompts:
            if isinstance(prompt, Tensor) and prompt.shape[1] != self.hidden:
                raise ConfigError(f"the model reads vectors of {self.hidden} numbers, not of {prompt.shape[1]}")
        found = self._engine.generate(asked, greedy, use_tqdm=False)
        answers = [list(output.outputs[0].token_ids) for output in found]
        return [ids[:-1] if ids and ids[-1] == self.end_of_turn else ids for ids in answers]

    def close(self) -> None:
        """Drops the engine and its memory."""
        del self._engine
        gc.collect()


def _config(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    return content
