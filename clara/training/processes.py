"""Several processes on one training run: each takes its share of a step, and what is small is summed."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from clara.errors import ResourceError

POLL_SECONDS = 0.5
SILENT_SECONDS = 120.0
"""A main process that has given no sign of life for so long is taken for lost. It may wait half a minute for the lease
of a dead one first, and NFS tells of a touched file a minute later."""


def join_launch() -> Accelerator:
    """This process's place among those of its launch; NCCL between GPUs, gloo between CPUs.

    `accelerate launch` takes its processes to have a GPU each: unless told so here, those without one would train
    each for itself.

    Raises:
        ResourceError: the launch is of several processes, and this one found no others.
    """
    accelerator = Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if accelerator.num_processes != launched:
        raise ResourceError(
            f"the launch says WORLD_SIZE={launched}, but this process trains among {accelerator.num_processes}; "
            "start trainings by workflow_scripts/launch.py, or unset WORLD_SIZE"
        )
    return accelerator


def total(value: Tensor, accelerator: Accelerator) -> Tensor:
    """`value` summed over all processes.

    Raises:
        ResourceError: another process has ended.
    """
    if accelerator.num_processes == 1:
        return value
    try:
        found: Any = accelerator.reduce(value, reduction="sum")
        summed: Tensor = found
    except RuntimeError as error:  # of gloo and NCCL alike
        raise _lost(accelerator) from error
    return summed


def _lost(accelerator: Accelerator) -> ResourceError:
    return ResourceError(
        f"process {accelerator.process_index} of {accelerator.num_processes} lost another one, which was killed or "
        "failed (its own message, if it left one, says why); launch again to go on from the last saved state"
    )


@cache
def _hosts() -> Any:
    """The launch's processes once more, to exchange what lies on the host."""
    return torch.distributed.new_group(backend="gloo")


def sum_gradients(parameters: Sequence[nn.Parameter], accelerator: Accelerator) -> None:
    """Sums gradients over the processes in one message: only the small trained part is ever sent."""
    if accelerator.num_processes == 1:
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = total(torch.cat([gradient.flatten() for gradient in gradients]), accelerator)
    parts = torch.split(flat, [p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def any_process(flag: bool, accelerator: Accelerator) -> bool:
    """Whether the flag is up anywhere: all processes stop after the same step, or they would wait for each other."""
    if accelerator.num_processes == 1:
        return flag
    return _count(flag, accelerator) > 0


def wait_on_hosts(accelerator: Accelerator) -> None:
    """Returns when all processes have come here, whatever their GPUs still do.

    A process that has ended is noticed at once, as its connections are closed; NCCL would wait for it for minutes.

    Raises:
        ResourceError: another process has ended.
    """
    if accelerator.num_processes > 1:
        _count(False, accelerator)


def least_and_most(numbers: Sequence[int], accelerator: Accelerator) -> list[tuple[int, int]]:
    """Of each number the least and the most among the processes; returns when all have given theirs.

    Args:
        numbers: as many in every process, of at most 62 bits.
        accelerator: of the launch.

    Raises:
        ResourceError: another process has ended.
    """
    if accelerator.num_processes == 1:
        return [(number, number) for number in numbers]
    found = torch.tensor([[number, -number] for number in numbers])
    try:
        torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX, group=_hosts())
    except RuntimeError as error:
        raise _lost(accelerator) from error
    return [(-least, most) for most, least in found.tolist()]


def _count(flag: bool, accelerator: Accelerator) -> float:
    """In how many processes the flag is up.

    Between the hosts: on a GPU this would wait for all that is under way, and `any_process` is called at every step.
    """
    count = torch.tensor(float(flag))
    try:
        torch.distributed.all_reduce(count, group=_hosts())
    except RuntimeError as error:
        raise _lost(accelerator) from error
    return float(count)


def wait_for_all(accelerator: Accelerator) -> None:
    """Returns when all processes have come here.

    Raises:
        ResourceError: another process has ended.
    """
    float(total(torch.zeros((), device=accelerator.device), accelerator))  # on a GPU, reading it is what waits


def by_main(work: Callable[[], object], accelerator: Accelerator) -> None:
    """Does `work`, which may take hours, in the main process alone; all processes return when it is done.

    They ask one another again and again, so that no exchange lasts and a lost one is noticed at once. The work is done
    in a thread, which must be able to run beside that: reading and hashing files is.

    Raises:
        ResourceError: another process has ended, or the main one's work failed, whose error that one raises.
    """
    if accelerator.num_processes == 1:
        work()
        return
    failures: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:
            failures.append(error)

    at_work = threading.Thread(target=guarded, daemon=True)
    if accelerator.is_main_process:
        at_work.start()
    while any_process(at_work.is_alive(), accelerator):
        time.sleep(POLL_SECONDS)
    if any_process(bool(failures), accelerator):
        raise failures[0] if failures else _lost(accelerator)


def await_main(done: Callable[[], bool], accelerator: Accelerator, *, beat: Path) -> None:
    """Returns when the main process is done, which may take hours: no collective waits longer than some minutes.

    Args:
        done: whether it is, by what lies on the disk.
        accelerator: of the launch.
        beat: a file that the main process touches again and again as long as it lives, or makes when it begins.

    Raises:
        ResourceError: it has been left untouched for SILENT_SECONDS.
    """
    seen, since = _touched(beat), time.monotonic()
    while not done():
        if (touched := _touched(beat)) != seen:
            seen, since = touched, time.monotonic()
        elif time.monotonic() - since > SILENT_SECONDS:
            raise _lost(accelerator)
        time.sleep(POLL_SECONDS)


def _touched(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
