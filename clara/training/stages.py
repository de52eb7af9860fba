"""The three stages: from settings and records to a checkpoint folder."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from clara.config.rules import Pretrain, TrainJoint, TuneInstructions
from clara.errors import ConfigError
from clara.model import backbone as backbones
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.backbone_card import read_backbone_card
from clara.model.clara import ClaraModel, Shape
from clara.model.store import MemoryStore
from clara.records import Pair, Question
from clara.training.examples import Example, pretraining_examples
from clara.training.joint import JointObjective, RankingObjective
from clara.training.objectives import CompressionObjective, Objective
from clara.training.prefetch import AheadStore
from clara.training.processes import by_main, join_launch
from clara.training.question_examples import (
    distinct_questions,
    instruction_examples,
    joint_examples,
    narrowed,
    rankable,
)
from clara.training.rows import chosen_rows, distinct
from clara.training.stage_run import run_stage


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
    questions: Iterable[Question],
    state: Path,
    card: Path,
    inputs: list[Path],
) -> None:
    """Trains on answering questions from several documents' memories (section 2.3) and writes the checkpoint.

    The main process alone goes through `questions`, once, and holds none of them afterwards.
    """
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
    questions: Iterable[Question],
    state: Path,
    card: Path,
    inputs: list[Path],
) -> None:
    """Trains query reasoner and generator through the differentiable top-k (section 3) and writes the checkpoint.

    With the objective `ranking` the query reasoner alone learns, from relevance labels. The main process alone goes
    through `questions`, once, and through the bytes of the store.

    Raises:
        DataError: a question's id stands twice, or no question can be learned from.
        CheckpointError: the store is of another compressor, or not as it was written.
    """
    joint = settings.joint
    loaded = checkpoint.load(start, **settings.backbone.loading())
    model = loaded.model
    stored = MemoryStore(store)
    stored.require(loaded.compressor_hash)
    memories = AheadStore(stored)
    if not model.has_query_reasoner:
        maps = {"question_map": joint.question_map, "document_map": joint.document_map}
        model.add_query_reasoner(joint.reasoner_init, seed=settings.seed, **maps)
    by_main(stored.require_unharmed, join_launch())
    tau = (joint.temperature, joint.temperature_end)
    objective: Objective
    if joint.objective == "ranking":
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

    def examples() -> Iterator[Example]:
        chosen = (narrowed(question, joint.candidates) for question in distinct_questions(questions))
        kept = rankable(chosen) if joint.objective == "ranking" else chosen
        return joint_examples(kept, model.tokens, top_k=slots, max_target_tokens=joint.max_target_tokens)

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


def _backbone(card: Path, settings: Any) -> backbones.LoadedBackbone:
    return backbones.load(read_backbone_card(card), **settings.backbone.loading())
