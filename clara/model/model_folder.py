"""A language model and its tokenizer from a transformers folder, whole or refused."""

import sys
from pathlib import Path
from typing import Any

import torch

from clara import machine
from clara.errors import CheckpointError, ClaraError, ConfigError, ResourceError
from clara.tokens import end_of_turn_id


def require_usable(folder: Path, *, trust_remote_code: bool) -> None:
    """Refuses a folder that no stage could use. Weights are compared by name and shape, not read.

    Raises:
        CheckpointError, ConfigError: a file is missing or damaged, or is not what the others expect; says which.
    """
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{folder} holds no *.safetensors weights; name a complete model folder")
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).exists():
            raise CheckpointError(f"{folder} has no {name}; name a complete model folder")
    read_model(folder, dtype="float32", trust_remote_code=trust_remote_code, device="meta")
    end_of_turn_id(read_tokenizer(folder, trust_remote_code=trust_remote_code))


def read_model(
    folder: Path, *, dtype: str, attention: str = "sdpa", trust_remote_code: bool = False, device: str | None = None
) -> Any:
    """The causal language model of a folder.

    Args:
        folder: config and safetensors.
        dtype: precision.
        attention: attention implementation.
        trust_remote_code: whether code in the folder may run.
        device: `meta` makes a model without weights, from the names and shapes alone; None loads on the CPU.

    Raises:
        CheckpointError: the folder holds no causal language model, or one that lacks weights.
        ConfigError: a package, an attention implementation or the leave to run its code is missing.
        ResourceError: there is not enough memory.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    precision = precision_of(dtype)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    automatic: Any = AutoModelForCausalLM
    try:
        model, found = automatic.from_pretrained(
            folder,
            dtype=precision,
            attn_implementation=attention,
            trust_remote_code=trust_remote_code,
            device_map=device,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises many kinds on what does not fit
        raise _refusal(folder, "causal language model", attention, error) from error
    # transformers fills what the files lack, or hold in other shapes, with random numbers and goes on.
    other = [str(key[0]) for key in found["mismatched_keys"]]
    if lacking := sorted([*map(str, found["missing_keys"]), *other]):
        raise CheckpointError(
            f"{folder} lacks {len(lacking)} weights of the shapes that its config.json asks for, first {lacking[0]}; "
            "name a complete model folder"
        )
    return model


def placed(model: Any, device: str, dtype: str) -> Any:
    """The model on its device, in evaluation mode; on a CPU that lacks instructions for `dtype` widened to float32.

    The weights keep the values that they have in `dtype`.
    """
    if device == "cpu" and (wider := machine.arithmetic(dtype)) != dtype:
        print(f"this processor has no instructions for {dtype}: computing in {wider}, which is faster", file=sys.stderr)
        model = model.to(precision_of(wider))
    return model.to(device).eval()


def precision_of(dtype: str) -> torch.dtype:
    """The precision of weights that is named.

    Raises:
        ConfigError: it names none.
    """
    found = getattr(torch, str(dtype), None)
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise ConfigError(f"dtype = {dtype} is no precision of weights; choose bfloat16, float16 or float32")
    return found


def read_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a folder.

    Raises:
        CheckpointError: it is damaged, or of the slow kind, which cannot tell text from control tokens.
        ConfigError: the leave to run its code is missing.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # as above
        raise _refusal(folder, "tokenizer", "", error) from error
    if not tokenizer.is_fast:
        raise CheckpointError(f"{folder} has no fast tokenizer; save one beside the model as tokenizer.json")
    return tokenizer


def _refusal(folder: Path, what: str, attention: str, error: Exception) -> ClaraError:
    said = " ".join(str(error).split())
    if "trust_remote_code" in said:
        return ConfigError(
            f"{folder} comes with Python code of its own; read it, then set backbone.trust_remote_code: true, or "
            "choose another model"
        )
    if isinstance(error, ImportError) or "attn_implementation" in said:
        return ConfigError(
            f"the model in {folder} cannot run here with backbone.attention = {attention}: {said[:200]}; install "
            "what is missing or set backbone.attention: sdpa"
        )
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in said:
        return ResourceError(f"the model in {folder} does not fit the memory; use a smaller dtype or a larger machine")
    return CheckpointError(f"{folder} holds no usable {what} ({said[:300]}); name a complete model folder")
