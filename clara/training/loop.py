"""The one training loop: order, states, validation and the history of a run."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from clara.config.training import Optimization
from clara.errors import ConfigError
from clara.model.clara import ClaraModel
from clara.training import optim, state
from clara.training.examples import Example
from clara.training.finite import GradientWatch, finite_numbers
from clara.training.micro_batches import micro_batches, padding
from clara.training.objectives import Objective
from clara.training.prefetch import ahead
from clara.training.processes import any_process, join_launch, wait_on_hosts
from clara.training.resuming import resume
from clara.training.runlog import RunLog
from clara.training.sampling import Sampler
from clara.training.step import optimizer_step, validate
from clara.training.stopping import stop_requested

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
    the step. On SIGTERM the step is finished, the state saved, and the program exits with 143: who sends it may kill
    half a minute later. A validation is cut short for it, or waits; the run that goes on makes it first.

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
        ResourceError: another process of the launch has ended, or found another state.
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
    watch = GradientWatch()
    done = resume(parameters, optimizer, state_folder, identity, log, accelerator)

    def validate_where_due(step: int, stopping: Callable[[], bool]) -> bool:
        """False where it was cut short; what the history already has is not measured again."""
        if step % plan.validate_every and step != plan.steps:
            return True
        if any((row["step"], row["split"]) == (step, "validation") for row in log.rows):
            return True
        if (numbers := validate(model, objective, validation, plan, stopping=stopping)) is None:
            return False
        log.add(step, "validation", numbers)
        return True

    validate_where_due(done, lambda: False)  # of an interrupted run, what it had to leave out

    def load(step: int) -> tuple[int, list[Example]]:
        examples = sampler.step(step)
        if fetch is not None:
            fetch(examples[accelerator.process_index :: accelerator.num_processes])
        return step, examples

    def save(step: int, *, finished: bool) -> None:
        now = state.TrainingState(
            step, identity, _named(parameters), state.adam_moments(optimizer), log.rows, finished=finished
        )
        state.save(state_folder, now)

    if 0 < done == plan.steps and accelerator.is_main_process:
        save(done, finished=True)  # it may have been told to stop at its last step
    steps = ahead(load, range(done + 1, plan.steps + 1))
    with stop_requested(launched=accelerator.num_processes > 1) as stopped, closing(steps):
        started, logged = time.perf_counter(), done
        log.begin(done)

        def told() -> bool:
            return any_process(bool(stopped), accelerator)

        for step, chosen in steps:
            for group in optimizer.param_groups:
                group["lr"] = _rate(step, plan)
            outcome = optimizer_step(model, objective, chosen, optimizer, parameters, step, plan, seed, accelerator)
            watch.see(step, chosen, outcome["grad_norm"])
            if step % plan.log_every == 0 or step == plan.steps:
                watch.check()
                numbers = finite_numbers(outcome, step, chosen) | _batching(chosen, plan, objective, accelerator)
                each = (time.perf_counter() - started) / (step - logged)
                log.add(step, "train", numbers | {"learning_rate": _rate(step, plan), "seconds": round(each, 3)})
            last = step == plan.steps
            stopping = told() or not validate_where_due(step, told)
            if (step % plan.save_every == 0 or last or stopping) and accelerator.is_main_process:
                watch.check()
                save(step, finished=last and not stopping)  # stopped, it has no checkpoint yet
            if stopping:
                wait_on_hosts(accelerator)  # the launcher gives process 0, which saves, 30 s once another one has ended
                log.say(f"stopped after step {step}; run again to go on from there")
                raise SystemExit(EXIT_TERMINATED)
            if step % plan.log_every == 0:
                started, logged = time.perf_counter(), step
    return log.rows


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


def _batching(
    examples: Sequence[Example], plan: Optimization, objective: Objective, accelerator: Accelerator
) -> dict[str, float]:
    """Of a step by tokens: its micro-batches over all processes, and the share of their positions that is padding."""
    if plan.micro_batch_tokens is None:
        return {}
    shares = [examples[first :: accelerator.num_processes] for first in range(accelerator.num_processes)]
    parts = [part for share in shares for part in micro_batches(share, plan, objective)]
    return {"micro_batches": len(parts), "padding": padding(parts, objective)}
