"""Predictions: what CLaRa and the baselines answer, written before anything is scored."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clara.config.evaluation import Generation
from clara.data.bm25 import rank_documents
from clara.model.adapters import GENERATOR, QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel, cosine_scores
from clara.model.compression import compress
from clara.model.generator import generate
from clara.model.store import MemoryStore
from clara.progress import Progress
from clara.records import Prediction, Question, read_rows
from clara.tokens import AddedIds, Encoder

QUERY_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Pool:
    """The questions of one benchmark in one setting."""

    benchmark: str
    setting: str
    questions: list[Question]


@dataclass(frozen=True)
class Task:
    """One question to answer: which documents are read, and how they were ranked."""

    pool: Pool
    question: Question
    ranking: list[int] | None
    scores: list[float] | None
    selected: list[int]


def read_pools(paths: Sequence[Path]) -> list[Pool]:
    """The candidate files `{benchmark}.{split}.{setting}.jsonl`."""
    pools = []
    for path in paths:
        benchmark, _, setting = path.name.removesuffix(".jsonl").split(".")
        pools.append(Pool(benchmark, setting, read_rows(Question, path)))
    return pools


def select_with_reasoner(model: ClaraModel, store: MemoryStore, pools: Sequence[Pool], *, top_k: int) -> list[Task]:
    """Tasks whose documents the query reasoner ranked by cosine and selected, best first."""
    tasks = []
    for pool in pools:
        inputs = [model.tokens.to_compress(question.question) for question in pool.questions]
        vectors = compress(model, inputs, batch_tokens=QUERY_BATCH_TOKENS, role=QUERY_REASONER)
        for question, vector in zip(pool.questions, vectors, strict=True):
            scores = cosine_scores(vector[None], store.memories(question.docs)[None])[0].tolist()
            ranking = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
            rounded = [round(score, 6) for score in scores]
            tasks.append(Task(pool, question, ranking, rounded, ranking[:top_k]))
    return tasks


def select_with_bm25(pools: Sequence[Pool], *, top_k: int, k1: float, b: float) -> list[Task]:
    """Tasks whose documents BM25 ranked within each question's own pool."""
    tasks = []
    for pool in pools:
        for question in pool.questions:
            ranked = rank_documents(question.question, question.docs, k1=k1, b=b)
            tasks.append(Task(pool, question, ranked.ranking, ranked.scores, ranked.ranking[:top_k]))
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
    done_file: Path | None,
) -> list[Prediction]:
    """Predictions of CLaRa: the reasoner selects in the store, the generator answers from memories.

    The generator is folded into the backbone, so that a token costs what it costs the bare backbone.
    """
    model = loaded.model
    memories = MemoryStore(store)
    memories.require(loaded.compressor_hash)
    tasks = select_with_reasoner(model, memories, pools, top_k=top_k)

    def answer(batch: Sequence[Task]) -> list[str]:
        documents = [task.question.docs[index] for task in batch for index in task.selected]
        prompts = [model.tokens.answer_prompt(task.question.question, len(task.selected)) for task in batch]
        vectors = memories.memories(documents).to(model.backbone.device) if documents else None
        return generate(
            model.backbone, model.generator, prompts, vectors, model.added, max_new_tokens=generation.max_new_tokens
        )

    with model.adapters.merged(GENERATOR):
        return predictions(system, tasks, answer, batch_size=generation.batch_size, done_file=done_file)


def with_backbone(
    system: str, backbone: LoadedBackbone, tasks: Sequence[Task], *, generation: Generation
) -> list[Prediction]:
    """Predictions of the backbone alone: from the text of the tasks' documents, or from nothing where there is none."""
    added = AddedIds(backbone.vocab_size, 0)
    tokens = Encoder(backbone.tokenizer, end_of_turn=backbone.end_of_turn, added=added, document_max_tokens=1)

    def answer(batch: Sequence[Task]) -> list[str]:
        prompts = []
        for task in batch:
            texts = [task.question.docs[index] for index in task.selected]
            prompts.append(tokens.answer_prompt(task.question.question, texts or None))
        return generate(backbone, None, prompts, None, added, max_new_tokens=generation.max_new_tokens)

    return predictions(system, tasks, answer, batch_size=generation.batch_size, done_file=None)


Answer = Callable[[Sequence[Task]], list[str]]


def predictions(
    system: str, tasks: Sequence[Task], answer: Answer, *, batch_size: int, done_file: Path | None
) -> list[Prediction]:
    """One prediction a task, in the tasks' order; answered in batches, those of equal prompt length together.

    Args:
        system: name of the system.
        tasks: what to answer.
        answer: answers a batch.
        batch_size: tasks a batch.
        done_file: predictions of an interrupted run are read from here and new ones appended; None for neither.
    """
    done = _read_done(done_file)
    waiting = [task for task in tasks if _key(task) not in done]
    waiting.sort(key=lambda task: (len(task.selected), _length(task), _key(task)))
    with Progress(f"{system} answering", total=len(tasks), unit="questions", done=len(done)) as progress:
        for start in range(0, len(waiting), batch_size):
            batch = waiting[start : start + batch_size]
            rows = [_row(system, task, text) for task, text in zip(batch, answer(batch), strict=True)]
            _append(done_file, rows)
            done.update({(row.benchmark, row.setting, row.id): row for row in rows})
            progress.update(len(done))
    return [done[_key(task)] for task in tasks]


def _row(system: str, task: Task, text: str) -> Prediction:
    return Prediction(
        system=system,
        benchmark=task.pool.benchmark,
        setting=task.pool.setting,  # type: ignore[arg-type]  # checked by the record
        id=task.question.id,
        question=task.question.question,
        golden_answers=task.question.golden_answers,
        prediction=text,
        ranking=task.ranking,
        scores=task.scores,
        selected=task.selected,
        pos_index=task.question.pos_index,
    )


def _key(task: Task) -> tuple[str, str, str]:
    return task.pool.benchmark, task.pool.setting, task.question.id


def _length(task: Task) -> int:
    return len(task.question.question) + sum(len(task.question.docs[index]) for index in task.selected)


def _read_done(path: Path | None) -> dict[tuple[str, str, str], Prediction]:
    if path is None or not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]  # a kill can leave half a line
    if len(whole) < len(lines):
        path.write_text("".join(whole), encoding="utf-8")
    rows = [Prediction.model_validate_json(line) for line in whole]
    return {(row.benchmark, row.setting, row.id): row for row in rows}


def _append(path: Path | None, rows: Iterable[Prediction]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(row.model_dump_json() + "\n" for row in rows)
