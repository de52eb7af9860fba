import math
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from clara.config.training import Optimization
from clara.errors import ConfigError, DataError, ResourceError
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.training import optim, state
from clara.training.examples import Example
from clara.training.loop import train
from clara.training.objectives import CompressionObjective, Objective, Outcome, Totals
from clara.training.question_examples import instruction_examples
from clara.training.sampling import Sampler
from clara.training.step import optimizer_step
from clara.training.stopping import stop_requested
from tests import tiny
from tests.training.test_objectives import joint

Make = Callable[..., ClaraModel]
BOTH = [COMPRESSOR, GENERATOR]


def weights(model: ClaraModel) -> dict[str, Tensor]:
    return {f"{role}{n}": p.detach().clone() for role in model.roles for n, p in enumerate(model.role_parameters(role))}


def history(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def run(
    model: ClaraModel, folder: Path, plan: Optimization, *, objective: Objective | None = None, identity: str = "run"
) -> list[dict[str, Any]]:
    examples = tiny.pair_examples(model)
    return history(
        train(
            model,
            objective or CompressionObjective(model, mse_weight=0.1),
            learns=BOTH,
            sampler=Sampler(examples[:-3], batch_size=plan.batch_size, seed=5),
            validation=examples[-3:],
            plan=plan,
            seed=5,
            state_folder=folder,
            identity=identity,
            label="test",
        )
    )


def one_step(
    model: ClaraModel,
    objective: Objective,
    examples: Sequence[Example],
    learns: list[str],
    micro: int,
    *,
    tokens: int | None = None,
) -> None:
    parameters = model.set_learning(learns)
    plan = tiny.plan(batch_size=len(examples), micro_batch_size=micro, micro_batch_tokens=tokens)
    # Plain gradient descent: Adam's first step is the sign of the gradient, which magnifies rounding.
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    optimizer_step(model, objective, examples, optimizer, parameters, 1, plan, 5, Accelerator(cpu=True))


@pytest.mark.parametrize("stage", ["pretraining", "instruction", "joint"])
def test_micro_batches_change_nothing(stage: str, make_model: Make) -> None:
    found = []
    for micro in (8, 4, 2, 1, 3):
        model = make_model()
        if stage == "joint":
            objective: Objective = joint(model)
            examples, learns = tiny.question_examples(model) * 2, [QUERY_REASONER, GENERATOR]
        else:
            objective = CompressionObjective(model, mse_weight=0.1)
            examples, learns = tiny.pair_examples(model)[:8], BOTH
        if stage == "instruction":
            options = {"top_k": 2, "max_target_tokens": 12}
            examples = [
                e for seed in (1, 2) for e in instruction_examples(tiny.questions(), model.tokens, seed=seed, **options)
            ]
        before = weights(model)
        one_step(model, objective, examples, learns, micro)
        found.append(weights(model))
        assert not torch.equal(before[f"{GENERATOR}0"], found[-1][f"{GENERATOR}0"])
    for other in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(other[name], value, atol=1e-5, rtol=1e-5)


def teachable(make_model: Make) -> ClaraModel:
    """A model whose frozen head is loud enough for a loss near zero: an untrained one tops out at 5 nats."""
    model = make_model("mistral", rank=16, alpha=32)
    model.backbone.model.get_output_embeddings().weight.data *= 30
    return model


def test_pretraining_learns_a_batch_by_heart(make_model: Make) -> None:
    model = teachable(make_model)
    examples = tiny.pair_examples(model, kinds=["simple"], max_target_tokens=12)[:4]
    assert by_heart(model, CompressionObjective(model, mse_weight=0.0), examples, BOTH) < 0.3


def test_joint_training_learns_a_batch_by_heart(make_model: Make) -> None:
    model = teachable(make_model)
    objective = joint(model)
    assert by_heart(model, objective, tiny.question_examples(model), [QUERY_REASONER, GENERATOR]) < 0.3


def by_heart(model: ClaraModel, objective: Objective, examples: Sequence[Example], learns: list[str]) -> float:
    parameters = model.set_learning(learns)
    plan = tiny.plan(batch_size=len(examples), micro_batch_size=len(examples))
    optimizer, accelerator = optim.build(parameters, learning_rate=1e-2, weight_decay=0.0), Accelerator(cpu=True)
    for step in range(1, 201):
        outcome = optimizer_step(model, objective, examples, optimizer, parameters, step, plan, 5, accelerator)
        if outcome["loss"] < 0.3:  # of about 10 nats at the start
            break
    return float(outcome["loss"])


def test_joint_gradient_alone_brings_up_the_document_that_helps(model: ClaraModel) -> None:
    """The generator is replaced by one that wants a certain document's memory: only the selection can satisfy it."""
    objective = joint(model, top_k=1, tau=0.2)
    asked = tiny.question_examples(model, top_k=1)
    wanted = torch.stack([objective.store.memories([item.documents[2]])[0] for item in asked])

    class Wants(torch.nn.Module):
        def __call__(self, examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
            keep = model.losses
            model.losses = lambda prompts, targets, memories: distances(memories)  # type: ignore[method-assign]
            try:
                return objective(examples, totals, progress=progress, seed=seed)
            finally:
                model.losses = keep  # type: ignore[method-assign]

    from clara.model.generator import TargetLosses

    def distances(memories: Tensor) -> TargetLosses:
        return TargetLosses((memories - wanted).pow(2).sum((1, 2)), torch.ones(len(wanted)))

    parameters = model.set_learning([QUERY_REASONER])
    optimizer = optim.build(parameters, learning_rate=1e-2, weight_decay=0.0)
    plan = tiny.plan(batch_size=4, micro_batch_size=4)
    for step in range(1, 101):
        outcome = optimizer_step(model, Wants(), asked, optimizer, parameters, step, plan, 5, Accelerator(cpu=True))
        if outcome["loss"] == 0:
            break
        assert outcome["grad_norm"] > 0
    assert outcome["loss"] == 0  # every question selects its third document


class Watched(torch.optim.SGD):
    """Writes down the learning rate of each step and how far the step goes."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter], *, learning_rate: float, weight_decay: float) -> None:
        super().__init__(parameters, lr=learning_rate)
        self.rates: list[float] = []
        self.lengths: list[float] = []
        self.weight_decay = weight_decay

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        group = self.param_groups[0]
        before = [parameter.detach().clone() for parameter in group["params"]]
        super().step(closure)
        moved = sum(float((p.detach() - q).double().pow(2).sum()) for p, q in zip(group["params"], before, strict=True))
        self.rates.append(group["lr"])
        self.lengths.append(math.sqrt(moved))


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_optimizer_gets_the_rate_of_the_schedule_decay_and_a_gradient_of_limited_norm(
    schedule: Literal["cosine", "constant"], make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Watched] = []
    monkeypatch.setattr(optim, "build", lambda *given, **options: built.append(Watched(*given, **options)) or built[0])
    changes = {"schedule": schedule, "validate_every": 6, "weight_decay": 0.3, "max_grad_norm": 1e-2}
    rows = run(make_model(), tmp_path, tiny.plan(**changes))
    rates = [0.005, 0.01]  # warm-up over a fifth of the six steps, rounded up
    if schedule == "constant":
        rates += 4 * [0.01]
    else:
        rates += [0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * part / 4)) / 2) for part in (1, 2, 3, 4)]
    trained = [row for row in rows if row["split"] == "train"]
    assert [row["learning_rate"] for row in trained] == pytest.approx(rates)
    assert built[0].rates == pytest.approx(rates)
    assert built[0].weight_decay == 0.3
    assert min(row["grad_norm"] for row in trained) > 1e-2
    assert built[0].lengths == pytest.approx([rate * 1e-2 for rate in rates], rel=1e-2)


def test_an_objective_is_told_how_far_training_has_come(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    inner = CompressionObjective(model, mse_weight=0.1)
    seen: list[float] = []

    def objective(examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        seen.append(progress)
        return inner(examples, totals, progress=progress, seed=seed)

    run(model, tmp_path, tiny.plan(steps=4, micro_batch_size=4, validate_every=4), objective=objective)
    assert seen == [1.0, 0.0, 0.25, 0.5, 0.75, 1.0]  # validation is at the end's temperature


class Interrupting:
    """An objective that is cut off at its n-th call in training."""

    training = True

    def __init__(self, model: ClaraModel, call: int, how: Callable[[], None]) -> None:
        self.inner, self.model = CompressionObjective(model, mse_weight=0.1), model
        self.load = self.inner.load
        self.left, self.how, self.validated = call, how, 0

    def __call__(self, examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        self.validated += not self.model.training
        if self.model.training == self.training:
            self.left -= 1
            if self.left == 0:
                self.how()
        return self.inner(examples, totals, progress=progress, seed=seed)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def fail() -> None:
    raise RuntimeError("the machine went away")


@pytest.mark.parametrize(("how", "kind"), [(terminate, SystemExit), (fail, RuntimeError)])
@pytest.mark.parametrize("call", [1, 3, 6, 8, 10])  # two calls a step
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    call: int, how: Callable[[], None], kind: type[BaseException], make_model: Make, tmp_path: Path
) -> None:
    plan = tiny.plan()
    straight = make_model(dropout=0.2)
    wanted = run(straight, tmp_path / "straight", plan)
    stopped = make_model(dropout=0.2)
    with pytest.raises(kind) as raised:
        run(stopped, tmp_path / "state", plan, objective=Interrupting(stopped, call, how))
    if kind is SystemExit:
        assert raised.value.args == (143,)
        assert (tmp_path / "state" / f"step-{(call + 1) // 2:06d}").exists()  # the step was finished
    resumed = make_model(dropout=0.2)
    assert run(resumed, tmp_path / "state", plan) == wanted
    for name, value in weights(straight).items():
        assert torch.equal(weights(resumed)[name], value)


class Validating(Interrupting):
    """The same at its n-th call in validation."""

    training = False


@pytest.mark.parametrize(
    ("kind", "call", "step", "validated"),  # two calls a step and a validation; one is before the first step
    [
        (Interrupting, 6, 3, 2),  # before the validation after step 3
        (Validating, 3, 3, 3),  # in its first half
        (Validating, 4, 4, 4),  # in its second: it is whole, and the next step is made
        (Interrupting, 12, 6, 4),
        (Validating, 5, 6, 5),
    ],
)
def test_a_run_told_to_stop_is_saved_before_its_validation_which_the_next_one_makes(
    kind: type[Interrupting], call: int, step: int, validated: int, make_model: Make, tmp_path: Path
) -> None:
    plan = tiny.plan(save_every=99)
    wanted = run(make_model(dropout=0.2), tmp_path / "straight", plan)
    model = make_model(dropout=0.2)
    objective = kind(model, call, terminate)
    with pytest.raises(SystemExit) as raised:
        run(model, tmp_path / "state", plan, objective=objective)
    assert raised.value.args == (143,)
    assert objective.validated == validated
    saved = state.newest(tmp_path / "state")
    assert saved is not None
    assert (saved.step, saved.history[-1]["split"]) == (step, "train")
    assert run(make_model(dropout=0.2), tmp_path / "state", plan) == wanted
    assert run(make_model(dropout=0.2), tmp_path / "state", plan) == wanted


@pytest.mark.parametrize("launched", [True, False])
def test_the_launchers_end_of_a_process_that_lost_another_does_not_cut_its_sentence(
    launched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose() -> None:
        raise ResourceError("lost another one")

    def end(signum: int, frame: object) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(ResourceError), stop_requested(launched=launched):
            lose()
        if launched:
            terminate()  # passes by
        else:
            with pytest.raises(SystemExit):
                terminate()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_damaged_newest_state_costs_steps_not_the_result(make_model: Make, tmp_path: Path) -> None:
    plan = tiny.plan()
    wanted = run(make_model(dropout=0.2), tmp_path, plan)
    moments = tmp_path / "step-000006" / "moments.safetensors"
    moments.write_bytes(moments.read_bytes()[:-1])
    assert run(make_model(dropout=0.2), tmp_path, plan) == wanted


def test_how_often_a_run_is_validated_changes_no_weight(make_model: Make, tmp_path: Path) -> None:
    found = []
    for every in (1, 4):
        model = make_model(dropout=0.2)
        run(model, tmp_path / str(every), tiny.plan(steps=4, validate_every=every))
        found.append(weights(model))
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())


def test_a_state_to_resume_from_is_three_times_what_learns_and_little_else(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    run(model, tmp_path, tiny.plan(steps=2))
    learning = sum(parameter.numel() for role in BOTH for parameter in model.role_parameters(role))
    (state,) = tmp_path.iterdir()
    size = sum(file.stat().st_size for file in state.iterdir())
    assert 3 * 4 * learning < size < 1.2 * 3 * 4 * learning  # parameters and two moments in float32


def test_no_steps_leave_the_model_as_it_starts(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    before = weights(model)
    rows = run(model, tmp_path, tiny.plan(steps=0))
    assert [(row["step"], row["split"]) for row in rows] == [(0, "validation")]
    assert all(torch.equal(before[name], value) for name, value in weights(model).items())


def test_a_finished_run_is_not_run_again(make_model: Make, tmp_path: Path) -> None:
    first = make_model()
    wanted = run(first, tmp_path, tiny.plan())
    again = make_model()
    assert run(again, tmp_path, tiny.plan(), objective=Interrupting(again, 1, fail)) == wanted
    assert all(torch.equal(weights(again)[name], value) for name, value in weights(first).items())


def test_the_state_of_another_unfinished_run_is_refused(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    with pytest.raises(RuntimeError, match="went away"):
        run(model, tmp_path, tiny.plan(), objective=Interrupting(model, 9, fail))
    kept = state.newest(tmp_path)
    assert kept is not None
    with pytest.raises(ConfigError, match="of an unfinished run with other settings or inputs; delete it"):
        run(make_model(), tmp_path, tiny.plan(), identity="another")
    assert kept.step == state.newest(tmp_path).step  # type: ignore[union-attr]


def test_a_finished_run_does_not_stand_in_the_way_of_another(
    make_model: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(make_model(), tmp_path / "a", tiny.plan())
    first, again = make_model(), make_model()
    wanted = run(first, tmp_path / "b", tiny.plan(steps=4), identity="another")
    with pytest.raises(RuntimeError, match="went away"):
        run(again, tmp_path / "a", tiny.plan(steps=4), identity="another", objective=Interrupting(again, 7, fail))
    assert "had other settings or inputs; this one begins anew" in capsys.readouterr().err
    found = state.newest(tmp_path / "a")
    assert found is not None  # of the second run, and not the later steps of the first
    assert (found.identity, found.finished) == ("another", False)
    resumed = make_model()
    assert [row["step"] for row in run(resumed, tmp_path / "a", tiny.plan(steps=4), identity="another")] == [
        row["step"] for row in wanted
    ]
    assert all(torch.equal(weights(resumed)[name], value) for name, value in weights(first).items())


def test_the_same_seed_gives_the_same_bits_and_the_log_says_what_happened(make_model: Make, tmp_path: Path) -> None:
    rows = [run(make_model(dropout=0.2), tmp_path / name, tiny.plan()) for name in "ab"]
    assert rows[0] == rows[1]
    marks = [(row["step"], row["split"]) for row in rows[0] if row["split"] == "validation"]
    assert marks == [(0, "validation"), (3, "validation"), (6, "validation")]
    trained = [row for row in rows[0] if row["split"] == "train"]
    assert [row["step"] for row in trained] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "ce", "mse", "grad_norm", "learning_rate"} <= trained[0].keys()


def test_the_gradient_norm_of_each_adapter_that_learns_is_logged(make_model: Make, tmp_path: Path) -> None:
    row = next(row for row in run(make_model(), tmp_path, tiny.plan(steps=1)) if row["split"] == "train")
    norms = {key.removeprefix("grad_norm_"): value for key, value in row.items() if key.startswith("grad_norm_")}
    assert norms.keys() == set(BOTH)
    assert min(norms.values()) > 0
    assert sum(value**2 for value in norms.values()) == pytest.approx(row["grad_norm"] ** 2, rel=1e-5)


def test_joint_training_logs_how_sharp_its_selection_is(model: ClaraModel) -> None:
    objective = joint(model, tau=0.5)
    parameters = model.set_learning([QUERY_REASONER, GENERATOR])
    examples, plan = tiny.question_examples(model), tiny.plan()
    optimizer = torch.optim.SGD(parameters, lr=0.0)
    found = optimizer_step(model, objective, examples, optimizer, parameters, 1, plan, 5, Accelerator(cpu=True))
    assert found["grad_norm_query_reasoner"] > 0
    assert 1 / 6 < found["p_max"] < 1  # the largest pool has six documents
    assert 0 < found["entropy"] < math.log(6)


def test_checkpointed_layers_train_to_the_same_weights(make_model: Make, tmp_path: Path) -> None:
    found = []
    for name in ("plain", "recomputed"):
        model = make_model(dropout=0.2)
        if name == "recomputed":
            model.checkpoint_layers()
        run(model, tmp_path / name, tiny.plan(steps=2))
        found.append(weights(model))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, atol=1e-4, rtol=1e-3)


def test_a_loss_that_is_not_finite_ends_the_run_with_its_examples(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    for parameter in model.adapters.parameters(GENERATOR):
        parameter.data.fill_(float("inf"))
    with pytest.raises(DataError, match=r"step 1: the gradient is not finite; its examples are [0-9a-f]{16}, "):
        run(model, tmp_path, tiny.plan())
    assert not list(tmp_path.glob("step-*"))
