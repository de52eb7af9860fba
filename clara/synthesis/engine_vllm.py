"""vLLM in this process: the reference engine of synthesis. Imports vLLM inside functions only."""

from pathlib import Path
from typing import Any

from clara.errors import ResourceError
from clara.model.vllm_door import engine_options, prepare_environment
from clara.synthesis.chat import ChatForm
from clara.synthesis.engine import Reply, Request, failure, overflow


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
        self._chat = ChatForm(self._tokenizer)
        self._refused: list[tuple[str, Reply]] = []
        self._beginnings: dict[str, str] = {}

    def submit(self, key: str, request: Request) -> None:
        """Adds the request to the running batch; one that does not fit the context fails at once."""
        ids = [*self._chat.ids(request.messages), *self._tokenizer.encode(request.beginning, add_special_tokens=False)]
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
