"""vLLM in this process: the reference engine. The only module that imports vLLM, and only inside functions."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from clara.errors import ResourceError
from clara.synthesis.engine import Reply, Request, failure, overflow

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
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
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


class VllmEngine:
    """vLLM with prefix caching, so that all requests about a passage share the work on the passage."""

    name = "vllm"

    def __init__(self, folder: Path, *, dtype: str, identity: str, tensor_parallel: int = 1) -> None:
        prepare_environment()
        from vllm import EngineArgs, LLMEngine

        self.model = identity
        options = engine_options(folder, dtype=dtype, tensor_parallel=tensor_parallel)
        self._context = int(options["max_model_len"])
        self.capacity = int(options["max_num_seqs"])
        arguments = EngineArgs(model=str(folder), seed=0, **options)
        try:
            self._engine = LLMEngine.from_engine_args(arguments)
        except (ValueError, RuntimeError) as error:
            raise ResourceError(
                f"vllm cannot start with {folder}: {error}; free memory or take another engine"
            ) from error
        self._tokenizer: Any = self._engine.get_tokenizer()
        self._refused: list[tuple[str, Reply]] = []
        self._beginnings: dict[str, str] = {}

    def submit(self, key: str, request: Request) -> None:
        """Adds the request to the running batch; one that does not fit the context fails at once."""
        ids = self._tokenizer.apply_chat_template(
            [message._asdict() for message in request.messages], add_generation_prompt=True, return_dict=False
        )
        ids = [*ids, *self._tokenizer.encode(request.beginning, add_special_tokens=False)]
        if len(ids) + request.sampling.max_tokens > self._context:
            # Refused here, because vLLM raises for some prompts and silently shortens the replies of others.
            self._refused.append((key, failure(overflow(len(ids), request.sampling.max_tokens, self._context))))
            return
        self._beginnings[key] = request.beginning
        self._engine.add_request(key, {"prompt_token_ids": ids}, _parameters(request))

    def collect(self) -> list[tuple[str, Reply]]:
        """Steps the engine until a reply is finished."""
        done, self._refused = self._refused, []
        while not done and self._engine.has_unfinished_requests():
            try:
                outputs = self._engine.step()
            except Exception as error:  # whatever it is, the engine is dead, and finished replies are kept already
                raise ResourceError(
                    f"vllm broke down: {error}; run again to go on, with engine transformers if it repeats"
                ) from error
            for output in outputs:
                if output.finished:
                    done.append((output.request_id, _reply(output, self._beginnings.pop(output.request_id))))
        return done

    def close(self) -> None:
        """Drops the engine and its memory."""
        import gc

        del self._engine
        gc.collect()


def _context(folder: Path) -> int:
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    return min(CONTEXT_TOKENS, int(config.get("max_position_embeddings", CONTEXT_TOKENS)))


def _parameters(request: Request) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    structured = None
    if request.choices:
        structured = StructuredOutputsParams(choice=list(request.choices))
    elif request.schema is not None:
        structured = StructuredOutputsParams(json=request.schema)
    sampling = request.sampling
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed,
        structured_outputs=structured,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _reply(output: Any, beginning: str) -> Reply:
    best = output.outputs[0]
    return Reply(
        text=beginning + best.text,
        finish_reason=best.finish_reason or "stop",
        prompt_tokens=len(output.prompt_token_ids),
        reply_tokens=len(best.token_ids),
    )
