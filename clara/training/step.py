"""One optimizer step and one validation."""

from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from clara.config.training import Optimization
from clara.model.clara import ClaraModel
from clara.training.examples import Example
from clara.training.micro_batches import micro_batches
from clara.training.objectives import Objective, Totals
from clara.training.processes import sum_gradients, total


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
        with model.backbone.autocast():
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
    model: ClaraModel,
    objective: Objective,
    examples: Sequence[Example],
    plan: Optimization,
    *,
    stopping: Callable[[], bool],
) -> dict[str, float] | None:
    """Loss and metrics over the held-out examples, without dropout.

    None where `stopping`, asked before each micro-batch, said that there is no time for it. Every process of a launch
    goes through all of them, and all are told the same.
    """
    model.eval()
    totals = Totals.of(examples)
    sums: dict[str, Tensor] = {}
    for part in micro_batches(examples, plan, objective):
        if stopping():
            return None
        with model.backbone.autocast():
            outcome = objective(part, totals, progress=1.0, seed=0)
        for name, value in {"loss": outcome.loss, **outcome.metrics}.items():
            sums[name] = sums.get(name, 0) + value.double()
    return {name: float(value) for name, value in sums.items()}


def _norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Norm of the gradients of `parameters`, before they are scaled down."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def _seed(seed: int, *parts: int) -> int:
    value = seed
    for part in parts:
        value = (value * 1_000_003 + part + 1) % (2**63 - 1)
    return value
