"""The fair baseline: the backbone, tuned by LoRA to answer from the documents' text on CLaRa's own questions."""

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from clara.config.rules import TuneTextRag
from clara.config.training import Optimization
from clara.model import backbone as backbones
from clara.model.adapters import GENERATOR
from clara.model.backbone_card import read_backbone_card
from clara.model.clara import ClaraModel, Shape
from clara.records import Question
from clara.training.objectives import TextObjective
from clara.training.question_examples import instruction_examples
from clara.training.stage_run import run_stage


def tune_text_rag(
    settings: TuneTextRag,
    *,
    backbone: Path,
    questions: Iterable[Question],
    state: Path,
    card: Path,
    inputs: list[Path],
) -> None:
    """Trains the generator's adapter alone, on text, and writes a checkpoint whose compressor is untrained.

    The questions, the documents shown with them and the targets are those of instruction tuning; the rank is CLaRa's;
    as many examples are seen as instruction tuning and joint training see together (`budget`). The main process alone
    goes through `questions`, once.
    """
    instruction, lora = settings.instruction, settings.lora
    loaded = backbones.load(read_backbone_card(backbone), **settings.backbone.loading())
    shape = Shape(1, 1, "plain", lora.rank, lora.alpha, lora.dropout)  # no document is ever compressed
    model = ClaraModel(loaded, shape, seed=settings.seed)
    examples = partial(
        instruction_examples,
        questions,
        model.tokens,
        top_k=instruction.top_k,
        max_target_tokens=instruction.max_target_tokens,
        seed=settings.seed,
        as_text=True,
    )
    run_stage(
        "text_rag",
        model,
        TextObjective(model),
        [GENERATOR],
        examples,
        budget(instruction.optimization, settings.joint),
        settings,
        state=state,
        card=card,
        inputs=inputs,
        parent=None,
        read="prompt",
    )


def budget(instruction: Optimization, joint: Optimization) -> Optimization:
    """Instruction tuning's plan, with steps for the examples of both stages that learn from questions."""
    seen = instruction.steps * instruction.batch_size + joint.steps * joint.batch_size
    return instruction.model_copy(update={"steps": math.ceil(seen / instruction.batch_size)})
