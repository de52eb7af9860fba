"""Commands of `clara store` that make and change stores."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clara.errors import DataError
from clara.files import atomic_folder
from clara.progress import duration

if TYPE_CHECKING:
    from clara.model.checkpoint import LoadedCheckpoint
    from clara.model.packing import StoreType
    from clara.records import Passage

SAMPLED = 16
"""Documents that are compressed to estimate the time of all."""
OPTIONS: dict[str, Any] = {"shard_documents": 2048, "batch_tokens": 4096}

Documents = Annotated[Path, typer.Argument(help="JSON lines or Parquet with the fields title and text")]
Store = Annotated[Path, typer.Argument(help="Store folder")]
Model = Annotated[Path, typer.Option(help="Checkpoint folder of any stage")]
Type = Annotated[str, typer.Option(help="bfloat16, int8, int4 or float32")]


def register(app: typer.Typer, answers_errors: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
    """Adds the commands to the group `clara store`."""
    for command in (estimate, build, add, delete, index):
        app.command()(answers_errors(command))


def estimate(documents: Documents, model: Model, dtype: Type = "bfloat16") -> None:
    """Say how large a store of the documents would be and how long its build would take here."""
    from clara.model.compression import compress, require_room

    loaded, passages = _load(model), _passages(documents)
    size = require_room(loaded.model, len(passages), _type(dtype), Path())
    sample = passages[:: max(1, len(passages) // SAMPLED)][:SAMPLED]
    inputs = [loaded.model.tokens.to_compress(passage.document) for passage in sample]
    compress(loaded.model, inputs[:1], batch_tokens=OPTIONS["batch_tokens"])  # the first pass also warms up
    started = time.perf_counter()
    compress(loaded.model, inputs, batch_tokens=OPTIONS["batch_tokens"])
    seconds = (time.perf_counter() - started) / len(sample) * len(passages)
    typer.echo(f"{len(passages):,} documents: {size / 2**20:,.1f} MiB as {dtype}, about {duration(seconds)}")


def build(documents: Documents, store: Store, model: Model, dtype: Type = "bfloat16") -> None:
    """Compress documents into a new store; run again after an interruption, it goes on."""
    if (store / "manifest.json").exists():
        raise DataError(f"{store} is a store already; use clara store add, or name a new folder")
    _write(_load(model), _passages(documents), store, _type(dtype), previous=None)


def add(documents: Documents, store: Store, model: Model) -> None:
    """Add documents to a store; only those that it lacks are compressed. A changed document is a new one."""
    from clara.model.store import MemoryStore

    loaded, old = _load(model), MemoryStore(store / "manifest.json")
    old.require(loaded.compressor_hash)
    held = {passage.id for passage in old.documents}
    new = {passage.id: passage for passage in _passages(documents) if passage.id not in held}
    if new:
        _write(loaded, [*old.documents, *new.values()], store, old.manifest.dtype, previous=store)
    typer.echo(f"{store}: {len(new)} documents added, {len(held) + len(new)} in all")


def delete(documents: Documents, store: Store, model: Model) -> None:
    """Delete documents from a store; nothing is compressed. To change one, delete it and add it anew."""
    from clara.model.store import MemoryStore

    loaded, old = _load(model), MemoryStore(store / "manifest.json")
    old.require(loaded.compressor_hash)
    unwanted = {passage.id for passage in _passages(documents)}
    rest = [passage for passage in old.documents if passage.id not in unwanted]
    if len(rest) < len(old.documents):
        _write(loaded, rest, store, old.manifest.dtype, previous=store)
    typer.echo(f"{store}: {len(old.documents) - len(rest)} documents deleted, {len(rest)} are left")


def index(store: Store) -> None:
    """Write the small index by which `clara ask` searches a large store in two stages."""
    from clara.model.search import build_index
    from clara.model.store import MemoryStore

    path = build_index(MemoryStore(store / "manifest.json"))
    typer.echo(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


def _write(
    loaded: "LoadedCheckpoint", documents: "list[Passage]", store: Path, dtype: "StoreType", *, previous: Path | None
) -> None:
    """Builds beside the store and puts the whole in its place: at every moment there is the old store or the new."""
    import shutil

    from clara.model.compression import build_store
    from clara.model.store import MemoryStore

    state = store.with_name(f".{store.name}.state")
    kept = MemoryStore(previous / "manifest.json") if previous else None
    with atomic_folder(store) as folder:
        build_store(loaded, documents, folder / "manifest.json", state=state, dtype=dtype, previous=kept, **OPTIONS)
    shutil.rmtree(state)


def _load(model: Path) -> "LoadedCheckpoint":
    import clara

    served = clara.load(model)
    return served.loaded


def _passages(path: Path) -> "list[Passage]":
    from clara.records import Passage, document_id, document_text, read_json_lines, read_rows

    if path.suffix == ".parquet":
        return read_rows(Passage, path)
    found: dict[str, Passage] = {}
    for where, row in read_json_lines(path):
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise DataError(f"{where} has no text; give every line the fields title and text")
        title, text = str(row.get("title") or ""), row["text"]
        name = document_id(document_text(title, text))
        found[name] = Passage(id=name, title=title, text=text)
    return list(found.values())


def _type(name: str) -> "StoreType":
    from clara.model.packing import STORE_TYPES

    for dtype in STORE_TYPES:
        if dtype == name:
            return dtype
    raise DataError(f"a store's type is one of {', '.join(STORE_TYPES)}, not {name}; name one of them")
