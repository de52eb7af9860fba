"""The door to vLLM: whether it runs here, and its options. Only `clara.model.vllm_writer` and
`clara.synthesis.engine_vllm` start it, and all import it inside functions.
"""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 4096
"""Prompt and reply together; a passage of 256 tokens with demonstrations stays below 1,500."""
CPU_CACHE_BYTES = 1 << 30
"""Key-value cache on a CPU; there vLLM would otherwise take a share of the whole memory."""
CPU_BLOCK_TOKENS = 32
"""Tokens of a block of that cache; prefixes are shared by whole blocks, and the CPU's default of 128 shares little."""
CPU_SEQUENCES = 64
GPU_SEQUENCES = 512
GPU_SHARE = 0.9
"""Of a GPU's memory, where vLLM has it for itself."""


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
        config = config_of(folder)
        heads = config.get("num_attention_heads", 1)
        size = config.get("head_dim") or config.get("hidden_size", 0) // heads
        if size < 32:
            return f"vllm's CPU attention needs heads of 32 dimensions or more and the model has {size}"
    return None


def engine_options(folder: Path, *, dtype: str, tensor_parallel: int, gpu_share: float = GPU_SHARE) -> dict[str, Any]:
    """vLLM's options for the model in `folder` on this machine, in process or as a server."""
    from vllm.platforms import current_platform

    options: dict[str, Any] = {
        "dtype": dtype,
        "max_model_len": _context(folder),
        "max_num_seqs": GPU_SEQUENCES,
        "enable_prefix_caching": True,
        "tensor_parallel_size": tensor_parallel,
        "gpu_memory_utilization": gpu_share,
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
    config = config_of(folder)
    return min(CONTEXT_TOKENS, int(config.get("max_position_embeddings", CONTEXT_TOKENS)))


def config_of(folder: Path) -> dict[str, Any]:
    """The `config.json` of a model in the transformers layout."""
    content: dict[str, Any] = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    return content
