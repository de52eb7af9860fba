"""The one training loop: the run, one optimizer step, one validation."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from clara.config.training import Optimization
from clara.errors import ConfigError, DataError, ResourceError
from clara.model.clara import ClaraModel
from clara.training import optim, state
from clara.training.examples import Example
from clara.training.micro_batches import micro_batches, padding
from clara.training.objectives import Objective, Totals
from clara.training.prefetch import ahead
from clara.training.processes import any_process, join_launch, sum_gradients, total, wait_for_all, wait_on_hosts
from clara.training.runlog import RunLog
from clara.training.sampling import Sampler

EXIT_TERMINATED = 143


def train(
    model: ClaraModel,
    objective: Objective,
    *,
    learns: Sequence[str],
    sampler: Sampler,
    validation: Sequence[Example],
    plan: Optimization,
    seed: int,
    state_folder: Path,
    identity: str,
    label: str,
    fetch: Callable[[Sequence[Example]], None] | None = None,
) -> list[dict[str, Any]]:
    """Trains in place and gives the history: one row a logged step.

    Continues from the newest intact state in `state_folder`, unless that is of a finished run with another `identity`.
    The result is that of an uninterrupted run, because order, dropout and learning rate are functions of the seed and
    the step. On SIGTERM the step is finished, the state saved, and the program exits with 143.

    Args:
        model: its roles in `learns` are trained.
        objective: the stage.
        learns: roles.
        sampler: order of the examples, which a thread reads ahead.
        validation: examples held out.
        plan: settings of the optimization.
        seed: of dropout and noise.
        state_folder: where states lie.
        identity: names all that the run depends on.
        label: what is being trained, for people.
        fetch: reads from disk what a step's examples need, in the thread that is ahead; None where that is nothing.

    Raises:
        ConfigError: the state is of an unfinished run with another `identity`, or there are more processes than
            examples a step.
        DataError: a step's loss or gradient is not finite; names the step and its examples.
        ResourceError: another process of the launch has ended.
    """
    accelerator = join_launch()
    if plan.batch_size < accelerator.num_processes:
        raise ConfigError(
            f"batch_size = {plan.batch_size} leaves some of {accelerator.num_processes} processes without examples; "
            "raise it or launch fewer"
        )
    parameters = model.set_learning(learns)
    optimizer = optim.build(parameters, learning_rate=plan.learning_rate, weight_decay=plan.weight_decay)
    log = RunLog(label=label, steps=plan.steps, quiet=not accelerator.is_main_process)
    watch = _Watch()
    done = _resume(parameters, optimizer, state_folder, identity, log, accelerator)
    if done == 0:
        log.add(0, "validation", validate(model, objective, validation, plan, accelerator))

    def load(step: int) -> tuple[int, list[Example]]:
        examples = sampler.step(step)
        if fetch is not None:
            fetch(examples[accelerator.process_index :: accelerator.num_processes])
        return step, examples

    steps = ahead(load, range(done + 1, plan.steps + 1))
    with _stop_requested(launched=accelerator.num_processes > 1) as stopped, closing(steps):
        started, logged = time.perf_counter(), done
        log.begin(done)
        for step, chosen in steps:
            for group in optimizer.param_groups:
                group["lr"] = _rate(step, plan)
            outcome = optimizer_step(model, objective, chosen, optimizer, parameters, step, plan, seed, accelerator)
            watch.see(step, chosen, outcome["grad_norm"])
            if step % plan.log_every == 0 or step == plan.steps:
                watch.check()
                numbers = _numbers(outcome, step, chosen) | _batching(chosen, plan, objective, accelerator)
                each = (time.perf_counter() - started) / (step - logged)
                log.add(step, "train", numbers | {"learning_rate": _rate(step, plan), "seconds": round(each, 3)})
            last = step == plan.steps
            stopping = any_process(bool(stopped), accelerator)
            if step % plan.validate_every == 0 or last:
                log.add(step, "validation", validate(model, objective, validation, plan, accelerator))
            if (step % plan.save_every == 0 or last or stopping) and accelerator.is_main_process:
                watch.check()
                state.save(
                    state_folder,
                    state.TrainingState(
                        step, identity, _named(parameters), state.adam_moments(optimizer), log.rows, finished=last
                    ),
                )
            if stopping and not last:
                wait_on_hosts(accelerator)  # the launcher gives process 0, which saves, 30 s once another one has ended
                log.say(f"stopped after step {step}; run again to go on from there")
                raise SystemExit(EXIT_TERMINATED)
            if step % plan.log_every == 0:
                started, logged = time.perf_counter(), step
    return log.rows


def optimizer_step(
    model: ClaraModel,
    objective: Objective,
    examples: Sequence[Example],
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    step: int,
    plan: Optimization,
    seed: int,
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    """One optimizer step over `examples`, in micro-batches over all processes; gives loss, metrics and gradient norms.

    Every micro-batch's loss is divided by the totals of the whole step, so that accumulation and the number of
    processes change nothing but rounding.
    """
    model.train()
    totals = Totals.of(examples)
    mine = examples[accelerator.process_index :: accelerator.num_processes]
    sums: dict[str, Tensor] = {}
    for number, part in enumerate(micro_batches(mine, plan, objective)):
        micro_seed = _seed(seed, step, number, accelerator.process_index)
        torch.manual_seed(micro_seed)
        with _autocast(model):
            outcome = objective(part, totals, progress=(step - 1) / plan.steps, seed=micro_seed)
        outcome.loss.backward()  # type: ignore[no-untyped-call]
        for name, value in {"loss": outcome.loss.detach(), **outcome.metrics}.items():
            sums[name] = sums.get(name, 0) + value
    sum_gradients(parameters, accelerator)
    sums = {name: total(value, accelerator) for name, value in sums.items()}
    for role in model.learning:
        sums[f"grad_norm_{role}"] = _norm(model.role_parameters(role))
    sums["grad_norm"] = torch.nn.utils.clip_grad_norm_(parameters, plan.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return sums


@torch.no_grad()
def validate(
    model: ClaraModel, objective: Objective, examples: Sequence[Example], plan: Optimization, accelerator: Accelerator
) -> dict[str, float]:
    """Loss and metrics over the held-out examples, without dropout."""
    model.eval()
    totals = Totals.of(examples)
    sums: dict[str, Tensor] = {}
    for part in micro_batches(examples, plan, objective):
        with _autocast(model):
            outcome = objective(part, totals, progress=1.0, seed=0)
        for name, value in {"loss": outcome.loss, **outcome.metrics}.items():
            sums[name] = sums.get(name, 0) + value.double()
    return {name: float(value) for name, value in sums.items()}


def _resume(
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    folder: Path,
    identity: str,
    log: RunLog,
    accelerator: Accelerator,
) -> int:
    found = state.newest(folder)
    wait_for_all(accelerator)  # before any of them changes what is there
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


def _norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Norm of the gradients of `parameters`, before they are scaled down."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def _named(parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    return {str(number): parameter.detach().cpu().contiguous() for number, parameter in enumerate(parameters)}


def _rate(step: int, plan: Optimization) -> float:
    return optim.learning_rate(
        step,
        steps=plan.steps,
        peak=plan.learning_rate,
        schedule=plan.schedule,
        min_ratio=plan.min_learning_rate_ratio,
        warmup_ratio=plan.warmup_ratio,
    )


def _numbers(outcome: dict[str, Tensor], step: int, examples: Sequence[Example]) -> dict[str, float]:
    """Python numbers; with `_Watch.check` the one place where a step waits for the device."""
    numbers = {name: float(value) for name, value in outcome.items()}
    if not math.isfinite(numbers["loss"]):
        raise DataError(
            f"step {step}: the loss is not finite; its examples are {_keys(examples)}; lower the learning rate"
        )
    return numbers


def _batching(
    examples: Sequence[Example], plan: Optimization, objective: Objective, accelerator: Accelerator
) -> dict[str, float]:
    """Of a step by tokens: its micro-batches over all processes, and the share of their positions that is padding."""
    if plan.micro_batch_tokens is None:
        return {}
    shares = [examples[first :: accelerator.num_processes] for first in range(accelerator.num_processes)]
    parts = [part for share in shares for part in micro_batches(share, plan, objective)]
    return {"micro_batches": len(parts), "padding": padding(parts, objective)}


class _Watch:
    """Looks for a gradient that is not finite without waiting for the device: the first such step is kept there."""

    def __init__(self) -> None:
        self._unread: dict[int, Sequence[Example]] = {}
        self._first: Tensor | None = None

    def see(self, step: int, examples: Sequence[Example], norm: Tensor) -> None:
        """Notes a step's gradient norm."""
        self._unread[step] = examples
        found = torch.where(torch.isfinite(norm), math.inf, float(step))
        self._first = found if self._first is None else torch.minimum(self._first, found)

    def check(self) -> None:
        """Waits for the device; no state is saved without it.

        Raises:
            DataError: a step's gradient was not finite; names the first and its examples.
        """
        first = math.inf if self._first is None else float(self._first)
        if first < math.inf:
            raise DataError(
                f"step {first:.0f}: the gradient is not finite; its examples are {_keys(self._unread[int(first)])}; "
                "lower the learning rate"
            )
        self._unread.clear()


def _keys(examples: Sequence[Example]) -> str:
    return ", ".join(example.key for example in examples)


def _seed(seed: int, *parts: int) -> int:
    value = seed
    for part in parts:
        value = (value * 1_000_003 + part + 1) % (2**63 - 1)
    return value


def _autocast(model: ClaraModel) -> torch.autocast:
    dtype = model.backbone.dtype
    return torch.autocast(model.backbone.device.type, dtype=dtype, enabled=dtype != torch.float32)


@contextmanager
def _stop_requested(*, launched: bool) -> Iterator["_Flag"]:
    """A flag that turns true on SIGTERM, so that a step is never cut in the middle.

    Of several `launched` processes, one that has lost another gets SIGTERM from the launcher in the same moment: it is
    ignored from then on, or it would end the process before its sentence is said.
    """
    flag = _Flag()
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: flag.set())
    except ValueError:  # not the main thread, where signals cannot be handled
        yield flag
        return
    try:
        yield flag
    except ResourceError:
        before = signal.SIG_IGN if launched else before
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


class _Flag:
    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def __bool__(self) -> bool:
        return self._set
