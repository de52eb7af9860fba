"""The command `clara inspect`: what a passage's memory holds, and how a question sees it."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from clara.commands.shared import Json, Model, Store, System, open_system, print_json
from clara.errors import DataError

if TYPE_CHECKING:
    from clara.records import Passage

PARAPHRASE_TOKENS = 128
CANDIDATES = 20
SHOWN = 70
"""Characters of a passage."""


class Inspection(NamedTuple):
    """What was found out about one passage."""

    document: str
    paraphrase: str
    """What the generator writes when it is asked to rewrite the passage, from the memory alone."""
    nearest: list[list[str]]
    """Of each memory vector, the tokens whose input embeddings lie nearest."""
    words: list[str]
    """Logit lens of the question's memories; empty without a question."""
    score: float | None
    """Of the passage, for the question."""
    rank: int | None
    """Passages of the store that the question scores higher, and one."""
    candidates: list[tuple[float, str]]
    """The question's best passages of the store, with their scores."""


def inspect(
    passage: Annotated[str, typer.Argument(help="Id of a passage of the store, its beginning, or a text of your own")],
    question: Annotated[str | None, typer.Option(help="Adds how this question sees the passage and the store")] = None,
    model: Model = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show what a passage's memory holds: a paraphrase from it, the words it lies near, its score for a question."""
    system = open_system(model, store, None)
    found = _inspected(system, _document(system, passage), question)
    if as_json:
        print_json(found._asdict())
    else:
        typer.echo("\n".join(_lines(found, question)))


def _document(system: System, passage: str) -> str:
    """The passage of the store whose id begins so, else the text itself."""
    if not (8 <= len(passage) <= 16 and set(passage) <= set("0123456789abcdef")):
        return passage
    held: list[Passage] = [row for row in system.store.documents if row.id.startswith(passage)]
    if len(held) != 1:
        raise DataError(
            f"{len(held)} passages of {system.store.folder} have an id that begins with {passage}; name one"
        )
    return held[0].document


def _inspected(system: System, document: str, question: str | None) -> Inspection:
    from clara.evaluation.diagnostics import lens_words, nearest_tokens

    served, model = system.model, system.model.model
    memory = served.compress([document])
    (paraphrase,) = served.paraphrase([document], max_new_tokens=PARAPHRASE_TOKENS)
    nearest = nearest_tokens(model, memory[0])
    if question is None:
        return Inspection(document, paraphrase, nearest, [], None, None, [])
    query = served.reason([question])
    score = float(served.score(query, memory)[0, 0])
    hits = served.search([question], store=system.store, k=system.store.manifest.num_documents)[0]
    # A text of the store meets itself among the hits, rounded: it is not above itself.
    above = sum(hit.score > score and hit.document != document for hit in hits)
    best = [(hit.score, hit.document) for hit in hits[:CANDIDATES]]
    return Inspection(document, paraphrase, nearest, lens_words(model, query[0]), score, above + 1, best)


def _lines(found: Inspection, question: str | None) -> list[str]:
    lines = [
        f"passage     {_short(found.document)}",
        f"paraphrase  {_short(found.paraphrase, 400)}",
        "nearest     " + " | ".join(" ".join(tokens) for tokens in found.nearest),
    ]
    if question is not None:
        lines += [
            f"question    {_short(question)}",
            f"lens        {' '.join(found.words)}",
            f"score       {found.score:.3f}, rank {found.rank} in the store",
            *(f"  {score:.3f}  {_short(text)}" for score, text in found.candidates),
        ]
    return lines


def _short(text: str, most: int = SHOWN) -> str:
    return " ".join(text.split())[:most]
