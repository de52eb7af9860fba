"""Commands that ask a store: ask and search."""

from typing import TYPE_CHECKING, Annotated

import typer

from clara.commands.shared import (
    Calibrated,
    Device,
    Documents,
    Json,
    Model,
    Store,
    System,
    cited,
    open_system,
    print_json,
)

if TYPE_CHECKING:
    from clara.model.answers import Answer

Question = Annotated[str, typer.Argument(help="The question")]


def ask(
    question: Question,
    model: Model = None,
    store: Store = None,
    k: Documents = None,
    calibration: Calibrated = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Answer a question from the compressed documents of a store."""
    system = open_system(model, store, k, calibration, device=device)
    found = system.model.answer([question], store=system.store, k=system.k)[0]
    if as_json:
        print_json(_described(question, found, system))
        return
    typer.echo(found.text)
    if found.sure:
        typer.echo(f"probability that the store can answer: {found.sure.probability:.2f}", err=True)
    typer.echo(f"\nread from {system.store.folder}, by {system.folder}:", err=True)
    for number, (score, text) in enumerate(zip(found.scores, found.documents, strict=True), 1):
        typer.echo(cited(number, score, text), err=True)
    typer.echo(", ".join(f"{name} {value:.2f} s" for name, value in found.seconds._asdict().items()), err=True)


def search(
    question: Question,
    model: Model = None,
    store: Store = None,
    k: Documents = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Find the passages of a store that the query reasoner scores best; nothing is generated."""
    system = open_system(model, store, k, device=device)
    hits = system.model.search([question], store=system.store, k=system.k)[0]
    if as_json:
        rows = [hit._asdict() for hit in hits]
        print_json({"question": question, "passages": rows, "model": system.folder, "store": system.store.folder})
        return
    for number, hit in enumerate(hits, 1):
        typer.echo(cited(number, hit.score, hit.document))


def _described(question: str, found: "Answer", system: System) -> dict[str, object]:
    from clara.records import document_id

    read = [
        {"id": document_id(text), "document": text, "score": score}
        for text, score in zip(found.documents, found.scores, strict=True)
    ]
    answer: dict[str, object] = {
        "question": question,
        "answer": found.text,
        "documents": read,
        "seconds": found.seconds._asdict(),
    }
    sure: dict[str, object] = {"probability": found.sure.probability, "known": found.sure.enough} if found.sure else {}
    return answer | {"model": system.folder, "store": system.store.folder} | sure
