"""The loop that answers tasks in batches and keeps what is done, so that an interrupted run goes on."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from clara.errors import DataError
from clara.files import append_lines
from clara.progress import Progress
from clara.records import Prediction, Question
from clara.row_files import read_rows

_POOL = re.compile(r"(?P<benchmark>[^.]+)\.[^.]+\.(?P<setting>oracle|normal)\.jsonl(\.gz)?")


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


def read_pools(paths: Iterable[Path]) -> list[Pool]:
    """The candidate files `{benchmark}.{split}.{setting}.jsonl`.

    Raises:
        DataError: a file has another name, or its rows are no questions.
    """
    pools = []
    for path in paths:
        match = _POOL.fullmatch(Path(path).name)
        if match is None:
            raise DataError(
                f"the candidates file {path} must be named BENCHMARK.test.oracle.jsonl or BENCHMARK.test.normal.jsonl"
            )
        pools.append(Pool(match["benchmark"], match["setting"], read_rows(Question, path)))
    return pools


AnswerTasks = Callable[[Sequence[Task]], list[str]]


def predictions(
    system: str,
    tasks: Sequence[Task],
    answer: AnswerTasks,
    *,
    length: Callable[[Task], int],
    batch_size: int,
    done_file: Path | None,
) -> list[Prediction]:
    """One prediction a task, in the tasks' order; answered in batches, those of equal prompt length together.

    Tasks that read the same (a question whose best documents are the same in both pools) are answered once.

    Args:
        system: name of the system.
        tasks: what to answer.
        answer: answers a batch.
        length: tokens of a task's prompt.
        batch_size: tasks a batch.
        done_file: predictions of an interrupted run are read from here and new ones appended; None for neither.
    """
    done = _read_done(done_file)
    same: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        same.setdefault(_read(task), []).append(task)
    ordered = sorted((group[0] for group in same.values()), key=lambda task: (length(task), _key(task)))
    with Progress(f"{system} answering", total=len(tasks), unit="questions", done=len(done)) as progress:
        for start in range(0, len(ordered), batch_size):
            # A batch is the same whatever was done before: in low precision, neighbours can turn a close decision.
            batch = ordered[start : start + batch_size]
            groups = [same[_read(task)] for task in batch]
            if all(_key(task) in done for group in groups for task in group):
                continue
            texts = answer(batch)
            rows = [_row(system, task, text) for group, text in zip(groups, texts, strict=True) for task in group]
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


def _read(task: Task) -> tuple[str, ...]:
    """The question and the documents that the generator reads, in their order."""
    return task.question.question, *(task.question.docs[index] for index in task.selected)


def _read_done(path: Path | None) -> dict[tuple[str, str, str], Prediction]:
    if path is None or not path.exists():
        return {}
    rows = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValidationError):  # a kill can leave half a line, also half of a character: it is answered again
            rows.append(Prediction.model_validate_json(line))
    return {(row.benchmark, row.setting, row.id): row for row in rows}


def _append(path: Path | None, rows: Iterable[Prediction]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        append_lines(path, (row.model_dump_json() for row in rows))
