"""Commands that make and change stores: compress, and the group `clara store`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clara.commands.shared import Device, Json, Model, StoreFolder, load, manifest_of, print_result, print_rows
from clara.errors import CheckpointError, DataError
from clara.folders import atomic_folder, put_back
from clara.progress import duration

if TYPE_CHECKING:
    from clara.data.own import OwnPassages
    from clara.model.packing import StoreType
    from clara.model.store import MemoryStore
    from clara.records import Passage
    from clara.serving import Clara

WORDS = 100
"""As corpus.passages.words of config.yaml."""
SAMPLED = 16
"""Passages that are compressed to estimate the time of all."""
OPTIONS: dict[str, Any] = {"shard_documents": 256, "batch_tokens": 4096}

Sources = Annotated[
    list[Path], typer.Argument(help="Text, Markdown, JSON lines or Parquet (title and text), or folders of them")
]
Target = Annotated[Path, typer.Option("--store", help="Store folder, new or there already")]
Type = Annotated[str, typer.Option(help="bfloat16, int8, int4 or float32; a store that is there keeps its own")]
Words = Annotated[int, typer.Option(min=1, help="Words that a passage of a long document aims at")]
Estimate = Annotated[bool, typer.Option("--estimate", help="Only say how large it would be and how long it would take")]


def compress(
    sources: Sources,
    store: Target,
    model: Model = None,
    dtype: Type = "bfloat16",
    words: Words = WORDS,
    estimate: Estimate = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Compress own documents into a store; only passages that it lacks are compressed, an interrupted run goes on."""
    _require_place(store)
    _require_documents(sources)
    loaded, _ = load(model, device=device)
    own = _split(sources, loaded, words)
    if estimate:
        _estimate(loaded, own, _type(dtype), store, as_json=as_json)
    else:
        there = (store / "manifest.json").exists()
        _grow(loaded, own, store, _type(dtype), previous=_opened(store, loaded) if there else None, as_json=as_json)


def add(store: StoreFolder, sources: Sources, model: Model = None, words: Words = WORDS, as_json: Json = False) -> None:
    """Add documents to a store; only passages that it lacks are compressed. A changed passage is a new one."""
    loaded, _ = load(model)
    old = _opened(store, loaded)
    _grow(loaded, _split(sources, loaded, words), old.folder, old.manifest.dtype, previous=old, as_json=as_json)


def remove(
    store: StoreFolder, sources: Sources, model: Model = None, words: Words = WORDS, as_json: Json = False
) -> None:
    """Remove documents, given as they were added, from a store; nothing is compressed."""
    loaded, _ = load(model)
    old = _opened(store, loaded)
    unwanted = {passage.id for passage in _split(sources, loaded, words).passages}
    rest = [passage for passage in old.documents if passage.id not in unwanted]
    if not rest:
        raise DataError(f"{store} would be left empty; delete the folder instead")
    if len(rest) < len(old.documents):
        _write(loaded, rest, old.folder, old.manifest.dtype, previous=old)
    removed = len(old.documents) - len(rest)
    sentence = f"{old.folder}: {removed} passages removed, {len(rest)} are left"
    print_result(sentence, {"store": old.folder, "removed": removed, "passages": len(rest)}, as_json=as_json)


def update(
    store: StoreFolder, sources: Sources, model: Model = None, words: Words = WORDS, as_json: Json = False
) -> None:
    """Make a store hold exactly these documents: new and changed ones are compressed, those that are gone removed."""
    loaded, _ = load(model)
    old = _opened(store, loaded)
    own = _split(sources, loaded, words)
    held, wanted = [{passage.id for passage in part} for part in (old.documents, own.passages)]
    if held != wanted:
        _write(loaded, own.passages, old.folder, old.manifest.dtype, previous=old)
    added, gone = len(wanted - held), len(held - wanted)
    sentence = f"{old.folder}: {added} passages added, {gone} removed, {len(wanted)} in all"
    values = {"store": old.folder, "skipped": own.skipped, "added": added, "removed": gone, "passages": len(wanted)}
    print_result(sentence, values, as_json=as_json)


def index(
    store: StoreFolder,
    kind: Annotated[str | None, typer.Option(help="scan or lists (FAISS); default: lists for large stores")] = None,
    as_json: Json = False,
) -> None:
    """Write the small index by which a large store is searched in two stages."""
    from clara.model.search import INDEX_KINDS, build_index
    from clara.model.store import MemoryStore

    chosen = next((known for known in INDEX_KINDS if known == kind), None)
    if kind is not None and chosen is None:
        raise DataError(f"an index is one of {', '.join(INDEX_KINDS)}, not {kind}; name one of them")
    path = build_index(MemoryStore(manifest_of(store)), kind=chosen)
    size = path.stat().st_size
    print_result(f"{path}: {size / 2**20:.1f} MiB", {"index": path, "bytes": size}, as_json=as_json)


def info(store: StoreFolder, as_json: Json = False) -> None:
    """Say what a store holds and which compressor built it."""
    from clara.model.store import read_manifest

    path = manifest_of(store)
    manifest = read_manifest(path)
    files = [path.parent / shard.file for shard in manifest.shards]
    size = sum(file.stat().st_size for file in files if file.exists())
    rows = {
        "store": path.parent,
        "documents": manifest.num_documents,
        "memories": f"{manifest.num_memory} vectors of {manifest.dim} numbers a document, {manifest.dtype}",
        "files": f"{len(manifest.shards)} of memories, {size / 2**20:.1f} MiB",
        "compressor": manifest.compressor_hash[:12],
    }
    print_rows(rows, as_json=as_json)


def verify(store: StoreFolder, as_json: Json = False) -> None:
    """Compare every file of a store with the hash that was written with it."""
    from clara.model.store import MemoryStore

    opened = MemoryStore(manifest_of(store))
    if changed := opened.verify():
        raise CheckpointError(
            f"{opened.folder}: {', '.join(changed)} not as they were written; delete the folder {opened.folder} "
            "and compress again"
        )
    shards = len(opened.manifest.shards)
    sentence = f"{opened.folder}: {shards} files of memories and the documents are as written"
    print_result(sentence, {"store": opened.folder, "files": shards + 1, "changed": []}, as_json=as_json)


def export(
    store: StoreFolder,
    target: Annotated[Path, typer.Argument(help="A .parquet file, with memories, or a .jsonl file, without")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over a file that is there")] = False,
    as_json: Json = False,
) -> None:
    """Write the passages of a store, and as Parquet their memories, to one file for other programs."""
    from clara.model.store import MemoryStore
    from clara.model.store_export import export_store

    opened = MemoryStore(manifest_of(store))
    export_store(opened, target, overwrite=overwrite)
    count = opened.manifest.num_documents
    print_result(f"{target}: {count} passages", {"file": target, "passages": count}, as_json=as_json)


def _estimate(loaded: "Clara", own: "OwnPassages", dtype: "StoreType", store: Path, *, as_json: bool) -> None:
    from clara.model.compression import require_room
    from clara.model.encoding import encode_texts

    passages = own.passages
    size = require_room(loaded.model, len(passages), dtype, store, store=store)
    sample = passages[:: max(1, len(passages) // SAMPLED)][:SAMPLED]
    inputs = [loaded.model.tokens.to_compress(passage.document) for passage in sample]
    encode_texts(loaded.model, inputs[:1], batch_tokens=OPTIONS["batch_tokens"])  # the first pass also warms up
    started = time.perf_counter()
    encode_texts(loaded.model, inputs, batch_tokens=OPTIONS["batch_tokens"])
    seconds = (time.perf_counter() - started) / len(sample) * len(passages)
    sentence = f"{own.told}: {size / 2**20:,.1f} MiB as {dtype}, about {duration(seconds)}"
    values = {"files": own.files, "skipped": own.skipped, "passages": len(passages), "bytes": size, "seconds": seconds}
    print_result(sentence, values, as_json=as_json)


def _grow(
    loaded: "Clara",
    own: "OwnPassages",
    store: Path,
    dtype: "StoreType",
    *,
    previous: "MemoryStore | None",
    as_json: bool,
) -> None:
    old = previous.documents if previous else []
    held = {passage.id for passage in old}
    new = [passage for passage in own.passages if passage.id not in held]
    typer.echo(f"{own.told}; {len(new):,} of them are new to {store}", err=True)
    if new:
        _write(loaded, [*old, *new], store, previous.manifest.dtype if previous else dtype, previous=previous)
    total = len(old) + len(new)
    sentence = f"{store}: {len(new)} passages added, {total} in all"
    values = {"store": store, "files": own.files, "skipped": own.skipped, "added": len(new), "passages": total}
    print_result(sentence, values, as_json=as_json)


def _write(
    loaded: "Clara", documents: "list[Passage]", store: Path, dtype: "StoreType", *, previous: "MemoryStore | None"
) -> None:
    """Builds beside the store and puts the whole in its place: it is the old store or the new, never a mixture.

    Between two renames it is neither, for a moment; a kill right there leaves the old one beside, and the next command
    that names the store puts it back.
    """
    import shutil

    from clara.model.compression import build_store
    from clara.model.search import INDEX, rebuild_index
    from clara.model.store import MemoryStore

    state = store.with_name(f".{store.name}.state")
    with atomic_folder(store) as folder:
        manifest = folder / "manifest.json"
        build_store(
            loaded.loaded, documents, manifest, state=state, dtype=dtype, previous=previous, store=store, **OPTIONS
        )
        if previous is not None and (previous.folder / INDEX).exists():  # it would be of another state of the store
            typer.echo("making the store's index anew", err=True)
            rebuild_index(previous, MemoryStore(manifest))
    shutil.rmtree(state, ignore_errors=True)  # what a network disk keeps, as it is open, costs room alone


def _require_place(store: Path) -> None:
    """Refuses a place whose content a new store would take the place of.

    Raises:
        DataError: it is a file, or a folder that holds something else than a store.
    """
    if store.name in ("", ".."):
        raise DataError(f"{store} has no name of its own, under which a store could be put; name a folder")
    put_back(store)
    if (store / "manifest.json").exists() or not store.exists():
        return
    if store.is_dir() and {"documents.parquet", "memories-00000.safetensors"} <= {
        file.name for file in store.iterdir()
    }:
        raise CheckpointError(
            f"the store {store} lacks its manifest.json; delete the folder {store} and compress again"
        )
    if not store.is_dir() or any(store.iterdir()):
        raise DataError(f"{store} is there already and is no store; name a new folder")


def _opened(store: Path, loaded: "Clara") -> "MemoryStore":
    from clara.model.store import MemoryStore

    opened = MemoryStore(manifest_of(store))
    opened.require(loaded.compressor_hash)
    return opened


def _require_documents(sources: list[Path]) -> None:
    """Refuses sources without any document before a language model is made or loaded for them."""
    from clara.data.own import files_of

    files_of(sources)


def _split(sources: list[Path], loaded: "Clara", words: int) -> "OwnPassages":
    from clara.data.own import own_passages
    from clara.data.tokenization import TokenCounter

    counter = TokenCounter.of_backbone(loaded.model.backbone.card.path)
    return own_passages(sources, counter, words=words, max_tokens=loaded.model.shape.document_max_tokens)


def _type(name: str) -> "StoreType":
    from clara.model.packing import STORE_TYPES

    for dtype in STORE_TYPES:
        if dtype == name:
            return dtype
    raise DataError(f"a store's type is one of {', '.join(STORE_TYPES)}, not {name}; name one of them")
