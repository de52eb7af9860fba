"""Where a run goes on: at its newest state, the same for every process."""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from clara.errors import ConfigError, ResourceError
from clara.training import state
from clara.training.processes import least_and_most
from clara.training.runlog import RunLog

DIGITS = 15
"""Of a state's hash, which the processes of a launch compare: 60 bits."""


def resume(
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    folder: Path,
    identity: str,
    log: RunLog,
    accelerator: Accelerator,
) -> int:
    """The step to go on after, whose state is put into parameters, optimizer and log; 0 where there is none.

    Raises:
        ConfigError: it is of an unfinished run with another `identity`.
        ResourceError: another process has ended, or found another state.
    """
    found = state.newest(folder)
    _require_same(found, folder, accelerator)  # before any of them changes what is there
    if found is None:
        return 0
    if found.identity != identity and not found.finished:
        raise ConfigError(
            f"the state in {folder} is of an unfinished run with other settings or inputs; delete it, or name another "
            "--state"
        )
    if found.identity != identity:
        log.say("the finished run before had other settings or inputs; this one begins anew")
        if accelerator.is_main_process:
            state.drop(folder)
        return 0
    for number, parameter in enumerate(parameters):
        parameter.data.copy_(found.parameters[str(number)])
    state.restore_adam(optimizer, found.moments, step=found.step)
    log.rows[:] = found.history
    log.say(f"goes on after step {found.step}")
    return found.step


def _require_same(found: state.TrainingState | None, folder: Path, accelerator: Accelerator) -> None:
    """Returns when every process has found its state, and all the same: gradients of several would be of no model.

    Raises:
        ResourceError: a file system showed them different ones; or another process has ended.
    """
    mine = (0, 0) if found is None else (found.step, int(found.digest[:DIGITS], 16))
    (first, last), (least, most) = least_and_most(mine, accelerator)
    if (first, least) != (last, most):
        raise ResourceError(
            f"the processes of this launch found different states in {folder} (this one has that of step {mine[0]}, "
            f"hash {mine[1]:x}; all together have those of steps {first} to {last}, 0 being none); see that the same "
            "folder, undamaged, is there on all machines, and launch again"
        )
