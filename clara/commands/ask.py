"""Commands that ask a store: ask and search."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from clara.commands.calibrate import read_calibration
from clara.commands.shared import Documents, Json, Model, Store, System, open_system, print_json

if TYPE_CHECKING:
    from clara.model.answers import Answer

SHOWN = 100
"""Characters of a passage."""
UNKNOWN = "I do not know: the documents do not seem to say."

Question = Annotated[str, typer.Argument(help="The question")]


def ask(
    question: Question,
    model: Model = None,
    store: Store = None,
    k: Documents = None,
    calibration: Annotated[
        Path | None, typer.Option(help="File of clara calibrate: say so where the store is unlikely to know")
    ] = None,
    as_json: Json = False,
) -> None:
    """Answer a question from the compressed documents of a store."""
    system = open_system(model, store, k)
    sure = _sure(system, question, calibration) if calibration else None
    found = system.model.answer([question], store=system.store, k=system.k)[0]
    if sure is not None and not sure.enough:
        found = found._replace(text=UNKNOWN)
    if as_json:
        told = {"probability": sure.probability, "known": sure.enough} if sure else {}
        print_json(_described(question, found, system) | told)
        return
    typer.echo(found.text)
    if sure:
        typer.echo(f"probability that the store can answer: {sure.probability:.2f}", err=True)
    typer.echo(f"\nread from {system.store.folder}, by {system.folder}:", err=True)
    for text, score in zip(found.documents, found.scores, strict=True):
        typer.echo(_line(text, score), err=True)
    typer.echo(", ".join(f"{name} {value:.2f} s" for name, value in found.seconds._asdict().items()), err=True)


def search(
    question: Question, model: Model = None, store: Store = None, k: Documents = None, as_json: Json = False
) -> None:
    """Find the passages of a store that the query reasoner scores best; nothing is generated."""
    system = open_system(model, store, k)
    hits = system.model.search([question], store=system.store, k=system.k)[0]
    if as_json:
        rows = [hit._asdict() for hit in hits]
        print_json({"question": question, "passages": rows, "model": system.folder, "store": system.store.folder})
        return
    for hit in hits:
        typer.echo(_line(hit.document, hit.score))


class Sure(NamedTuple):
    """Whether a store is likely to answer a question."""

    probability: float
    enough: bool


def _sure(system: System, question: str, calibration: Path) -> Sure:
    from clara.evaluation.answerable import NEXT

    fitted = read_calibration(calibration, system)
    hits = system.model.search([question], store=system.store, k=NEXT + 1)[0]
    probability = fitted.probability([hit.score for hit in hits])
    return Sure(probability, probability >= fitted.threshold)


def _described(question: str, found: "Answer", system: System) -> dict[str, object]:
    from clara.records import document_id

    read = [
        {"id": document_id(text), "document": text, "score": score}
        for text, score in zip(found.documents, found.scores, strict=True)
    ]
    answer = {"question": question, "answer": found.text, "documents": read, "seconds": found.seconds._asdict()}
    return answer | {"model": system.folder, "store": system.store.folder}


def _line(document: str, score: float) -> str:
    return f"  {score:.3f}  {' '.join(document.split())[:SHOWN]}"
