"""The command line: `clara COMMAND`, or `python -m clara COMMAND` where only the checkout is installed.

The workflow's own programs lie in `workflow_scripts/`; these commands are for what a run has made, and for checkpoints
from elsewhere.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec

import typer

from clara import diagnose_cli, store_cli
from clara.errors import CheckpointError, ClaraError
from clara.files import read_json

if TYPE_CHECKING:
    from clara.serving import Clara

RESULTS = Path("results")
Precision = Literal["float32", "bfloat16", "float16"]
DEFAULT_TOP_K = 5
EXIT_ERROR = 2

app = typer.Typer(
    help="Ask, inspect and import CLaRa checkpoints and stores of compressed documents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
store_app = typer.Typer(help="Look into a store of compressed documents.", no_args_is_help=True)
app.add_typer(store_app, name="store")

Parameters = ParamSpec("Parameters")


def answers_errors(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """`command`, whose errors for people become one sentence and exit status 2."""

    @functools.wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ClaraError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(EXIT_ERROR) from error

    return wrapped


@app.command("import-released")
@answers_errors
def import_released(
    source: Annotated[
        Path, typer.Argument(help="Folder with config.json, adapters.pth, decoder_first_last_layers.pth")
    ],
    target: Annotated[Path, typer.Argument(help="Folder that takes the checkpoint in this project's format")],
    base: Annotated[
        str | None, typer.Option(help="Base model, a folder or Hub name; default: the one that the checkpoint names")
    ] = None,
) -> None:
    """Turn a checkpoint of the released code into one of this project."""
    from clara.model import released

    card = released.import_released(source, target, base=base)
    typer.echo(f"{target}: a checkpoint of {card.stage} with {', '.join(card.roles)}; clara info {target}")


@app.command()
@answers_errors
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a training stage, or its card.json")],
    role: Annotated[str, typer.Argument(help="compressor, query_reasoner or generator")],
    target: Annotated[Path, typer.Argument(help="New folder that takes the language model with the role merged in")],
    dtype: Annotated[Precision, typer.Option(help="Precision of the weights; below float32 they are rounded")] = (
        "float32"
    ),
) -> None:
    """Write one role of a checkpoint, merged into its language model, as a plain transformers folder."""
    from clara.model.export import export as write

    write(checkpoint / "card.json" if checkpoint.is_dir() else checkpoint, role, target, dtype=dtype)
    typer.echo(f"{target}: the {role} of {checkpoint}, for transformers and vLLM")


@app.command()
@answers_errors
def info(checkpoint: Annotated[Path, typer.Argument(help="Folder of a training stage, or its card.json")]) -> None:
    """Say what a checkpoint is and what it serves."""
    from clara.model.checkpoint import read_card
    from clara.serving import methods

    path = checkpoint / "card.json" if checkpoint.is_dir() else checkpoint
    card = read_card(path)
    shape = card.shape
    _table(
        {
            "checkpoint": path.parent,
            "stage": card.stage,
            "backbone": (path.parent / card.backbone).resolve(),
            "memory": f"{shape.num_memory} vectors for {shape.document_max_tokens} tokens, form {shape.form}",
            "adapters": f"{', '.join(card.roles)}; rank {shape.rank}, alpha {shape.alpha}",
            "learned": ", ".join(card.learned),
            "weights": card.weights_hash[:12],
            "serves": ", ".join(methods(card.roles)),
        }
    )


@app.command()
@answers_errors
def provenance(
    file: Annotated[Path, typer.Argument(help="A result, named from the folder that the pipeline ran in")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the chain as JSON, with all that was recorded")
    ] = False,
) -> None:
    """Print what a result was made from, back to the raw corpus; exit status 1 where a hash is not the recorded."""
    from clara.provenance import chain, described

    links = chain(file)
    typer.echo(json.dumps([link._asdict() for link in links], indent=2) if as_json else described(links))
    off = [link for link in links if link.state in ("changed", "missing")]
    if off:
        typer.echo(f"{len(off)} of {len(links) - 1} inputs are not what the results were made from", err=True)
        raise typer.Exit(1)


@app.command()
@answers_errors
def ask(
    question: Annotated[str, typer.Argument(help="The question")],
    model: Annotated[Path | None, typer.Option(help="Checkpoint folder; default: the newest joint one here")] = None,
    store: Annotated[Path | None, typer.Option(help="Store folder; default: the one of the model's run")] = None,
    k: Annotated[int | None, typer.Option(min=1, help="Documents read; default: as in training")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print answer, documents and scores as JSON")] = False,
) -> None:
    """Answer a question from the compressed documents of a store."""
    import clara

    folder = model or newest_checkpoint(RESULTS)
    folder = folder.parent if folder.is_file() else folder
    loaded = clara.load(folder)
    documents = store or store_of(loaded, folder)
    found = loaded.answer([question], store=documents, k=k or trained_top_k(folder))[0]
    if as_json:
        read = [{"document": text, "score": score} for text, score in zip(found.documents, found.scores, strict=True)]
        answer = {"question": question, "answer": found.text, "documents": read}
        typer.echo(json.dumps(answer | {"model": str(folder), "store": str(documents)}, ensure_ascii=False, indent=2))
        return
    typer.echo(found.text)
    typer.echo(f"\nread from {documents}, by {folder}:", err=True)
    for text, score in zip(found.documents, found.scores, strict=True):
        typer.echo(f"  {score:.3f}  {' '.join(text.split())[:100]}", err=True)


@store_app.command("info")
@answers_errors
def store_info(folder: Annotated[Path, typer.Argument(help="Store folder, or its manifest.json")]) -> None:
    """Say what a store holds and which compressor built it."""
    from clara.model.store import read_manifest

    path = _manifest(folder)
    manifest = read_manifest(path)
    files = [path.parent / shard.file for shard in manifest.shards]
    size = sum(file.stat().st_size for file in files if file.exists())
    _table(
        {
            "store": path.parent,
            "documents": manifest.num_documents,
            "memories": f"{manifest.num_memory} vectors of {manifest.dim} numbers a document, {manifest.dtype}",
            "files": f"{len(manifest.shards)} of memories, {size / 2**20:.1f} MiB",
            "compressor": manifest.compressor_hash[:12],
        }
    )


@store_app.command("verify")
@answers_errors
def store_verify(folder: Annotated[Path, typer.Argument(help="Store folder, or its manifest.json")]) -> None:
    """Compare every file of a store with the hash that was written with it."""
    from clara.model.store import MemoryStore

    store = MemoryStore(_manifest(folder))
    if changed := store.verify():
        raise CheckpointError(
            f"{store.folder}: {', '.join(changed)} not as they were written; delete the folder and compress again"
        )
    typer.echo(f"{store.folder}: {len(store.manifest.shards)} files of memories and the documents are as written")


diagnose_cli.register(app, answers_errors)
store_cli.register(store_app, answers_errors)


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


def _manifest(folder: Path) -> Path:
    return folder / "manifest.json" if folder.is_dir() else folder


def _table(rows: dict[str, Any]) -> None:
    for name, value in rows.items():
        typer.echo(f"{name:<12}{value}")
