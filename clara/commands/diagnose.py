"""The command `clara diagnose`: whether a checkpoint's memories are read, and which words they lie near."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clara.commands.shared import Checkpoint, Json, load, print_json

if TYPE_CHECKING:
    from clara.evaluation.results import Diagnostics, MemoryUse

BOOTSTRAP: dict[str, Any] = {"seed": 42, "confidence": 0.95, "samples": 2000}
SHOWN = 60
"""Characters of a document or question."""


def diagnose(
    checkpoint: Checkpoint,
    questions: Annotated[
        list[Path], typer.Argument(help="JSON lines with question, golden_answers, docs and pos_index")
    ],
    examples: Annotated[int, typer.Option(min=2, help="Questions measured, those with fewest gold documents first")] = (
        30
    ),
    unseen: Annotated[
        list[Path] | None,
        typer.Option(help="Rows that were trained on: questions about their documents are left out; may be repeated"),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Other checkpoint, measured on the same questions and taken off; may be repeated"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure whether a checkpoint's memories are read, and show the words that they lie near."""
    from clara.evaluation import diagnostics, memory_use
    from clara.evaluation.results import Diagnostics, MemoryUse
    from clara.records import Pair, Question
    from clara.row_files import read_rows

    folder = checkpoint.parent if checkpoint.is_file() else checkpoint
    learnt = {pair.document for path in unseen or () for pair in read_rows(Pair, path)}
    chosen = memory_use.choose(
        [memory_use.about_others(read_rows(Question, path), learnt) for path in questions], examples
    )
    model = load(folder)[0].model
    history = folder / "history.jsonl"
    losses = memory_use.question_losses(model, chosen)
    used = memory_use.described(losses, **BOOTSTRAP)
    found = diagnostics.diagnose(model, chosen, history if history.exists() else None)
    compared = []
    for other in against or ():
        others = memory_use.question_losses(load(other)[0].model, chosen)
        beside = {"memory_use": memory_use.described(others, **BOOTSTRAP)}
        compared.append(
            {"checkpoint": other, **beside, "difference": memory_use.difference(losses, others, **BOOTSTRAP)}
        )
    if as_json:
        print_json({"memory_use": used, "diagnostics": found, "against": compared})
    else:
        lines = described(MemoryUse.model_validate(used), Diagnostics.model_validate(found))
        typer.echo("\n".join([*lines, *(line for each in compared for line in _difference(each))]))


def described(use: "MemoryUse", found: "Diagnostics") -> list[str]:
    """The lines that a person reads."""
    losses = ", ".join(f"{name} {value.mean:.3f}" for name, value in use.losses)
    gap = use.wrong_minus_right
    lines = [
        f"memories    {losses} nats a token of the answer, {use.n} questions",
        f"            wrong - right {gap.mean:.3f} ({gap.low:.3f} to {gap.high:.3f}): "
        + ("read" if use.used else "not shown to be read"),
    ]
    if found.validation_loss is not None:
        norms = ", ".join(f"{role} {norm:.3g}" for role, norm in found.gradient_norms.items())
        lines += [
            f"training    {found.steps} steps, validation loss {found.validation_loss.first:.3f} to "
            f"{found.validation_loss.last:.3f}; last gradient norms: {norms}"
        ]
    for near in found.documents:
        lines += [_short("document", near.document), "  nearest   " + " ".join(row[0] for row in near.nearest)]
    for lens in found.questions:
        lines += [_short("question", lens.question), "  lens      " + " ".join(lens.words)]
        lines += ["  not in it " + " ".join(lens.new)] if lens.new else []
    return lines


def _difference(compared: dict[str, Any]) -> list[str]:
    """How the checkpoint differs from another one."""
    right, gap = compared["difference"]["right"], compared["difference"]["wrong_minus_right"]
    return [
        f"against     {compared['checkpoint']}, which is taken off:",
        f"            right {right['mean']:+.3f} ({right['low']:+.3f} to {right['high']:+.3f}), "
        f"wrong - right {gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})",
    ]


def _short(name: str, text: str) -> str:
    return f"{name:<12}{' '.join(text.split())[:SHOWN]}"
