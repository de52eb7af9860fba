"""What each rule reads: one class a rule, its fields the sections that reach the program as `--settings`."""

import itertools
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import ValidationError

from clara.config import corpus, evaluation, measurements, merge, model, synthesis, training
from clara.config.base import At, Seed, Strict, Text
from clara.errors import ConfigError

SettingsType = TypeVar("SettingsType", bound=Strict)


class FetchCorpus(Strict):
    source: Annotated[corpus.Source, At("corpus.source")]


class PrepareBackbone(Strict):
    seed: Seed
    source: Annotated[model.BackboneSource, At("backbone.source")]
    revision: Annotated[Text | None, At("backbone.revision")]
    trust_remote_code: Annotated[bool, At("backbone.trust_remote_code")]


class SplitPassages(Strict):
    source: Annotated[corpus.Source, At("corpus.source")]
    passages: Annotated[corpus.Passages, At("corpus.passages")]
    document_max_tokens: Annotated[int, At("memory.document_max_tokens")]


class PrepareQuestions(Strict):
    benchmark: Annotated[corpus.Benchmark, At("benchmarks.{benchmark}")]


class Bm25(Strict):
    bm25_k1: Annotated[float, At("candidates.bm25_k1")]
    bm25_b: Annotated[float, At("candidates.bm25_b")]


class MakeCandidates(Bm25):
    seed: Seed
    size: Annotated[int, At("candidates.size")]
    train_size: Annotated[int | None, At("candidates.train_size")]


class Synthesize(Strict):
    seed: Seed
    synthesis: synthesis.Synthesis
    cpu_threads: Annotated[int, At("backbone.cpu_threads")]


class GatherPairs(Strict):
    exclude_leaks: Annotated[bool, At("synthesis.exclude_leaks")]


class ExportPairs(Strict):
    pass


class ReviewPairs(Strict):
    seed: Seed


class Pretrain(Strict):
    seed: Seed
    backbone: model.Backbone
    memory: model.Memory
    lora: model.Lora
    pretraining: training.Pretraining


class TuneInstructions(Strict):
    seed: Seed
    backbone: model.Backbone
    instruction: training.Instruction


class AnswerAsTeacher(Strict):
    seed: Seed
    backbone: model.Backbone
    top_k: Annotated[int, At("instruction.top_k")]
    max_target_tokens: Annotated[int, At("instruction.max_target_tokens")]
    generation: Annotated[evaluation.Generation, At("evaluation.generation")]


class TuneTextRag(Strict):
    seed: Seed
    backbone: model.Backbone
    lora: model.Lora
    instruction: training.Instruction
    joint: Annotated[training.Optimization, At("joint.optimization")]


class CompressDocuments(Strict):
    backbone: model.Backbone
    compression: training.Compression


class TrainJoint(Strict):
    seed: Seed
    backbone: model.Backbone
    joint: training.Joint


class MeasureMemoryUse(Strict):
    seed: Seed
    backbone: model.Backbone
    memory_use_examples: Annotated[int, At("evaluation.memory_use_examples")]
    confidence: Annotated[float, At("evaluation.scoring.confidence")]
    bootstrap_samples: Annotated[int, At("evaluation.scoring.bootstrap_samples")]


class Predict(Strict):
    backbone: model.Backbone
    top_k: Annotated[int, At("evaluation.top_k")]
    generation: Annotated[evaluation.Generation, At("evaluation.generation")]


class PredictBaseline(Strict):
    backbone: model.Backbone
    top_k: Annotated[int | None, At("evaluation.top_k", "baseline", ("text_rag", "text_rag_tuned"))]
    generation: Annotated[evaluation.Generation, At("evaluation.generation")]


class PredictCompressedText(Predict):
    document_max_tokens: Annotated[int, At("memory.document_max_tokens")]
    llmlingua2: Annotated[evaluation.OtherModel | None, At("evaluation.llmlingua2", "method", ("llmlingua2",))]


class PredictReleased(Predict):
    compression: training.Compression
    released: Annotated[evaluation.Released, At("evaluation.released.{released}")]


class PredictByK(Strict):
    backbone: model.Backbone
    generation: Annotated[evaluation.Generation, At("evaluation.generation")]
    by_k: Annotated[list[int], At("measurements.by_k")]


class ScoreByK(Strict):
    seed: Seed
    scoring: Annotated[evaluation.Scoring, At("evaluation.scoring")]


class RewriteDocuments(Strict):
    seed: Seed
    backbone: model.Backbone
    pretraining: training.Pretraining
    documents: Annotated[int, At("measurements.recovery.documents")]
    max_new_tokens: Annotated[int, At("measurements.recovery.max_new_tokens")]
    batch_size: Annotated[int, At("evaluation.generation.batch_size")]


class MeasureBertScore(Strict):
    cpu_threads: Annotated[int, At("backbone.cpu_threads")]
    encoder: Annotated[Text | None, At("measurements.recovery.bert_score")]
    layer: Annotated[int | None, At("measurements.recovery.bert_score_layer")]


class ScoreRecovery(ScoreByK):
    entities: Annotated[Text | None, At("measurements.recovery.entities")]


class ScoreGrounding(ScoreByK):
    grounding: Annotated[measurements.Grounding, At("measurements.grounding")]


class MeasureEfficiency(Bm25):
    backbone: model.Backbone
    top_k: Annotated[int, At("evaluation.top_k")]
    efficiency: Annotated[measurements.Efficiency, At("measurements.efficiency")]


class MeasureStates(Strict):
    seed: Seed
    backbone: model.Backbone
    states: Annotated[measurements.States, At("measurements.states")]


class MeasureData(Strict):
    ratios: list[int]
    document_max_tokens: Annotated[int, At("memory.document_max_tokens")]


class AggregateSeeds(Strict):
    seed: Seed
    seeds: list[Seed]


class CollectTraining(Strict):
    pass


class DrawFigure(Strict):
    pass


class RankNeural(Strict):
    cpu_threads: Annotated[int, At("backbone.cpu_threads")]
    ranker: Annotated[evaluation.Dense | evaluation.OtherModel, At("evaluation.{ranker}")]


class Score(Strict):
    seed: Seed
    scoring: Annotated[evaluation.Scoring, At("evaluation.scoring")]


class MakePaperTable(Strict):
    run: str
    ratios: list[int]
    backbone: Annotated[evaluation.PaperBackbone, At("paper.backbone")]


class MakeScorecard(MakePaperTable):
    seed: Seed
    seeds: list[Seed]
    scoring: Annotated[evaluation.Scoring, At("evaluation.scoring")]


class BuildReport(Strict):
    run: str
    seed: Seed
    license: Annotated[Text | None, At("corpus.license")]
    scoring: Annotated[evaluation.Scoring, At("evaluation.scoring")]
    report: evaluation.Report


RULES: dict[str, type[Strict]] = {
    "fetch_corpus": FetchCorpus,
    "prepare_backbone": PrepareBackbone,
    "split_passages": SplitPassages,
    "prepare_questions": PrepareQuestions,
    "make_candidates": MakeCandidates,
    "synthesize": Synthesize,
    "gather_pairs": GatherPairs,
    "export_pairs": ExportPairs,
    "review_pairs": ReviewPairs,
    "pretrain": Pretrain,
    "tune_instructions": TuneInstructions,
    "answer_as_teacher": AnswerAsTeacher,
    "tune_text_rag": TuneTextRag,
    "compress_documents": CompressDocuments,
    "train_joint": TrainJoint,
    "measure_memory_use": MeasureMemoryUse,
    "predict": Predict,
    "predict_baseline": PredictBaseline,
    "predict_compressed_text": PredictCompressedText,
    "predict_released": PredictReleased,
    "rank_neural": RankNeural,
    "score": Score,
    "make_paper_table": MakePaperTable,
    "make_scorecard": MakeScorecard,
    "predict_given": Predict,
    "predict_given_text": Predict,
    "predict_given_compressed_text": PredictCompressedText,
    "predict_by_k": PredictByK,
    "score_by_k": ScoreByK,
    "rewrite_documents": RewriteDocuments,
    "measure_bert_score": MeasureBertScore,
    "score_recovery": ScoreRecovery,
    "score_grounding": ScoreGrounding,
    "measure_efficiency": MeasureEfficiency,
    "measure_states": MeasureStates,
    "measure_data": MeasureData,
    "aggregate_seeds": AggregateSeeds,
    "collect_training": CollectTraining,
    "draw_figure": DrawFigure,
    "build_report": BuildReport,
}


def wildcard_values(rule: str, config: dict[str, Any]) -> list[dict[str, str]]:
    """The wildcards that decide what a job of `rule` reads, for each such job; one empty mapping where none does."""
    known: dict[str, Iterable[str]] = {
        "benchmark": config["benchmarks"],
        "baseline": ("no_retrieval", "text_rag", "text_rag_tuned"),
        "method": evaluation.PER_RATIO,
        "released": config["evaluation"]["released"],
        "ranker": ("dense", "cross_encoder"),
    }
    found = marks_of(rule).values()
    names = {name for mark in found for name in (mark.wildcard, *re.findall(r"{(\w+)}", mark.path)) if name}
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(known[name] for name in names))]


def marks_of(rule: str) -> dict[str, At]:
    """Field name → where its section stands in the configuration, for the settings class of `rule`."""
    found = {}
    for name, field in RULES[rule].model_fields.items():
        marks = [mark for mark in field.metadata if isinstance(mark, At)]
        found[name] = marks[0] if marks else At(name)
    return found


def sections_of(rule: str) -> dict[str, str]:
    """Field name → dotted path in the configuration, for the settings class of `rule`."""
    return {name: mark.path for name, mark in marks_of(rule).items()}


def settings_for(rule: str, config: dict[str, Any], **wildcards: str) -> dict[str, Any]:
    """The part of a (merged) configuration that decides what `rule` makes, ready for JSON.

    Args:
        rule: a key of `RULES`.
        config: a whole configuration as plain data, overrides of a variant merged in.
        wildcards: of the job; values for names in braces in a section's path, such as `benchmark`, among them.

    Raises:
        ConfigError: a section is missing, such as that of an unknown benchmark; names the known ones.
    """
    deciding: dict[str, Any] = _parted(RULES[rule], _sections_for(rule, config, wildcards))[0]
    return deciding


def aside_for(rule: str, config: dict[str, Any], **wildcards: str) -> dict[str, Any]:
    """The rest of what `rule` reads (`ASIDE`), in the same form: `parse_settings` takes both."""
    return _parted(RULES[rule], _sections_for(rule, config, wildcards))[1]


def _sections_for(rule: str, config: dict[str, Any], wildcards: dict[str, str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, mark in marks_of(rule).items():
        if mark.wildcard and wildcards[mark.wildcard] not in mark.among:
            chosen[name] = None
            continue
        value: Any = config
        path = mark.path.format(**wildcards)
        for key in path.split("."):
            if key not in value:
                raise ConfigError(f"{path} is not in the configuration; known: {', '.join(value) or 'none'}")
            value = value[key]
        chosen[name] = value
    return chosen


def _parted(kind: Any, values: Any) -> tuple[Any, dict[str, Any]]:
    """What decides a result, of values for `kind`, and what does not."""
    if not (isinstance(kind, type) and issubclass(kind, Strict) and isinstance(values, dict)):
        return values, {}
    deciding, aside = {}, {}
    for name, value in values.items():
        field = kind.model_fields.get(name)
        if field is not None and field.exclude:
            aside[name] = value
            continue
        deciding[name], below = _parted(field and field.annotation, value)
        if below:
            aside[name] = below
    return deciding, aside


def parse_settings(kind: type[SettingsType], text: str, aside: str = "{}") -> SettingsType:
    """The settings of a program from the JSON that follows its `--settings` and, where it has one, its `--aside`.

    Raises:
        ConfigError: no JSON, or a key is unknown, missing or of another type; names all of them.
    """
    try:
        return kind.model_validate_json(_joined(text, aside))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'the text'}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
            for fault in error.errors()
        )
        raise ConfigError(
            f"--settings is no {kind.__name__} settings: {faults}; pass what the workflow prints"
        ) from error


def _joined(text: str, aside: str) -> str:
    try:
        return json.dumps(merge(json.loads(text), json.loads(aside)))
    except (ValueError, AttributeError):  # no JSON, or no mapping: left to the check of the settings
        return text
