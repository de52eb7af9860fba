"""The command `clara chat`: questions in the terminal, one after the other."""

import sys
from collections.abc import Iterator

import typer

from clara.commands.shared import Calibrated, Device, Documents, Folded, Model, Store, System, cited, open_system
from clara.errors import ClaraError

HELP = "each question stands for itself; /sources shows what was read, /k N how many passages are read, /quit ends"
NEW_TOKENS = 128
DIGITS = 10
"""Of a number that is typed; a longer one is none."""


def chat(
    model: Model = None,
    store: Store = None,
    k: Documents = None,
    calibration: Calibrated = None,
    device: Device = None,
    folded: Folded = False,
) -> None:
    """Ask one question after the other; answers appear as they are written."""
    from clara.model.calls import require_read

    system = open_system(model, store, k, calibration, device=device, folded=folded)
    require_read(system.k)
    typer.echo(f"{system.folder.resolve().name} from {system.store.folder}: {HELP}", err=True)
    number, sources = system.k, list[tuple[float, str]]()
    for line in _typed():
        match line.split():
            case ["/quit"]:
                return
            case ["/sources"]:
                for place, (score, text) in enumerate(sources, 1):
                    typer.echo(cited(place, score, text))
            case ["/k", value] if value.isdecimal() and len(value) < DIGITS:
                try:
                    number = require_read(int(value))
                except ClaraError as error:
                    typer.echo(f"error: {error}", err=True)
            case [word, *_] if word.startswith("/"):
                typer.echo(HELP, err=True)
            case []:
                continue
            case _:
                try:
                    sources = _answered(system, line, number)
                except ClaraError as error:  # the next question may be better
                    typer.echo(f"error: {error}", err=True)


def _answered(system: System, question: str, k: int) -> list[tuple[float, str]]:
    """What was read for the question, once its answer is printed."""
    (found,) = system.model.find([question], store=system.store, k=k)
    system.model.write(
        [question],
        [found],
        max_new_tokens=[NEW_TOKENS],
        on_text=lambda row, text: typer.echo(text, nl=False),
    )
    typer.echo("")
    return list(zip(found.scores, found.documents, strict=True))


def _typed() -> Iterator[str]:
    """Lines up to the end of the input or an interruption."""
    terminal = sys.stdin.isatty()
    while True:
        try:
            yield input("> " if terminal else "").strip()
        except UnicodeDecodeError:
            typer.echo("this line holds bytes that are no UTF-8; type it again", err=True)
        except (EOFError, KeyboardInterrupt):
            return
