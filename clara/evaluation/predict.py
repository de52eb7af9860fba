"""Predictions: what CLaRa and the baselines answer, written before anything is scored."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from clara.config.evaluation import Generation
from clara.data.candidates import rank_candidates
from clara.errors import CheckpointError, DataError
from clara.evaluation import writers
from clara.evaluation.answering import Pool, Task, predictions
from clara.files import text_id
from clara.model.adapters import QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.model.scoring import pad_pools
from clara.model.store import MemoryStore
from clara.records import Prediction, Question
from clara.row_files import read_rows
from clara.tokens import AddedIds, Encoder

QUERY_BATCH_TOKENS = 4096
SCORED_TOGETHER = 16
"""Questions whose pools are scored together; 20 documents of 64 vectors of 4,096 are 10 MB in bfloat16."""


def read_pools(paths: Sequence[Path]) -> list[Pool]:
    """The candidate files `{benchmark}.{split}.{setting}.jsonl`.

    Raises:
        DataError: a file has another name, or its rows are no questions.
    """
    pools = []
    for path in paths:
        match = re.fullmatch(r"([^.]+)\.[^.]+\.(oracle|normal)\.jsonl", path.name)
        if match is None:
            raise DataError(
                f"the candidates file {path} must be named BENCHMARK.test.oracle.jsonl or BENCHMARK.test.normal.jsonl"
            )
        benchmark, setting = match.groups()
        pools.append(Pool(benchmark, setting, read_rows(Question, path)))
    return pools


def whole_store(loaded: LoadedCheckpoint, manifest: Path) -> MemoryStore:
    """The store, which the checkpoint's compressor built; every file is read once.

    Raises:
        CheckpointError: it is of another compressor, or a file is not as it was written.
    """
    store = MemoryStore(manifest)
    store.require(loaded.compressor_hash)
    store.require_unharmed()
    return store


def select_with_reasoner(model: ClaraModel, store: MemoryStore, pools: Sequence[Pool], *, top_k: int) -> list[Task]:
    """Tasks whose documents the query reasoner ranked by the model's form of score and selected, best first.

    Raises:
        CheckpointError: the model has no query reasoner.
    """
    if not model.has_query_reasoner:
        raise CheckpointError(
            "a checkpoint without a query reasoner cannot select documents; predict with one of joint training"
        )
    texts = sorted({question.question for pool in pools for question in pool.questions})
    inputs = [model.tokens.to_compress(text) for text in texts]
    encoded = encode_texts(model, inputs, batch_tokens=QUERY_BATCH_TOKENS, role=QUERY_REASONER)
    vectors = dict(zip(texts, encoded, strict=True))
    asked = [(pool, question) for pool in pools for question in pool.questions]
    tasks = []
    for first in range(0, len(asked), SCORED_TOGETHER):
        part = asked[first : first + SCORED_TOGETHER]
        memories = store.memories([text for _, question in part for text in question.docs])
        documents, valid = pad_pools(model.backbone.put(memories), [len(question.docs) for _, question in part])
        queries = model.backbone.put(torch.stack([vectors[question.question] for _, question in part]))
        found = model.scores(queries, documents, valid).cpu()
        for (pool, question), row in zip(part, found.tolist(), strict=True):
            scores = row[: len(question.docs)]
            ranking = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
            rounded = [round(score, 6) for score in scores]
            tasks.append(Task(pool, question, ranking, rounded, ranking[:top_k]))
    return tasks


def select_with_bm25(pools: Sequence[Pool], *, top_k: int) -> list[Task]:
    """Tasks whose documents are the best of each question's own pool by BM25."""
    tasks = []
    for pool in pools:
        for question in pool.questions:
            ranked = rank_candidates(question)
            tasks.append(Task(pool, question, ranked.ranking, ranked.scores, ranked.ranking[:top_k]))
    return tasks


def select_given(pools: Sequence[Pool], *, top_k: int) -> list[Task]:
    """Tasks whose documents are given, not chosen, as where a compressor alone is judged (Tables 1 and 5).

    In oracle pools the gold documents are among them, the others are BM25's best; in normal pools all are BM25's best.
    The generator reads them in BM25's order, so that the place of a document does not tell that it is gold.
    """
    tasks = []
    for pool in pools:
        for question in pool.questions:
            ranked = rank_candidates(question).ranking
            gold = question.pos_index[:top_k] if pool.setting == "oracle" else []
            others = [index for index in ranked if index not in gold][: top_k - len(gold)]
            read = [index for index in ranked if index in {*gold, *others}]
            tasks.append(Task(pool, question, None, None, read))
    return tasks


def without_documents(pools: Sequence[Pool]) -> list[Task]:
    """Tasks without any document."""
    return [Task(pool, question, None, None, []) for pool in pools for question in pool.questions]


def with_memories(
    system: str,
    loaded: LoadedCheckpoint,
    store: Path,
    pools: Sequence[Pool],
    *,
    top_k: int,
    generation: Generation,
    state: Path | None,
) -> list[Prediction]:
    """Predictions of CLaRa: the reasoner selects in the store, the generator answers from memories.

    The generator is folded into the backbone, so that a token costs what it costs the bare backbone.

    Args:
        system: name of the system.
        loaded: checkpoint of joint training.
        store: manifest of a store that its compressor built.
        pools: what to answer.
        top_k: documents that the generator reads.
        generation: length of answers and batch size.
        state: folder where answers of an interrupted run wait; None keeps none.

    Raises:
        CheckpointError: the store is of another compressor or damaged, or the checkpoint has no query reasoner.
        ConfigError: a prompt is longer than the language model's context.
    """
    memories = whole_store(loaded, store)
    tasks = select_with_reasoner(loaded.model, memories, pools, top_k=top_k)
    return from_memories(system, loaded, memories, tasks, generation=generation, state=state)


def from_memories(
    system: str,
    loaded: LoadedCheckpoint,
    memories: MemoryStore,
    tasks: Sequence[Task],
    *,
    generation: Generation,
    state: Path | None,
) -> list[Prediction]:
    """Predictions of a checkpoint of any stage from the stored memories of the tasks' documents.

    Args:
        system: name of the system.
        loaded: its generator answers.
        memories: a store that its compressor built.
        tasks: what to answer, and from what.
        generation: length of answers and batch size.
        state: folder where answers of an interrupted run wait; None keeps none.

    Raises:
        CheckpointError: the store is of another compressor.
        ConfigError: a prompt is longer than the language model's context.
    """
    model = loaded.model
    memories.require(loaded.compressor_hash)
    origin = [loaded.card.weights_hash, memories.path.read_text("utf-8"), generation.model_dump_json()]
    origin += [repr((task.pool.benchmark, task.pool.setting, task.question, task.selected)) for task in tasks]
    # Named by all that an answer depends on: answers of another checkpoint are never taken for this one's.
    origin_id = text_id("\n".join(origin))
    done_file = state / f"answers-{origin_id}.jsonl" if state else None

    def prompt(task: Task) -> list[int]:
        return model.tokens.answer_prompt(task.question.question, len(task.selected))

    _require_room(model.backbone, tasks, prompt, generation)
    with writers.from_memories(model, generation, state) as writer:

        def answer(batch: Sequence[Task]) -> list[str]:
            documents = [task.question.docs[index] for task in batch for index in task.selected]
            return writer.write([prompt(task) for task in batch], memories.memories(documents) if documents else None)

        return predictions(
            system,
            tasks,
            answer,
            length=lambda task: len(prompt(task)),
            batch_size=writer.batch_size,
            done_file=done_file,
        )


def with_backbone(
    system: str, backbone: LoadedBackbone, tasks: Sequence[Task], *, generation: Generation
) -> list[Prediction]:
    """Predictions of the backbone alone: from the text of the tasks' documents, or from nothing where there is none."""
    added = AddedIds(backbone.vocab_size, 0)
    tokens = Encoder(backbone.tokenizer, end_of_turn=backbone.end_of_turn, added=added, document_max_tokens=1)

    def prompt(task: Task) -> list[int]:
        texts = [task.question.docs[index] for index in task.selected]
        return tokens.answer_prompt(task.question.question, texts or None)

    _require_room(backbone, tasks, prompt, generation)
    with writers.from_text(backbone, generation) as writer:
        return predictions(
            system,
            tasks,
            lambda batch: writer.write([prompt(task) for task in batch], None),
            length=lambda task: len(prompt(task)),
            batch_size=writer.batch_size,
            done_file=None,
        )


def _require_room(
    backbone: LoadedBackbone, tasks: Sequence[Task], prompt: Callable[[Task], list[int]], generation: Generation
) -> None:
    """Refuses a question whose prompt and answer are too long before the first is answered: the longest come last."""
    for task in tasks:
        length = len(prompt(task)) + generation.max_new_tokens
        backbone.require_room(length, f"the prompt of question {task.question.id} with its answer")
