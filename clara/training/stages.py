"""The three stages: from settings and records to a checkpoint folder."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from clara.config.rules import Pretrain, TrainJoint, TuneInstructions
from clara.errors import ConfigError, DataError
from clara.model import backbone as backbones
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.backbone_card import read_backbone_card
from clara.model.clara import ClaraModel, Shape
from clara.model.store import MemoryStore
from clara.records import Pair, Question
from clara.training.examples import Example, instruction_examples, joint_examples, narrowed, pretraining_examples
from clara.training.joint import JointObjective, RankingObjective
from clara.training.objectives import CompressionObjective, Objective
from clara.training.prefetch import AheadStore
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


def _backbone(card: Path, settings: Any) -> backbones.LoadedBackbone:
    return backbones.load(read_backbone_card(card), **settings.backbone.loading())


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
