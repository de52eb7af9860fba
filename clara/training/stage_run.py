"""What every stage ends with: its examples on disk, the training, the checkpoint with its record."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy
import torch

from clara import lease
from clara.environment import hashes, write_provenance
from clara.errors import ConfigError
from clara.model import checkpoint
from clara.model.clara import ClaraModel, Shape
from clara.training.example_file import FOLDER, ExampleFile, drop, on_disk, whole
from clara.training.examples import Example, held_out, tokenized
from clara.training.loop import train
from clara.training.objectives import Objective
from clara.training.processes import await_main, join_launch, wait_for_all
from clara.training.runlog import write_history
from clara.training.sampling import Sampler

NO_FLOAT16 = (
    "{}, but trainings need bfloat16 or float32: they do not scale the loss, and small gradients become 0 in float16; "
    "set backbone.dtype to bfloat16"
)


def run_stage(
    stage: str,
    model: ClaraModel,
    objective: Objective,
    learns: list[str],
    make: Callable[[], Iterable[Example]],
    plan: Any,
    settings: Any,
    *,
    state: Path,
    card: Path,
    inputs: list[Path],
    parent: str | None,
    together: int = 1,
    read: Literal["documents", "question", "prompt"] = "documents",
    fetch: Callable[[Sequence[Example]], None] | None = None,
    weigh: Callable[[], None] | None = None,
) -> None:
    """Trains what `learns` names by `plan` and writes the checkpoint.

    The main process alone makes the examples, and weighs tokens by `weigh` where there is one; the others wait, and
    read what it left. When the checkpoint is written, the examples are deleted.

    Args:
        read: what of an example is read besides its prompt.
    """
    label = f"{stage} {card.parent.name}"
    if plan.gradient_checkpointing:
        if model.backbone.compiled:
            raise ConfigError(
                f"backbone.compile and {stage}.optimization.gradient_checkpointing are both true, but a compiled body "
                "cannot take up the adapter that a layer is recomputed with; set one of them to false"
            )
        model.checkpoint_layers()
    if plan.steps and model.backbone.dtype == torch.float16:
        raise ConfigError(NO_FLOAT16.format(f"{stage} computes in float16"))
    launch = join_launch()
    with lease.held(state) if launch.is_main_process else nullcontext():
        identity = _identity(settings, model.shape, inputs)
        folder = state / f"{FOLDER}{identity[:16]}"
        if launch.is_main_process:
            on_disk(folder, tokenized(make(), model.tokens, read=read), salience=partial(_weighed, model, weigh))
        else:
            await_main(partial(whole, folder), launch, beat=state / lease.FILE)
        examples = ExampleFile(folder)
        if examples.salience is not None and model.salience is not None:
            model.salience.copy_(examples.salience)
        _require_room(model, examples)
        if launch.is_main_process and any(examples.shortened[2:]):
            texts = "questions" if read == "question" else "documents"
            print(f"{label}: {examples.shortened.sentence(texts)}", file=sys.stderr, flush=True)
        training, validation = held_out(examples.groups, count=plan.validation_examples, seed=settings.seed)
        rows = train(
            model,
            objective,
            learns=learns,
            sampler=Sampler(
                examples.chosen(training), batch_size=plan.batch_size, seed=settings.seed, together=together
            ),
            validation=list(examples.chosen(validation)),
            plan=plan,
            seed=settings.seed,
            state_folder=state,
            identity=identity,
            label=label,
            fetch=fetch,
        )
        del examples  # and the maps of its files
        if launch.is_main_process:
            written = card.parent
            write_history(written / "history.jsonl", rows)
            checkpoint.save(written, model, stage=stage, learned=learns, parent=parent, card_name=card.name)
            made = [card, written / "history.jsonl"]
            write_provenance(written, settings.model_dump(), seed=settings.seed, inputs=inputs, outputs=made)
        wait_for_all(launch)  # nobody reads the examples any more
        if launch.is_main_process:
            drop(state)
        wait_for_all(launch)  # whoever returns from here finds the checkpoint, and no examples


def _weighed(model: ClaraModel, weigh: Callable[[], None] | None) -> torch.Tensor | None:
    """The weights of tokens by `weigh`; None where there is nothing to weigh by."""
    if weigh is None:
        return None
    weigh()
    return model.salience


def _require_room(model: ClaraModel, examples: ExampleFile) -> None:
    """Refuses the first example that is too long, before the first step and not at the step that draws it.

    Raises:
        ConfigError: names it.
    """
    if model.backbone.context is not None:
        lengths = examples.lengths
        for number in numpy.flatnonzero(lengths > model.backbone.context)[:1]:
            name = f"the prompt of {examples[int(number)].key} with its target"
            model.backbone.require_room(int(lengths[number]), name)


def _identity(settings: Any, shape: Shape, inputs: list[Path]) -> str:
    """SHA-256 over all that a run depends on besides the code."""
    parts = [settings.model_dump_json(), repr(shape), *hashes(inputs).values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
