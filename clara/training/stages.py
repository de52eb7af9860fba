"""The three stages: from settings and records to a checkpoint folder."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from clara import lease
from clara.config.rules import Pretrain, TrainJoint, TuneInstructions
from clara.environment import hashes, write_provenance
from clara.errors import ConfigError, DataError
from clara.model import backbone as backbones
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.clara import ClaraModel, Shape
from clara.model.store import MemoryStore
from clara.records import Pair, Question
from clara.training.example_file import FOLDER, ExampleFile, drop, on_disk, whole
from clara.training.examples import (
    Example,
    hold_out,
    instruction_examples,
    joint_examples,
    narrowed,
    pretraining_examples,
    tokenized,
)
from clara.training.joint import JointObjective, RankingObjective
from clara.training.loop import train
from clara.training.objectives import CompressionObjective, Objective
from clara.training.prefetch import AheadStore
from clara.training.processes import await_main, join_launch, wait_for_all
from clara.training.rows import chosen_rows, distinct
from clara.training.runlog import write_history
from clara.training.sampling import Sampler

NO_FLOAT16 = (
    "{}, but trainings need bfloat16 or float32: they do not scale the loss, and small gradients become 0 in float16; "
    "set backbone.dtype to bfloat16"
)


def pretrain(
    settings: Pretrain,
    *,
    ratio: int,
    pairs: Iterable[Pair],
    backbone: Path,
    state: Path,
    card: Path,
    inputs: list[Path],
) -> None:
    """Trains compressor and generator on synthesized rows (paper, section 2.2) and writes the checkpoint.

    The main process alone goes through `pairs`, several times, and holds none of them afterwards.
    """
    memory, lora = settings.memory, settings.lora
    if ratio > memory.document_max_tokens:
        raise ConfigError(
            f"ratio {ratio} exceeds memory.document_max_tokens = {memory.document_max_tokens}; choose less"
        )
    shape = Shape(
        memory.document_max_tokens // ratio,
        memory.document_max_tokens,
        memory.form,
        lora.rank,
        lora.alpha,
        lora.dropout,
        memory.score,
        memory.idf_power,
    )
    model = ClaraModel(_backbone(backbone, settings), shape, seed=settings.seed)

    def examples() -> Iterator[Example]:
        return pretraining_examples(
            chosen_rows(pairs, settings.pretraining.rows, document_share=settings.pretraining.document_share),
            model.tokens,
            kinds=settings.pretraining.kinds,
            qa_target=settings.pretraining.qa_target,
            max_target_tokens=settings.pretraining.max_target_tokens,
        )

    objective = CompressionObjective(
        model, mse_weight=settings.pretraining.mse_weight, mse_reduction=settings.pretraining.mse_reduction
    )
    run_stage(
        "pretraining",
        model,
        objective,
        [COMPRESSOR, GENERATOR],
        examples,
        settings.pretraining.optimization,
        settings,
        state=state,
        card=card,
        inputs=inputs,
        parent=None,
        together=settings.pretraining.pairs_together,
        weigh=lambda: model.set_salience(distinct(pair.document for pair in pairs)),
    )


def tune_instructions(
    settings: TuneInstructions,
    *,
    start: Path,
    questions: Sequence[Question],
    state: Path,
    card: Path,
    inputs: list[Path],
) -> None:
    """Trains on answering questions from several documents' memories (section 2.3) and writes the checkpoint."""
    loaded = checkpoint.load(start, **settings.backbone.loading())
    model = loaded.model
    if settings.instruction.reset_generator:
        model.reset_generator(seed=settings.seed)
    examples = partial(
        instruction_examples,
        questions,
        model.tokens,
        top_k=settings.instruction.top_k,
        max_target_tokens=settings.instruction.max_target_tokens,
        seed=settings.seed,
    )
    objective = CompressionObjective(
        model, mse_weight=settings.instruction.mse_weight, mse_reduction=settings.instruction.mse_reduction
    )
    run_stage(
        "instruction",
        model,
        objective,
        list(settings.instruction.learns),
        examples,
        settings.instruction.optimization,
        settings,
        state=state,
        card=card,
        inputs=inputs,
        parent=loaded.card.weights_hash,
    )


def train_joint(
    settings: TrainJoint,
    *,
    start: Path,
    store: Path,
    questions: Sequence[Question],
    state: Path,
    card: Path,
    inputs: list[Path],
) -> None:
    """Trains query reasoner and generator through the differentiable top-k (section 3) and writes the checkpoint.

    With the objective `ranking` the query reasoner alone learns, from relevance labels.

    Raises:
        DataError: a question's id stands twice, or no question can be learned from.
        CheckpointError: the store is of another compressor.
    """
    joint = settings.joint
    loaded = checkpoint.load(start, **settings.backbone.loading())
    model = loaded.model
    stored = MemoryStore(store)
    stored.require(loaded.compressor_hash)
    stored.require_unharmed()
    memories = AheadStore(stored)
    if not model.has_query_reasoner:
        maps = {"question_map": joint.question_map, "document_map": joint.document_map}
        model.add_query_reasoner(joint.reasoner_init, seed=settings.seed, **maps)
    _require_distinct(questions)
    questions = [narrowed(question, joint.candidates) for question in questions]
    tau = (joint.temperature, joint.temperature_end)
    objective: Objective
    if joint.objective == "ranking":
        questions = _rankable(questions)
        objective = RankingObjective(model, store=memories, top_k=joint.top_k, temperature=tau)
    else:
        objective = JointObjective(
            model,
            store=memories,
            top_k=joint.top_k,
            temperature=tau,
            selection=joint.selection,
            mask_epsilon=joint.mask_epsilon,
        )
    slots = 1 if joint.selection == "marginal" else joint.top_k
    examples = partial(joint_examples, questions, model.tokens, top_k=slots, max_target_tokens=joint.max_target_tokens)
    run_stage(
        "joint",
        model,
        objective,
        joint.trained(),
        examples,
        joint.optimization,
        settings,
        state=state,
        card=card,
        inputs=inputs,
        parent=loaded.card.weights_hash,
        read="question",
        fetch=memories.fetch,
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
    read: Literal["documents", "question"] = "documents",
    fetch: Callable[[Sequence[Example]], None] | None = None,
    weigh: Callable[[], None] | None = None,
) -> None:
    """Trains what `learns` names by `plan` and writes the checkpoint: what every stage ends with.

    The main process alone makes the examples, and weighs tokens by `weigh` where there is one; the others wait, and
    read what it left. When the checkpoint is written, the examples are deleted.
    """
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
        for example in examples:  # before the first step, not at the step that draws the longest
            length = len(example.prompt) + len(example.target)
            model.backbone.require_room(length, f"the prompt of {example.key} with its target")
        training, validation = hold_out(examples, count=plan.validation_examples, seed=settings.seed)
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
            label=f"{stage} {card.parent.name}",
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


def _identity(settings: Any, shape: Shape, inputs: list[Path]) -> str:
    """SHA-256 over all that a run depends on besides the code."""
    parts = [settings.model_dump_json(), repr(shape), *hashes(inputs).values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _backbone(card: Path, settings: Any) -> backbones.LoadedBackbone:
    return backbones.load(backbones.read_card(card), **settings.backbone.loading())


def _require_distinct(questions: Sequence[Question]) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise DataError(
                f"the question id {question.id} stands on two rows of the candidates; give every row its own"
            )
        seen.add(question.id)


def _rankable(questions: Sequence[Question]) -> list[Question]:
    """Questions with gold documents and with others; says how many are left out.

    Raises:
        DataError: there are none.
    """
    kept = [question for question in questions if 0 < len(question.pos_index) < len(question.docs)]
    if not kept:
        raise DataError(
            f"none of {len(questions)} questions has both gold and other documents among its candidates, so no ranking "
            "can be learned; use candidates whose pos_index names the gold ones"
        )
    if left := len(questions) - len(kept):
        print(f"{left} of {len(questions)} questions lack gold or other documents; left out", file=sys.stderr)
    return kept
