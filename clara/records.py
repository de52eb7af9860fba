"""Typed rows of the files that pass between stages."""

import reprlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clara.errors import CheckpointError, DataError
from clara.files import read_json, text_id

MAX_FAULTS = 5
"""Faults of one row that its message lists."""


class Record(BaseModel):
    """A row: typed, frozen; unknown fields are ignored, so that files of others load."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Passage(Record):
    """A piece of an article."""

    id: str
    """`text_id` of `document`."""
    title: str
    text: str

    @property
    def document(self) -> str:
        """Title and text as the compressor and the prompts see them."""
        return document_text(self.title, self.text)


class Question(Record):
    """A question with its pool of candidate documents."""

    id: str
    question: str = Field(min_length=1)
    golden_answers: list[str] = Field(min_length=1)
    docs: list[str] = Field(min_length=1)
    """Candidate documents, `Title\\nText`."""
    pos_index: list[int]
    """Indices of the gold documents in `docs`; may be empty where gold is not forced."""
    type: str = ""
    """The benchmark's own question type."""
    bm25: list[float] | None = None
    """BM25 score of each document by the statistics of the corpus; None before pools are made."""


class Pair(Record):
    """One synthesized row; a paraphrase has an empty question and the rewritten document as answer."""

    id: str
    """`text_id` of kind, document, question and answer."""
    document_id: str
    document: str
    kind: Literal["simple", "complex", "paraphrase"]
    question: str
    answer: str
    round: int = 0
    """Round of the loop that made it, from 1; 0 for published data."""
    prompts: str = ""
    """Version of the prompts that made it."""
    source: str = ""
    """model, facts or templates (see `synthesis.question_sources`); empty for published data."""


class Prediction(Record):
    """What a system answered to one question, before any scoring."""

    system: str
    benchmark: str
    setting: Literal["oracle", "normal"]
    id: str
    question: str
    golden_answers: list[str]
    prediction: str | None
    """The answer; null for systems that only rank."""
    ranking: list[int] | None
    """All candidates' indices, best first; null for systems that do not rank."""
    scores: list[float] | None
    """Score of each candidate, in the order of `docs`."""
    selected: list[int]
    """Candidates that the generator read, in the order in which it read them."""
    pos_index: list[int]


def document_text(title: str, text: str) -> str:
    """`Title\\nText`, or the text alone where there is no title."""
    return f"{title}\n{text}" if title else text


def document_id(document: str) -> str:
    """The id under which a document is stored: a hash of the whole text."""
    return text_id(document)


RecordType = TypeVar("RecordType", bound=Record)
CardType = TypeVar("CardType")


@lru_cache
def _adapter(kind: type[RecordType]) -> TypeAdapter[RecordType]:
    return TypeAdapter(kind)


def parse_row(kind: type[RecordType], row: Any, where: str) -> RecordType:
    """`row` as a record.

    Raises:
        DataError: a field is missing or of another type; `where` names file and line.
    """
    try:
        record: RecordType = _adapter(kind).validate_python(row)
    except ValidationError as error:
        faults = "; ".join(_sentence(fault, row) for fault in error.errors()[:MAX_FAULTS])
        raise DataError(f"{where} is no {kind.__name__.lower()} row: field {faults}; mend or remove the row") from error
    if isinstance(record, Question):
        _check_gold(record, where)
    return record


def _sentence(fault: Any, row: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "row"
    if fault["type"] == "missing" and len(fault["loc"]) == 1:
        return f"{place}: field required, there are {', '.join(map(str, row)) or 'none'}"
    # reprlib shortens, and stops where a value is nested deeply.
    return f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}, found {reprlib.repr(fault['input'])}"


def _check_gold(record: Question, where: str) -> None:
    wrong = [index for index in record.pos_index if not 0 <= index < len(record.docs)]
    if wrong:
        raise DataError(
            f"{where}: pos_index holds {wrong[0]}, but docs has {len(record.docs)} entries (from 0 on); mend the row"
        )


def read_card_file(
    kind: type[CardType], path: Path, what: str, *, remedy: str, unreadable: str | None = None
) -> CardType:
    """The JSON object in `path` as a `kind`.

    Args:
        kind: a record or dataclass.
        path: the file.
        what: it is, for messages.
        remedy: for messages.
        unreadable: the remedy of a file that is no JSON, as `read_json`.

    Raises:
        DataError: the file is missing or is no JSON.
        CheckpointError: a field is missing or of another type; names it.
    """
    content = read_json(path, remedy=unreadable)
    try:
        card: CardType = TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is no {what} (field {_sentence(error.errors()[0], content)}); {remedy}"
        ) from error
    return card
