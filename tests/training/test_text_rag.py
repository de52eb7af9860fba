"""Text RAG tuned by LoRA: its budget, what it sees, and who learns."""

from collections.abc import Callable

import torch

from clara.model.adapters import GENERATOR
from clara.model.clara import ClaraModel
from clara.training.objectives import TextObjective, Totals
from clara.training.question_examples import instruction_examples
from clara.training.text_rag import budget
from tests import tiny


def test_the_budget_is_the_examples_of_instruction_tuning_and_joint_training() -> None:
    plan = budget(tiny.plan(steps=6, batch_size=4), tiny.plan(steps=5, batch_size=2))
    assert (plan.steps, plan.batch_size) == (9, 4)  # 24 + 10 examples, four a step


def test_text_examples_show_the_documents_of_instruction_tuning(model: ClaraModel) -> None:
    options = {"top_k": 2, "max_target_tokens": 12, "seed": 3}
    memory = instruction_examples(tiny.questions(), model.tokens, **options)
    text = instruction_examples(tiny.questions(), model.tokens, **options, as_text=True)
    for one, other in zip(memory, text, strict=True):
        assert (one.documents, one.target) == (other.documents, other.target)
        shown = model.tokens.text("\n\n".join(other.documents))
        assert any(other.prompt[at : at + len(shown)] == shown for at in range(len(other.prompt)))
        assert model.added.slot not in other.prompt


def test_the_generator_alone_learns_and_the_loss_is_that_of_the_target(make_model: Callable[..., ClaraModel]) -> None:
    model = make_model(num_memory=1, document_max_tokens=1, form="plain")
    options = {"top_k": 2, "max_target_tokens": 12, "seed": 3}
    examples = list(instruction_examples(tiny.questions(), model.tokens, **options, as_text=True))
    model.set_learning([GENERATOR])
    outcome = TextObjective(model)(examples, Totals.of(examples), progress=0.0, seed=0)
    outcome.loss.backward()  # type: ignore[no-untyped-call]
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert moved
    assert all(p.grad is None for role in model.roles if role != GENERATOR for p in model.role_parameters(role))
    first = examples[0]
    with torch.no_grad(), model.adapters.using(GENERATOR):
        ids = torch.tensor([first.prompt + first.target])
        logits = model.backbone.model(ids).logits[0, len(first.prompt) - 1 : -1].float()
    alone = torch.nn.functional.cross_entropy(logits, torch.tensor(first.target))
    single = TextObjective(model)([first], Totals.of([first]), progress=0.0, seed=0)
    torch.testing.assert_close(single.metrics["ce"], alone, rtol=1e-4, atol=1e-4)
