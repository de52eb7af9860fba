"""State to resume training from: whole or absent, checked when read, never a pickle."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clara.errors import ClaraError
from clara.files import sha256_file
from clara.folders import atomic_folder

KEPT = 2
"""States kept: the newest, and one before it should the newest be damaged."""


@dataclass(frozen=True)
class TrainingState:
    """Where a run stands after `step` optimizer steps."""

    step: int
    identity: str
    """Hash of the settings and inputs of the run; another run must not go on from here."""
    parameters: dict[str, Tensor]
    moments: dict[str, Tensor]
    """Adam's first and second moments, by `NUMBER.exp_avg` and `NUMBER.exp_avg_sq`."""
    history: list[dict[str, Any]]
    """All logged rows so far."""
    finished: bool = False
    """Whether the run's last step is made: another run that finds it here loses nothing by beginning anew."""
    digest: str = ""
    """SHA-256 of its card, which holds those of its files; of one that is read."""


def save(folder: Path, state: TrainingState) -> None:
    """Writes `step-NNNNNN/`, whole or not at all, and drops states older than the last two.

    The caller holds the lease of `folder`: what was half written there is of a process that was killed.

    Raises:
        ResourceError: the disk is full or locked; the states before this one are kept.
    """
    with atomic_folder(folder / f"step-{state.step:06d}", alone=True) as temporary:
        save_file(state.parameters, temporary / "parameters.safetensors")
        save_file(state.moments, temporary / "moments.safetensors")
        hashes = {name: sha256_file(temporary / name) for name in ("parameters.safetensors", "moments.safetensors")}
        card = {"step": state.step, "identity": state.identity, "files": hashes, "history": state.history}
        card["finished"] = state.finished
        (temporary / "card.json").write_text(json.dumps(card), encoding="utf-8")
    for old in _saved(folder)[:-KEPT]:
        shutil.rmtree(old)
    for half in folder.glob(".step-*"):
        shutil.rmtree(half, ignore_errors=True)


def drop(folder: Path) -> None:
    """Deletes all states below `folder`."""
    for old in folder.glob("step-*"):
        shutil.rmtree(old)


def newest(folder: Path) -> TrainingState | None:
    """The newest intact state below `folder`; damaged ones are passed over."""
    for path in reversed(_saved(folder)):
        state = _read(path)
        if state is not None:
            return state
    return None


def _saved(folder: Path) -> list[Path]:
    """Folders of states, oldest first; by number, as the seventh digit makes a name that sorts before six."""
    named = [path for path in folder.glob("step-*") if path.name[5:].isdecimal()]
    return sorted(named, key=lambda path: int(path.name[5:]))


def _read(path: Path) -> TrainingState | None:
    try:
        written = (path / "card.json").read_bytes()
        card = json.loads(written)
        if any(sha256_file(path / name) != value for name, value in card["files"].items()):
            return None
        parameters = load_file(path / "parameters.safetensors")
        moments = load_file(path / "moments.safetensors")
        finished = card.get("finished", False)  # states of earlier versions do not say
        digest = hashlib.sha256(written).hexdigest()
        return TrainingState(card["step"], card["identity"], parameters, moments, card["history"], finished, digest)
    except (ClaraError, OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError):
        return None


def adam_moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments by the parameter's number."""
    found = {}
    for number, parameter in enumerate(_parameters(optimizer)):
        for name in ("exp_avg", "exp_avg_sq"):
            if parameter in optimizer.state:
                found[f"{number}.{name}"] = optimizer.state[parameter][name].detach().cpu().contiguous()
    return found


def restore_adam(optimizer: torch.optim.Optimizer, moments: dict[str, Tensor], *, step: int) -> None:
    """Puts moments back into an Adam optimizer that has made no step yet."""
    for number, parameter in enumerate(_parameters(optimizer)):
        if f"{number}.exp_avg" in moments:
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step)),
                **{name: moments[f"{number}.{name}"].to(parameter.device) for name in ("exp_avg", "exp_avg_sq")},
            }


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
