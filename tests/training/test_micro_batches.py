"""Micro-batches by tokens: what they hold, what they cost, and that the step they make is the same."""

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from clara.training.examples import Example
from clara.training.joint import RankingObjective
from clara.training.micro_batches import Load, micro_batches, padding, positions
from clara.training.objectives import CompressionObjective, Objective, TextObjective, Totals
from clara.training.question_examples import instruction_examples
from tests import tiny
from tests.training.test_loop import Interrupting, fail, one_step, run, weights
from tests.training.test_objectives import joint

Make = Callable[..., ClaraModel]
KINDS = ("pretraining", "instruction", "text", "straight_through", "marginal", "ranking")


class Lengths:
    """An objective with one document an example, as long as its key says, and a prompt of two tokens."""

    def load(self, example: Example) -> Load:
        return Load({example.documents[0]: int(example.key)}, ((1, 2),))


def examples_of(*lengths: int, shared: Sequence[int] = ()) -> list[Example]:
    """Examples of documents of these lengths; those of `shared` are one document."""
    return [Example(str(n), "", ("same" if n in shared else f"{n}-{i}",), [], []) for i, n in enumerate(lengths)]


def keys(batches: Sequence[Sequence[Example]]) -> list[list[int]]:
    return [[int(example.key) for example in batch] for batch in batches]


def stage(kind: str, model: ClaraModel) -> tuple[Objective, list[Example], list[str]]:
    """Objective, eight examples or more of unequal length, and what learns."""
    if kind == "pretraining":
        return CompressionObjective(model, mse_weight=0.1), tiny.pair_examples(model), [COMPRESSOR, GENERATOR]
    if kind in ("instruction", "text"):
        examples = [
            example
            for seed in (1, 2)
            for example in instruction_examples(
                tiny.questions(), model.tokens, top_k=2, max_target_tokens=12, seed=seed, as_text=kind == "text"
            )
        ]
        if kind == "text":
            return TextObjective(model), examples, [GENERATOR]
        return CompressionObjective(model, mse_weight=0.1), examples, [COMPRESSOR, GENERATOR]
    chosen = joint(model, selection="marginal" if kind == "marginal" else "straight_through")
    examples = tiny.question_examples(model, top_k=1 if kind == "marginal" else 2) * 2
    if kind == "ranking":
        ranking = RankingObjective(model, store=chosen.store, top_k=2, temperature=(0.1, 0.1))
        return ranking, examples, [QUERY_REASONER]
    return chosen, examples, [QUERY_REASONER, GENERATOR]


def test_examples_are_sorted_and_as_many_follow_one_another_as_the_budget_holds() -> None:
    plan = tiny.plan(micro_batch_size=9, micro_batch_tokens=100)
    given = examples_of(50, 10, 30, 120, 20, 32)
    # 3·30 + 3·2 = 96; with the fourth 4·32 + 8 would be too many; 2·50 + 4 too; 120 alone is longer than the budget.
    assert keys(micro_batches(given, plan, Lengths())) == [[10, 20, 30], [32], [50], [120]]


def test_a_document_that_several_examples_bring_is_counted_once() -> None:
    plan = tiny.plan(micro_batch_size=9, micro_batch_tokens=100)
    given = examples_of(88, 88, 88, 88, 88, shared=[88])
    assert keys(micro_batches(given, plan, Lengths())) == [[88] * 5]  # 88 + 5·2
    given = examples_of(88, 88, 88, 88, 88, 88, 88, shared=[88])
    assert keys(micro_batches(given, plan, Lengths())) == [[88] * 6, [88]]


def test_without_a_budget_they_are_counted_in_the_order_that_they_come_in() -> None:
    plan = tiny.plan(micro_batch_size=2)
    assert keys(micro_batches(examples_of(9, 1, 5, 3, 7), plan, Lengths())) == [[9, 1], [5, 3], [7]]


def test_no_micro_batch_exceeds_the_budget_but_a_longer_example_by_itself() -> None:
    chance = random.Random(3)
    for _ in range(200):
        given = examples_of(*chance.choices(range(1, 300), k=chance.randint(1, 40)))
        plan = tiny.plan(micro_batch_size=chance.randint(1, 50), micro_batch_tokens=chance.randint(64, 600))
        found = micro_batches(given, plan, Lengths())
        for batch in found:
            assert len(batch) == 1 or positions([Lengths().load(e) for e in batch]) <= plan.micro_batch_tokens
            assert len(batch) <= plan.micro_batch_size
        for one, other in itertools.pairwise(found):  # and none ends before it must
            more = positions([Lengths().load(e) for e in [*one, other[0]]])
            assert more > plan.micro_batch_tokens or len(one) == plan.micro_batch_size
        assert sorted(map(id, given)) == sorted(id(example) for batch in found for example in batch)
        assert keys(micro_batches(given, plan, Lengths())) == keys(found)


def test_padding_is_the_share_of_positions_without_a_token() -> None:
    batches = [examples_of(10, 30), examples_of(7)]
    # 2·30 + 2·2 and 7 + 2 positions; of the first 10 is left empty twice.
    assert padding(batches, Lengths()) == pytest.approx(20 / 73)
    assert padding([examples_of(7)], Lengths()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_positions_are_those_of_the_passes_that_are_run(
    kind: str, make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    objective, examples, _ = stage(kind, model)
    seen = 0
    inner = LoadedBackbone.states

    def states(self: LoadedBackbone, embedded: Tensor) -> Tensor:
        nonlocal seen
        seen += embedded.shape[0] * embedded.shape[1]
        return inner(self, embedded)

    monkeypatch.setattr(LoadedBackbone, "states", states)
    objective(examples, Totals.of(examples), progress=0.0, seed=0)
    assert seen == positions([objective.load(example) for example in examples])


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_by_tokens_is_the_step_of_the_whole_batch(kind: str, make_model: Make) -> None:
    found = []
    for tokens in (None, 64 if kind == "ranking" else 400):
        model = make_model()
        objective, examples, learns = stage(kind, model)
        parts = micro_batches(examples, tiny.plan(micro_batch_size=len(examples), micro_batch_tokens=tokens), objective)
        assert len(parts) == 1 if tokens is None else 3 <= len(parts)
        one_step(model, objective, examples, learns, len(examples), tokens=tokens)
        found.append(weights(model))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, atol=1e-5, rtol=1e-5)


def test_the_gradient_is_that_of_the_losses_added_by_hand(make_model: Make) -> None:
    model = make_model()
    examples = tiny.pair_examples(model)[:6]
    parameters = model.set_learning([COMPRESSOR, GENERATOR])
    before = [parameter.detach().clone() for parameter in parameters]
    objective = CompressionObjective(model, mse_weight=0.0)
    model.train()
    total: Any = 0
    for example in examples:  # -log p of every target token, one example at a time
        memories = model.encode(COMPRESSOR, example.to_compress(model.tokens)).vectors
        total = total + model.losses([example.prompt], [example.target], memories).sums.sum()
    wanted = torch.autograd.grad(total / sum(len(example.target) for example in examples), parameters)
    norm = torch.nn.utils.get_total_norm(wanted)
    one_step(model, objective, examples, [COMPRESSOR, GENERATOR], 1, tokens=300)
    for parameter, start, gradient in zip(parameters, before, wanted, strict=True):
        # One step of plain descent at rate 1, scaled down to a norm of 1.
        torch.testing.assert_close(start - parameter, gradient / max(float(norm), 1.0), atol=1e-6, rtol=1e-4)


def test_a_run_by_tokens_that_was_stopped_goes_on_to_the_same_bits_and_logs_its_padding(
    make_model: Make, tmp_path: Path
) -> None:
    plan = tiny.plan(steps=3, micro_batch_size=4, micro_batch_tokens=400, save_every=1)
    straight = make_model(dropout=0.2)
    wanted = run(straight, tmp_path / "straight", plan)
    stopped = make_model(dropout=0.2)
    with pytest.raises(RuntimeError, match="went away"):
        run(stopped, tmp_path / "state", plan, objective=Interrupting(stopped, 5, fail))
    assert list((tmp_path / "state").glob("step-*"))
    resumed = make_model(dropout=0.2)
    assert run(resumed, tmp_path / "state", plan) == wanted
    assert all(torch.equal(weights(resumed)[name], value) for name, value in weights(straight).items())
    trained = [row for row in wanted if row["split"] == "train"]
    assert [row["micro_batches"] for row in trained] == [2, 2, 2]
    assert all(0 < row["padding"] < 0.2 for row in trained)
