"""Ready SCP data: our own files and the released dataset's layout, read and written.

The released layout has one row a document:
`{"data_type": "qa" | "paraphrase", "question": [..], "answers": [..], "docs": [one]}`. In its paraphrase rows the
question is an empty string instead of a list, which no typed reader takes; we write lists. Beside its two data types we
read `simple` and `complex`, so that a set written by hand (`data/scp/`) can say which questions are which.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from clara.errors import DataError
from clara.files import atomic_path
from clara.json_lines import read_json_lines
from clara.records import Pair, parse_row
from clara.row_files import Rows
from clara.synthesis.rows import KINDS, pair_row

DATA_TYPES = {"qa": "simple"} | {kind: kind for kind in KINDS}
"""`data_type` of a row → kind of its pairs."""
OURS, RELEASED = ("document", "question", "answer"), ("docs", "question", "answers")
"""What document, question and answer are called in our own files and in the released layout."""


class Pairs(Iterable[Pair]):
    """The pairs of a file of either layout, one at a time; of rows with equal content the first.

    They are read anew each time that one goes through them; what is kept of each is its id. The released dataset's `qa`
    rows do not tell simple from complex questions; they become simple ones.

    Args:
        path: the file.

    Raises:
        DataError: names file, line and field.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.repeated = 0
        """Rows that were left out, the last time that one went through them."""

    def __iter__(self) -> Iterator[Pair]:
        self.repeated, seen = 0, set[str]()
        for pair in self._all():
            if pair.id in seen:
                self.repeated += 1
            else:
                seen.add(pair.id)
                yield pair

    def _all(self) -> Iterator[Pair]:
        if self.path.suffix == ".parquet":
            for number, pair in enumerate(Rows(Pair, self.path), 1):
                yield _filled(pair, f"{self.path} row {number}", OURS)
        else:
            for where, row in read_json_lines(self.path):
                yield from _pairs(row, where)


def runs(pairs: Iterable[Pair]) -> Iterator[tuple[int, Pair]]:
    """Each pair with the number, from 0, of the run of rows of one document that it is in."""
    for number, (_, rows) in enumerate(groupby(pairs, key=lambda pair: pair.document_id)):
        for pair in rows:
            yield number, pair


def write(path: Path, pairs: Iterable[Pair]) -> None:
    """Writes pairs as JSON lines in the released layout, one row for each run of pairs of one document and type."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for (document, data_type), rows in groupby(pairs, key=_document_and_type):
            found = list(rows)
            questions, answers = [pair.question for pair in found], [pair.answer for pair in found]
            row = {"data_type": data_type, "question": questions, "answers": answers, "docs": [document]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _document_and_type(pair: Pair) -> tuple[str, str]:
    return pair.document, "paraphrase" if pair.kind == "paraphrase" else "qa"


def _pairs(row: Any, where: str) -> Iterator[Pair]:
    if not isinstance(row, dict) or "data_type" not in row:
        yield _filled(parse_row(Pair, row, where), where, OURS)
        return
    kind = DATA_TYPES.get(row["data_type"]) if isinstance(row["data_type"], str) else None
    if kind is None:
        raise DataError(
            f"{where}: data_type is {row['data_type']!r}, expected {', '.join(DATA_TYPES)}; mend or remove the row"
        )
    answers = _texts(row, "answers", where)
    questions = [""] * len(answers) if kind == "paraphrase" else _texts(row, "question", where)
    documents = _texts(row, "docs", where)
    if len(documents) != 1:
        raise DataError(f"{where}: docs has {len(documents)} entries, expected one document; mend or remove the row")
    if len(questions) != len(answers):
        raise DataError(f"{where}: {len(questions)} questions but {len(answers)} answers; mend or remove the row")
    for question, answer in zip(questions, answers, strict=True):
        yield _filled(parse_row(Pair, pair_row(documents[0], kind, question, answer), where), where, RELEASED)


def _filled(pair: Pair, where: str, fields: tuple[str, str, str]) -> Pair:
    """The pair, none of whose texts is blank; a paraphrase has no question.

    Args:
        pair: as it was read.
        where: file and line.
        fields: what document, question and answer are called there.
    """
    texts = pair.document, pair.question, pair.answer
    for field, text, part in zip(fields, texts, OURS, strict=True):
        if not text.strip() and not (part == "question" and pair.kind == "paraphrase"):
            raise DataError(f"{where}: {field} holds an empty text; mend or remove the row")
    return pair


def _texts(row: dict[str, Any], field: str, where: str) -> list[str]:
    value = row.get(field)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: {field} must be a text or a list of texts, found {value!r}; mend or remove the row")
    return texts
