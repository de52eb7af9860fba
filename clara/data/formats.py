"""Questions from the rows of the benchmarks' own files: the layout of each format, and its way to a question."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from clara.data.prose import squeeze
from clara.data.question_files import Row
from clara.files import text_id
from clara.records import Question, Record, document_text, parse_row

Parser = Callable[[Row], Question | None]
"""From a row to a question; null for a row that the benchmark marks as having no answer."""

Texts = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
"""A list of texts; a single text stands for a list of one."""
Name = Annotated[str, Field(coerce_numbers_to_str=True)]
"""A text; some files number their questions."""


class Layout(Record):
    """A row, or a part of one, as a benchmark's files write it. A field that is null counts as absent."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, row: Any) -> Any:
        return {key: value for key, value in row.items() if value is not None} if isinstance(row, dict) else row


class Pooled(Layout):
    """A question with its pool: our rows, and the released training and evaluation files, which have no ids."""

    id: Name | None = None
    question: str
    golden_answers: Texts = Field(validation_alias=AliasChoices("golden_answers", "gold_answer", "answer"))
    """Where rows have both (the released instruction data), `answer` is a teacher's sentence."""
    docs: Texts = Field(validation_alias=AliasChoices("docs", "context", "content"))
    pos_index: list[int] = Field(default_factory=list)
    """Empty where the files do not say which documents are gold."""
    type: Name = ""


class Context(Layout):
    """A passage of NQ."""

    title: str = ""
    text: str
    isgold: bool = False
    hasanswer: bool = False

    @property
    def document(self) -> str:
        """Title and text, in the form that all documents have."""
        return document_text(squeeze(self.title), self.text.strip())


class NqDpr(Layout):
    """A question of NQ in the layout of DPR."""

    id: Name | None = None
    question: str
    answers: Texts = Field(validation_alias=AliasChoices("answers", "answer"))
    positive_ctxs: list[Context] = Field(min_length=1)
    hard_negative_ctxs: list[Context] = Field(default_factory=list)


class NqOpen(Layout):
    """A question of NQ in the layout of nq-open files."""

    id: Name | None = None
    question: str
    answers: Texts = Field(validation_alias=AliasChoices("answers", "answer"))
    ctxs: list[Context]


class HotpotQA(Layout):
    """A question of HotpotQA (distractor) or 2WikiMultiHopQA."""

    id: Name = Field(validation_alias=AliasChoices("_id", "id"))
    question: str
    answer: Texts
    context: list[tuple[str, list[str]]]
    """Title and sentences of each paragraph."""
    supporting_facts: list[tuple[str, int]]
    """Title of a paragraph and number of a sentence in it."""
    type: Name = ""


class Paragraph(Layout):
    """A paragraph of MuSiQue."""

    title: str = ""
    paragraph_text: str
    is_supporting: bool = False


class MuSiQue(Layout):
    """A question of MuSiQue."""

    id: Name
    question: str
    answer: Texts
    answer_aliases: list[str] = Field(default_factory=list)
    paragraphs: list[Paragraph]


def from_rows(row: Row) -> Question:
    """A question that has its pool already."""
    read = parse_row(Pooled, row.values, row.where)
    return _question(row, read.id, read.question, read.golden_answers, read.docs, read.pos_index, read.type)


def from_nq(row: Row) -> Question:
    """A question of NQ, in the layout of DPR where the row has `positive_ctxs`.

    DPR's first positive context is the annotated passage; its other positives merely contain an answer. They are left
    out: as distractors they would be wrong, as gold they would make the ranking easy.
    """
    if "positive_ctxs" in row.values:
        dpr = parse_row(NqDpr, row.values, row.where)
        docs = [context.document for context in [dpr.positive_ctxs[0], *dpr.hard_negative_ctxs]]
        gold = [place == 0 for place in range(len(docs))]
        return _pooled(row, dpr.id, dpr.question, dpr.answers, docs, gold, "single")
    read = parse_row(NqOpen, row.values, row.where)
    marked = any("isgold" in context.model_fields_set for context in read.ctxs)
    gold = [context.isgold if marked else context.hasanswer for context in read.ctxs]
    docs = [context.document for context in read.ctxs]
    return _pooled(row, read.id, read.question, read.answers, docs, gold, "single")


def from_hotpotqa(row: Row) -> Question:
    """A question of HotpotQA or 2WikiMultiHopQA; gold are the paragraphs that hold a supporting fact."""
    read = parse_row(HotpotQA, row.values, row.where)
    titles = [title for title, _ in read.context]
    docs = [document_text(title, squeeze(" ".join(sentences))) for title, sentences in read.context]
    supporting = {title for title, _ in read.supporting_facts}
    lost = sorted(supporting - set(titles))
    if lost:
        raise row.fault(f"supporting_facts names {lost[0]!r}, but context has no paragraph of that title")
    gold = [title in supporting for title in titles]
    return _pooled(row, read.id, read.question, read.answer, docs, gold, read.type)


def from_musique(row: Row) -> Question | None:
    """A question of MuSiQue; null where it is marked as not answerable."""
    if row.values.get("answerable") is False:
        return None
    read = parse_row(MuSiQue, row.values, row.where)
    docs = [document_text(squeeze(part.title), part.paragraph_text.strip()) for part in read.paragraphs]
    gold = [part.is_supporting for part in read.paragraphs]
    hops = read.id.partition("__")[0]
    return _pooled(row, read.id, read.question, [*read.answer, *read.answer_aliases], docs, gold, hops)


PARSERS: dict[str, Parser] = {
    "rows": from_rows,
    "nq": from_nq,
    "hotpotqa": from_hotpotqa,
    "musique": from_musique,
    "2wiki": from_hotpotqa,
}


def _pooled(
    row: Row, identity: str | None, question: str, answers: list[str], docs: list[str], gold: list[bool], kind: str
) -> Question:
    """A question whose pool is `docs` without repetitions; a document is gold if one of its copies is."""
    order = list(dict.fromkeys(docs))
    golden = {document for document, right in zip(docs, gold, strict=True) if right}
    if not golden:
        raise row.fault("no document is marked as gold")
    index = [place for place, document in enumerate(order) if document in golden]
    return _question(row, identity, question, answers, order, index, kind)


def _question(
    row: Row, identity: str | None, question: str, answers: list[str], docs: list[str], pos_index: list[int], kind: str
) -> Question:
    values = {
        # The released files have no ids; the question's hash is the same in every file of a benchmark.
        "id": text_id(question) if identity is None else identity,
        "question": question,
        "golden_answers": list(dict.fromkeys(answers)),
        "docs": docs,
        "pos_index": pos_index,
        "type": kind,
    }
    return parse_row(Question, values, row.where)
