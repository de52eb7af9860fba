import errno
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch

from clara.errors import CheckpointError, DataError, ResourceError
from clara.model import checkpoint
from clara.model.clara import ClaraModel
from clara.model.packing import STORE_TYPES
from clara.model.store import DOCUMENTS, MemoryStore, write_documents
from clara.records import Passage, document_id
from clara.row_files import write_rows
from tests import tiny


@pytest.fixture
def manifest(model: ClaraModel, tmp_path: Path) -> Path:
    loaded = checkpoint.load(tiny.save(model, tmp_path / "checkpoint"), dtype="float32")
    return tiny.store(loaded, tmp_path)


def test_the_manifest_says_what_the_store_holds(manifest: Path) -> None:
    store = MemoryStore(manifest)
    assert [shard.documents for shard in store.manifest.shards] == [4, 2]
    assert (store.manifest.num_documents, store.manifest.num_memory, store.manifest.dim) == (6, 4, 64)
    assert [passage.document for passage in store.documents] == tiny.TEXTS
    assert store.rows([5, 0]).shape == (2, 4, 64)


@pytest.mark.parametrize("dtype", STORE_TYPES)
def test_memories_are_read_in_mixed_precision_as_without(dtype: str, model: ClaraModel, tmp_path: Path) -> None:
    loaded = checkpoint.load(tiny.save(model, tmp_path / "checkpoint"), dtype="float32")
    store = MemoryStore(tiny.store(loaded, tmp_path, dtype=dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):  # joint validation reads so
        mixed = store.rows([5, 0])
    assert torch.equal(mixed, store.rows([5, 0]))


def test_the_builders_hash_is_accepted_and_another_refused(manifest: Path) -> None:
    store = MemoryStore(manifest)
    store.require(store.manifest.compressor_hash)
    with pytest.raises(CheckpointError, match="the model has 0123456789ab; compress the documents with this model"):
        store.require("0123456789abcdef")


def test_an_unknown_document_is_refused_in_one_sentence(manifest: Path) -> None:
    with pytest.raises(DataError, match=r"lacks the document that begins 'Gog\\nUnknown\.'; compress the"):
        MemoryStore(manifest).memories([tiny.TEXTS[0], "Gog\nUnknown."])


@pytest.mark.parametrize("name", ["memories-00001.safetensors", DOCUMENTS])
def test_verify_names_the_file_with_a_flipped_byte(name: str, manifest: Path) -> None:
    store = MemoryStore(manifest)
    assert store.verify() == []
    store.require_unharmed()
    content = bytearray((manifest.parent / name).read_bytes())
    content[len(content) // 2] ^= 4
    (manifest.parent / name).write_bytes(content)
    assert store.verify() == [name]
    with pytest.raises(CheckpointError, match=f"{name} in .* is not as it was written"):
        store.require_unharmed()


def test_missing_and_cut_shards_are_refused(manifest: Path) -> None:
    shard = manifest.parent / "memories-00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=f"a shard in {re.escape(str(manifest.parent))} is damaged"):
        MemoryStore(manifest).rows([5])
    shard.unlink()
    with pytest.raises(CheckpointError, match=r"memories-00001\.safetensors is missing"):
        MemoryStore(manifest)


def test_a_list_of_documents_that_is_cut_or_lost_is_mended_by_making_the_store_again(manifest: Path) -> None:
    listed = manifest.parent / "documents.parquet"
    said = rf"documents\.parquet is missing or damaged; delete the folder {manifest.parent} and compress again"
    listed.write_bytes(listed.read_bytes()[:100])
    for _ in ("cut", "lost"):
        with pytest.raises(CheckpointError, match=said):
            MemoryStore(manifest)
        listed.unlink(missing_ok=True)


def test_memories_that_may_not_be_read_are_not_called_damaged(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse(path: Path, *words: Any, **options: Any) -> Any:
        if path.suffix == ".safetensors":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *words, **options)

    store = MemoryStore(manifest)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ResourceError, match=r"may not be read .*Permission denied.*; allow it and run again"):
        store.rows([0])
    with pytest.raises(ResourceError, match=r"cannot read .*Permission denied; allow it and run again"):
        store.verify()


def test_a_store_that_was_changed_since_it_was_opened_is_refused_not_misread(manifest: Path) -> None:
    unread, opened = MemoryStore(manifest), MemoryStore(manifest)
    memories = opened.rows([5, 0])
    assert opened.texts([5, 0]) == [tiny.TEXTS[5], tiny.TEXTS[0]]
    write_rows(manifest.parent / DOCUMENTS, tiny.passages()[::-1])
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "documents_sha256": "0"}))
    for read in (opened.texts, unread.texts, unread.rows):
        with pytest.raises(CheckpointError, match="was changed since it was opened; open it again"):
            read([5, 0])
    assert torch.equal(opened.rows([5, 0]), memories)  # mapped as they were


def test_texts_lie_in_small_blocks_and_a_store_with_others_is_read_all_the_same(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [Passage(id=document_id(f"A\n{number}"), title="A", text=str(number)) for number in range(1300)]
    path = manifest.parent / "many.parquet"
    write_documents(path, many)
    assert [len(block) for block in blocks_of(path)] == [256, 256, 256, 256, 256, 20]
    monkeypatch.setattr("clara.model.store.MOST_BLOCKS", 4)
    write_documents(path, many)
    assert [len(block) for block in blocks_of(path)] == [325] * 4
    for block in (1, 4, 4096):  # of 4,096 before, whatever the store's size
        write_rows(manifest.parent / DOCUMENTS, tiny.passages(), block=block)
        store = MemoryStore(manifest)
        assert store.texts([5, 0, 5]) == [tiny.TEXTS[5], tiny.TEXTS[0], tiny.TEXTS[5]]
        assert store.numbers(tiny.TEXTS[::-1]) == [5, 4, 3, 2, 1, 0]


def blocks_of(path: Path) -> list[Any]:
    file = pyarrow.parquet.ParquetFile(path)
    return [file.read_row_group(number) for number in range(file.num_row_groups)]


def test_numbers_that_no_document_has_are_refused(manifest: Path) -> None:
    for row in (-1, 6):
        with pytest.raises(DataError, match=f"there is no document {row} in the store .*; they are 0 to 5"):
            MemoryStore(manifest).rows([0, row])


def test_other_files_are_no_manifests(manifest: Path, model: ClaraModel) -> None:
    with pytest.raises(CheckpointError, match="is no store manifest"):
        MemoryStore(model.backbone.card.path)
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema": 7}))
    with pytest.raises(CheckpointError, match="has schema 7, this version reads 1"):
        MemoryStore(manifest)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_documents", 7, r"lists 7 documents and shards of \[4, 2\], but documents\.parquet has 6"),
        ("shards", [], r"lists 6 documents and shards of \[\]"),
        (
            "num_memory",
            5,
            r"memories-00000\.safetensors holds memories of shape \[4, 4, 64\], the manifest says \[4, 5, 64\]",
        ),
        ("dim", "wide", "is no store manifest .field dim: .* found 'wide'"),
        ("shards", [{"file": "x"}], r"is no store manifest .field shards\.0\.documents: field required"),
    ],
)
def test_a_manifest_that_does_not_fit_its_files_is_refused(
    key: str, value: object, message: str, manifest: Path
) -> None:
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), key: value}))
    with pytest.raises(CheckpointError, match=message):
        MemoryStore(manifest).rows([0])
