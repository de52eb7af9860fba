"""How near stores of few bytes come to bfloat16, by what a trained checkpoint finds and writes."""

import random
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from clara.bench.made_up import write_store
from clara.config.evaluation import Generation
from clara.evaluation.answering import Pool
from clara.evaluation.bootstrap import generator_for, interval, resampled_means
from clara.evaluation.metrics import f1, recall_at
from clara.evaluation.predict import with_memories
from clara.files import read_json, write_json
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.packing import STORE_TYPES, StoreType, bytes_per_document
from clara.model.store import DOCUMENTS, MANIFEST, MemoryStore
from clara.records import Pair, Passage, Prediction, Question

BASE: StoreType = "bfloat16"
SHARD = 4096
TOGETHER = 8
SAMPLES, CONFIDENCE = 2000, 0.95
CANDIDATES = 20


@dataclass(frozen=True)
class Quantised:
    """A type of store on the same questions and documents."""

    dtype: StoreType
    bytes_per_document: int
    recall_at_5: float
    """Mean over questions with gold documents, percent."""
    f1: float
    """Mean over all questions, percent."""
    f1_less_bfloat16: float
    """Difference of F1 in points, question by question, and the bounds of its 95 % interval (bootstrap)."""
    f1_from: float
    f1_to: float
    same_answers: float
    """Percent of answers that are bfloat16's, word for word."""
    loss: float
    """Of the gold answer after the prompt that was answered, nats a token: it moves where no answer turns."""
    questions: int


def pool_of_pairs(pairs: Sequence[Pair], documents: Sequence[Passage], *, seed: int = 0) -> Pool:
    """Questions of synthesized pairs, each with its document among others drawn at random, for narrow intervals.

    Args:
        pairs: those without a question, or about a document that is not among `documents`, are left out.
        documents: of the store.
        seed: of the draws.
    """
    texts = [passage.document for passage in documents]
    known, chance = set(texts), random.Random(seed)
    asked = []
    for pair in pairs:
        if pair.question and pair.document in known:
            docs = [text for text in chance.sample(texts, min(CANDIDATES, len(texts))) if text != pair.document]
            place = chance.randrange(CANDIDATES)
            docs = [*docs[:place], pair.document, *docs[place : CANDIDATES - 1]]
            asked.append(
                Question(
                    id=pair.id, question=pair.question, golden_answers=[pair.answer], docs=docs,
                    pos_index=[docs.index(pair.document)],
                )
            )  # fmt: skip
    return Pool("pairs", "oracle", asked)


def compare_types(
    loaded: LoadedCheckpoint, store: Path, pools: Sequence[Pool], folder: Path, *, top_k: int, generation: Generation
) -> list[Quantised]:
    """Recall@5, F1 and loss of the same checkpoint on the same documents, by the type that its store keeps."""
    original = MemoryStore(store)
    docs = {(pool.benchmark, pool.setting, row.id): row.docs for pool in pools for row in pool.questions}
    answered: dict[StoreType, list[Prediction]] = {}
    losses: dict[StoreType, float] = {}
    for dtype in STORE_TYPES:
        copy = _copy(original, folder / dtype, dtype)
        rows = with_memories(dtype, loaded, copy, pools, top_k=top_k, generation=generation, state=None)
        answered[dtype] = rows
        losses[dtype] = _loss(
            loaded, MemoryStore(copy), rows, [docs[row.benchmark, row.setting, row.id] for row in rows]
        )
    base = answered[BASE]
    found = []
    for dtype, rows in answered.items():
        ranked = [row for row in rows if row.ranking is not None and row.pos_index]
        recall = statistics.mean(recall_at(row.ranking or [], row.pos_index, 5) for row in ranked)
        apart = numpy.array([[_f1(row) - _f1(other)] for row, other in zip(rows, base, strict=True)])
        means = resampled_means(apart, SAMPLES, generator_for(0, dtype))
        low, high = interval(means, CONFIDENCE)[:, 0]
        size = bytes_per_document(original.manifest.num_memory, original.manifest.dim, dtype)
        same = statistics.mean(row.prediction == other.prediction for row, other in zip(rows, base, strict=True))
        found.append(
            Quantised(
                dtype=dtype,
                bytes_per_document=size,
                recall_at_5=100 * recall,
                f1=100 * statistics.mean(map(_f1, rows)),
                f1_less_bfloat16=100 * float(apart.mean()),
                f1_from=100 * float(low),
                f1_to=100 * float(high),
                same_answers=100 * same,
                loss=losses[dtype],
                questions=len(rows),
            )
        )
    return found


def _copy(original: MemoryStore, folder: Path, dtype: StoreType) -> Path:
    """The manifest of the same documents' memories as `dtype`, which the same model may read."""
    manifest = write_store(folder, [block for _, block in original.blocks(SHARD)], dtype=dtype)
    shutil.copyfile(original.folder / DOCUMENTS, folder / DOCUMENTS)
    text = read_json(folder / MANIFEST)
    text |= {key: getattr(original.manifest, key) for key in ("compressor_hash", "documents_sha256")}
    write_json(manifest, text)
    return manifest


def _f1(row: Prediction) -> float:
    return max(f1(row.prediction or "", gold) for gold in row.golden_answers)


@torch.inference_mode()
def _loss(
    loaded: LoadedCheckpoint, store: MemoryStore, rows: Sequence[Prediction], docs: Sequence[Sequence[str]]
) -> float:
    """Mean loss of a gold answer's token given the memories of the documents that were selected."""
    model, total, tokens = loaded.model, 0.0, 0.0
    for first in range(0, len(rows), TOGETHER):
        part = list(zip(rows, docs, strict=True))[first : first + TOGETHER]
        texts = [texts[index] for row, texts in part for index in row.selected]
        prompts = [model.tokens.answer_prompt(row.question, len(row.selected)) for row, _ in part]
        targets = [model.tokens.target(row.golden_answers[0], max_tokens=32) for row, _ in part]
        found = model.losses(prompts, targets, model.backbone.put(store.memories(texts)))
        total += float(found.sums.sum())
        tokens += float(found.counts.sum())
    return total / tokens
