"""A benchmark's questions, from its files or from the demo's own, as training and test parts."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clara.data.formats import PARSERS
from clara.data.question_files import read_question_rows
from clara.data.sources import local_file
from clara.data.splits import split, without
from clara.data.supports import SupportResolver
from clara.errors import ConfigError, DataError
from clara.records import Passage, Question
from clara.row_files import read_rows


@dataclass(frozen=True)
class Files:
    """Where a benchmark's questions lie; each a location as `clara.data.sources` takes it."""

    train: str | None
    test: str
    test_normal: str | None


@dataclass(frozen=True)
class Prepared:
    """The parts of a benchmark."""

    train: list[Question]
    test: list[Question]
    test_normal: list[Question]
    """Empty where the benchmark has no such file."""
    dropped: Counter[str]
    """Questions left out, by reason."""

    def report(self, benchmark: str) -> dict[str, Any]:
        """Counts, and how far the gold documents of both parts overlap."""
        seen = {document for question in self.train for document in gold_documents(question)}
        with_seen = sum(any(document in seen for document in gold_documents(question)) for question in self.test)
        tested = {document for question in self.test for document in gold_documents(question)}
        return {
            "benchmark": benchmark,
            "train": _counts(self.train),
            "test": _counts(self.test),
            "test_normal": _counts(self.test_normal),
            "dropped": dict(sorted(self.dropped.items())),
            "overlap": {
                "gold_documents_of_both": len(seen & tested),
                "test_questions_with_a_gold_document_of_train": with_seen,
            },
        }


def prepare(files: Files, *, kind: str, passages: Path, num_train: int | None, num_test: int | None) -> Prepared:
    """The questions of a benchmark, parted so that no question is on both sides.

    With a file for training, both parts keep the order of their files and their first questions; without one, the test
    file is split (see `clara.data.splits`).

    Args:
        files: where the questions lie.
        kind: their format: `supports` or a key of `PARSERS`.
        passages: passages of the corpus, read for `supports` only.
        num_train: training questions kept; null keeps all.
        num_test: test questions kept; null keeps all.

    Raises:
        DataError: a file is missing or a row is malformed.
        ConfigError: nothing is left for one part.
    """
    dropped: Counter[str] = Counter()
    resolver = SupportResolver(read_rows(Passage, passages)) if kind == "supports" else None
    normal = load(files.test_normal, kind, resolver, dropped)[:num_test] if files.test_normal else []
    questions = load(files.test, kind, resolver, dropped)
    if files.train is None:
        if num_test is None or num_test >= len(questions):
            raise ConfigError(
                f"num_test = {num_test} leaves no training question of the {len(questions)} in {files.test}; "
                "set it lower, or name a file under train"
            )
        train, test = split(questions, num_test)
        dropped["asked_twice"] += len(questions) - len(test) - len(train)
        kept = without(normal, train)
        dropped["normal_is_in_train"] += len(normal) - len(kept)
        normal = kept
    else:
        test = questions[:num_test]
        loaded = load(files.train, kind, resolver, dropped)
        train = without(loaded, [*test, *normal])
        dropped["train_is_in_test"] += len(loaded) - len(train)
    if not train:
        raise ConfigError(
            f"no question of {files.train or files.test} is left for training; all of them are test questions"
        )
    return Prepared(train=train[:num_train], test=test, test_normal=normal, dropped=+dropped)


def load(location: str, kind: str, resolver: SupportResolver | None, dropped: Counter[str]) -> list[Question]:
    """The questions of a file, in its order.

    Of questions with the same id the first stays: files in use hold rewordings under one id (MuSiQue's do).

    Raises:
        DataError: the file is missing, empty or malformed, or a support is not found.
        ConfigError: the format is not known.
    """
    if resolver is None and kind not in PARSERS:
        raise ConfigError(f"the format {kind!r} is not known; known are supports, {', '.join(PARSERS)}")
    parse = resolver.question if resolver is not None else PARSERS[kind]
    path = local_file(location)
    questions: dict[str, Question] = {}
    for row in read_question_rows(path):
        question = parse(row)
        if question is None:
            dropped["not_answerable"] += resolver is None
            continue
        dropped["repeated_id"] += question.id in questions
        questions.setdefault(question.id, question)
    if resolver is not None:
        resolver.check()
    if not questions:
        raise DataError(f"{path} holds no question that has an answer; check the benchmark's file and format")
    return list(questions.values())


def gold_documents(question: Question) -> list[str]:
    """The gold documents of a question."""
    return [question.docs[index] for index in question.pos_index]


def _counts(questions: list[Question]) -> dict[str, Any]:
    if not questions:
        return {"questions": 0}
    return {
        "questions": len(questions),
        "types": dict(sorted(Counter(question.type for question in questions).items())),
        "gold_documents_mean": round(sum(len(question.pos_index) for question in questions) / len(questions), 3),
        "with_several_answers": sum(len(question.golden_answers) > 1 for question in questions),
    }
