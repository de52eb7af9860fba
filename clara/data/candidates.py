"""Files of candidate pools: reading questions, the documents that they name, and their ranking by BM25."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clara.errors import DataError
from clara.progress import Progress
from clara.records import Passage, Prediction, Question, document_id
from clara.row_files import read_rows


class CandidateFile(NamedTuple):
    """What the name of a file of pools says."""

    benchmark: str
    split: str
    setting: str


class Ranked(NamedTuple):
    """Documents by relevance."""

    ranking: list[int]
    """Indices of the documents, best first."""
    scores: list[float]
    """Score of each document, in the order of the documents."""


def candidate_file(path: Path) -> CandidateFile:
    """Benchmark, split and setting from `{benchmark}.{split}.{setting}.jsonl`.

    Raises:
        DataError: the name has another form.
    """
    match = re.fullmatch(r"([^.]+)\.(train|test)\.(oracle|normal)\.jsonl(?:\.gz)?", path.name)
    if match is None:
        raise DataError(f"{path} must be named BENCHMARK.train|test.oracle|normal.jsonl, so that its setting is known")
    return CandidateFile(*match.groups())


def read_questions(path: Path) -> list[Question]:
    """The questions of a file; none for a file of no bytes, which stands for a part that a benchmark does not have.

    Raises:
        DataError: the file is missing or malformed.
    """
    if path.exists() and path.stat().st_size == 0:
        return []
    return read_rows(Question, path)


def collect_documents(paths: Iterable[Path]) -> list[Passage]:
    """Every document that a pool of the files names, once, in the order of ids."""
    found: dict[str, Passage] = {}
    for path in paths:
        for question in read_questions(path):
            for document in question.docs:
                identity = document_id(document)
                if identity not in found:
                    found[identity] = passage_of(document)
    if not found:
        raise DataError("the candidate files hold no document; run make_candidates again")
    return [found[identity] for identity in sorted(found)]


def passage_of(document: str) -> Passage:
    """The passage whose `document` is this text: its first line is the title, if it has several."""
    title, newline, text = document.partition("\n")
    if not newline or not title:
        title, text = "", document
    return Passage(id=document_id(document), title=title, text=text)


def rank_by_bm25(paths: Iterable[Path]) -> Iterator[Prediction]:
    """For each question of the files its candidates' ranking by BM25, with no answer."""
    return rank_by("bm25", paths, lambda question: rank_candidates(question).scores)


def rank_by(system: str, paths: Iterable[Path], score: Callable[[Question], Sequence[float]]) -> Iterator[Prediction]:
    """For each question of the files its candidates' ranking by `score`, with no answer.

    Args:
        system: its name.
        paths: files of pools.
        score: of a question a score for each of its documents; of equal ones the earlier document comes first.
    """
    for path in paths:
        name = candidate_file(path)
        questions = read_questions(path)
        with Progress(f"rank {path.name}", total=len(questions), unit="questions") as progress:
            for number, question in enumerate(questions, 1):
                ranking, scores = ranked(score(question))
                yield Prediction(
                    system=system,
                    benchmark=name.benchmark,
                    setting="oracle" if name.setting == "oracle" else "normal",
                    id=question.id,
                    question=question.question,
                    golden_answers=question.golden_answers,
                    prediction=None,
                    ranking=ranking,
                    scores=scores,
                    selected=[],
                    pos_index=question.pos_index,
                )
                progress.update(number)


def rank_candidates(question: Question) -> Ranked:
    """All of a question's candidates by BM25, whose statistics are the corpus'.

    A pool's own tell little: BM25 filled it, so that most of its documents hold the question's words.

    Raises:
        DataError: the question has no scores, as those of versions before 2026-11-28.
    """
    if question.bm25 is None:
        raise DataError(
            f"the candidates of question {question.id} have no BM25 scores; make them again by the step make_candidates"
        )
    return ranked(question.bm25)


def ranked(scores: Sequence[float]) -> Ranked:
    """Documents by score; of equal ones the earlier comes first."""
    rounded = [round(float(score), 6) for score in scores]
    return Ranked(sorted(range(len(rounded)), key=lambda place: (-rounded[place], place)), rounded)
