"""Questions from the rows of the benchmarks' own files: one small function a format."""

from collections.abc import Callable
from typing import Any

from clara.data.prose import squeeze
from clara.data.question_files import Row
from clara.files import text_id
from clara.records import Question, document_text, parse_row

Parser = Callable[[Row], Question | None]
"""From a row to a question; null for a row that the benchmark marks as having no answer."""


def from_rows(row: Row) -> Question:
    """A question with its own pool: our rows, and the released training and evaluation files."""
    return _question(
        row,
        identity=row.values.get("id"),
        answers=row.texts("golden_answers", "answer", "gold_answer"),
        docs=row.texts("docs", "context", "content"),
        pos_index=row.field("pos_index"),
        kind=str(row.values.get("type") or ""),
    )


def from_nq(row: Row) -> Question:
    """A question of NQ in the layout of DPR (`positive_ctxs`) or of nq-open files (`ctxs`).

    DPR's first positive context is the annotated passage; its other positives merely contain an answer. They are left
    out: as distractors they would be wrong, as gold they would make the ranking easy.
    """
    if "positive_ctxs" in row.values:
        positives = _documents(row, "positive_ctxs", "text")
        if not positives:
            raise row.fault("positive_ctxs is empty, expected the annotated passage first")
        others = _documents(row, "hard_negative_ctxs", "text") if "hard_negative_ctxs" in row.values else []
        docs, gold = [positives[0], *others], [True] + [False] * len(others)
    else:
        docs = _documents(row, "ctxs", "text")
        gold = _gold_flags(row.objects("ctxs"))
    identity = row.values.get("id")
    return _pooled(row, identity=identity, answers=row.texts("answers", "answer"), docs=docs, gold=gold, kind="single")


def _gold_flags(contexts: list[dict[str, Any]]) -> list[bool]:
    key = "isgold" if any("isgold" in context for context in contexts) else "hasanswer"
    return [bool(context.get(key)) for context in contexts]


def from_hotpotqa(row: Row) -> Question:
    """A question of HotpotQA (distractor) or 2WikiMultiHopQA: `context` of titles and sentences, `supporting_facts`."""
    titles, docs = [], []
    for entry in row.field("context"):
        if not (
            isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], list)
        ):
            raise row.fault("context must be a list of [title, [sentence, …]]")
        titles.append(entry[0])
        docs.append(document_text(entry[0], squeeze(" ".join(entry[1]))))
    supporting = {fact[0] for fact in row.field("supporting_facts")}
    lost = sorted(supporting - set(titles))
    if lost:
        raise row.fault(f"supporting_facts names {lost[0]!r}, but context has no paragraph of that title")
    return _pooled(
        row,
        identity=row.field("_id", "id"),
        answers=row.texts("answer"),
        docs=docs,
        gold=[title in supporting for title in titles],
        kind=str(row.values.get("type") or ""),
    )


def from_musique(row: Row) -> Question | None:
    """A question of MuSiQue; null where it is marked as not answerable."""
    if row.values.get("answerable") is False:
        return None
    identity = str(row.field("id"))
    return _pooled(
        row,
        identity=identity,
        answers=[*row.texts("answer"), *(row.values.get("answer_aliases") or [])],
        docs=_documents(row, "paragraphs", "paragraph_text"),
        gold=[bool(paragraph.get("is_supporting")) for paragraph in row.objects("paragraphs")],
        kind=identity.partition("__")[0],
    )


PARSERS: dict[str, Parser] = {
    "rows": from_rows,
    "nq": from_nq,
    "hotpotqa": from_hotpotqa,
    "musique": from_musique,
    "2wiki": from_hotpotqa,
}


def _documents(row: Row, name: str, text: str) -> list[str]:
    documents = []
    for number, entry in enumerate(row.objects(name)):
        if not isinstance(entry.get(text), str):
            raise row.fault(f'{name}[{number}] has no text "{text}"')
        documents.append(document_text(squeeze(str(entry.get("title") or "")), entry[text].strip()))
    return documents


def _pooled(row: Row, *, identity: Any, answers: list[str], docs: list[str], gold: list[bool], kind: str) -> Question:
    """A question whose pool is `docs` without repetitions; a document is gold if one of its copies is."""
    order = list(dict.fromkeys(docs))
    golden = {document for document, right in zip(docs, gold, strict=True) if right}
    if not golden:
        raise row.fault("no document is marked as gold")
    index = [place for place, document in enumerate(order) if document in golden]
    return _question(row, identity=identity, answers=answers, docs=order, pos_index=index, kind=kind)


def _question(row: Row, *, identity: Any, answers: list[str], docs: list[str], pos_index: Any, kind: str) -> Question:
    question = row.field("question")
    values = {
        # The released files have no ids; the question's hash is the same in every file of a benchmark.
        "id": str(identity) if identity is not None else text_id(str(question)),
        "question": question,
        "golden_answers": list(dict.fromkeys(answers)),
        "docs": docs,
        "pos_index": pos_index,
        "type": kind,
    }
    return parse_row(Question, values, row.where)
