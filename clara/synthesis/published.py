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
from clara.row_files import read_rows
from clara.synthesis.rows import KINDS, pair_row

DATA_TYPES = {"qa": "simple"} | {kind: kind for kind in KINDS}
"""`data_type` of a row → kind of its pairs."""


def read(path: Path) -> list[Pair]:
    """The pairs of a file of either layout; rows with equal content are kept once.

    The released dataset's `qa` rows do not tell simple from complex questions; they become simple ones.

    Raises:
        DataError: names file, line and field.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        pairs = read_rows(Pair, path)
    else:
        pairs = [pair for where, row in read_json_lines(path) for pair in _pairs(row, where)]
    return list({pair.id: pair for pair in pairs}.values())


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
        yield parse_row(Pair, row, where)
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
        yield parse_row(Pair, pair_row(documents[0], kind, question, answer), where)


def _texts(row: dict[str, Any], field: str, where: str) -> list[str]:
    value = row.get(field)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: {field} must be a text or a list of texts, found {value!r}; mend or remove the row")
    return texts
