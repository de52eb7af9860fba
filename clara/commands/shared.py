"""What the commands share: errors of one sentence, JSON or a table, and which model and store are meant."""

import functools
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, ParamSpec

import typer

from clara.errors import CheckpointError, ClaraError, CutWarning, DataError
from clara.files import read_json
from clara.folders import put_back
from clara.gpus import no_memory
from clara.program import bound_primitives, refusal

if TYPE_CHECKING:
    from clara.model.store import MemoryStore
    from clara.serving import Clara

RESULTS = Path("results")
DEFAULT_TOP_K = 5
EXIT_ERROR = 2
SHOWN = 100
"""Characters of a passage."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON")]
Model = Annotated[Path | None, typer.Option(help="Checkpoint folder; default: the newest joint one here")]
Store = Annotated[Path | None, typer.Option(help="Store folder; default: the one of the model's run")]
Documents = Annotated[int | None, typer.Option("--k", min=1, help="Passages read; default: as in training")]
Calibrated = Annotated[
    Path | None,
    typer.Option("--calibration", help="File of clara calibrate: say so where the store is unlikely to know"),
]
Folded = Annotated[
    bool,
    typer.Option(
        "--folded", help="Keep a copy of the layers with the generator folded in: answers sooner, more memory"
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1, mps; default: $CLARA_DEVICE, else a GPU where there is one, else the CPU"),
]
StoreFolder = Annotated[Path, typer.Argument(help="Store folder, or its manifest.json")]
Checkpoint = Annotated[Path, typer.Argument(help="Folder of a training stage, or its card.json")]

Parameters = ParamSpec("Parameters")


def answers_errors(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """`command`, whose warnings for people become one sentence, and errors that and exit status 2."""

    @functools.wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        bound_primitives()
        try:
            _require_letters(kwargs)
            with _warnings_as_sentences():
                command(*args, **kwargs)
        except Exception as error:
            sentence = str(error) if isinstance(error, ClaraError) else refusal(error) or no_memory(error)
            if sentence is None:
                raise
            typer.echo(f"error: {sentence}", err=True)
            raise typer.Exit(EXIT_ERROR) from error

    return wrapped


@contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Tells of texts that were cut as people read it, at every question of a chat; of other warnings as ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CutWarning)
        whole = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, CutWarning):
                typer.echo(f"warning: {message}", err=True)
            else:
                whole(message, category, *place, **more)

        warnings.showwarning = show
        yield


def _require_letters(given: Mapping[str, Any]) -> None:
    """Refuses arguments of bytes that are no UTF-8: they can be neither printed nor read by every library.

    Raises:
        DataError: names the argument.
    """
    for name, value in given.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str | Path) and not str(text).isascii():
                try:
                    str(text).encode("utf-8")
                except UnicodeEncodeError as error:
                    raise DataError(
                        f"{name} {str(text)!a} holds bytes that are no UTF-8; rename the file, or name its folder"
                    ) from error


class System(NamedTuple):
    """What answers: a checkpoint and a store of its compressor."""

    model: "Clara"
    folder: Path
    store: "MemoryStore"
    k: int


def open_system(
    model: Path | None,
    store: Path | None,
    k: int | None,
    calibration: Path | None = None,
    *,
    device: str | None = None,
    folded: bool = False,
) -> System:
    """The model and store that are named, or the newest finished run's.

    Raises:
        CheckpointError: there is no run here, no store of the model's compressor, or a calibration of another one.
    """
    from clara.model.store import MemoryStore

    loaded, folder = load(model, calibration, device=device, folded=folded)
    opened = MemoryStore(manifest_of(store or store_of(loaded, folder)))
    opened.require(loaded.compressor_hash)
    return System(loaded, folder, opened, k or trained_top_k(folder))


def load(
    model: Path | None, calibration: Path | None = None, *, device: str | None = None, folded: bool = False
) -> "tuple[Clara, Path]":
    """A checkpoint and its folder; the newest joint one here where none is named."""
    import clara

    folder = model or newest_checkpoint(RESULTS)
    named = device or os.environ.get("CLARA_DEVICE") or None
    served = clara.load(folder, device=named, calibration=calibration, folded=folded)
    return served, folder.parent if folder.is_file() else folder


def newest_checkpoint(results: Path) -> Path:
    """Folder of the newest joint checkpoint under `results`.

    Raises:
        CheckpointError: there is none.
    """
    cards = sorted(results.glob("*/joint/*/card.json"), key=lambda card: card.stat().st_mtime)
    if not cards:
        raise CheckpointError(
            f"there is no finished run under {results.resolve()}; run `make demo` or name a checkpoint with --model"
        )
    return cards[-1].parent


def store_of(model: "Clara", folder: Path) -> Path:
    """Folder of the store in the checkpoint's run that was built by the same compressor.

    Raises:
        CheckpointError: there is none.
    """
    from clara.model.store import read_manifest

    stores = folder.resolve().parent.parent / "compression"
    for manifest in sorted(stores.glob("*/manifest.json")):
        if read_manifest(manifest).compressor_hash == model.compressor_hash:
            return manifest.parent
    raise CheckpointError(f"there is no store of this checkpoint's compressor under {stores}; name one with --store")


def trained_top_k(folder: Path) -> int:
    """Documents that the generator of the checkpoint learned to read."""
    path = folder / "settings.json"
    settings: Any = read_json(path) if path.exists() else {}
    sections = (settings.get(stage, {}) for stage in ("joint", "instruction"))
    return next((int(section["top_k"]) for section in sections if "top_k" in section), DEFAULT_TOP_K)


def cited(number: int, score: float, document: str) -> str:
    """A passage as one line: its number, score, title and beginning."""
    title, between, text = document.partition("\n")
    shown = f"{title} · {text}" if between else title
    return f"  [{number}] {score:.3f}  {' '.join(shown.split())[:SHOWN]}"


def manifest_of(folder: Path) -> Path:
    """The manifest of a store that is named by its folder or its manifest."""
    put_back(folder)
    return folder / "manifest.json" if folder.is_dir() else folder


def card_of(folder: Path) -> Path:
    """The card of a checkpoint that is named by its folder or its card.

    Raises:
        CheckpointError: the folder holds checkpoints, and is none.
    """
    if not folder.is_dir():
        return folder
    within = sorted(card.parent for card in folder.glob("*/card.json"))
    if within and not (folder / "card.json").exists():
        raise CheckpointError(f"{folder} is no checkpoint but holds some; name one: {', '.join(map(str, within))}")
    return folder / "card.json"


def print_json(value: Any) -> None:
    """Prints `value` for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_rows(rows: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints names and values: as JSON, or one a line."""
    if as_json:
        print_json(rows)
        return
    for name, value in rows.items():
        typer.echo(f"{name:<12}{value}")


def print_result(sentence: str, values: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints what a command did: a sentence for people, or its values as JSON."""
    if as_json:
        print_json(values)
    else:
        typer.echo(sentence)
