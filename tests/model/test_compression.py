import shutil
from pathlib import Path

import pytest
import torch

from clara.errors import DataError, ResourceError
from clara.model import checkpoint, compression
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.model.compression import build_store
from clara.model.encoding import encode_texts
from clara.model.store import MemoryStore
from clara.records import Passage, document_id
from tests import tiny


@pytest.fixture
def loaded(model: ClaraModel, tmp_path: Path) -> LoadedCheckpoint:
    return checkpoint.load(tiny.save(model, tmp_path / "checkpoint"), dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_store_holds_what_is_encoded_bit_for_bit(dtype: str, loaded: LoadedCheckpoint, tmp_path: Path) -> None:
    store = MemoryStore(tiny.store(loaded, tmp_path, dtype=dtype, shard_documents=6))
    inputs = [loaded.model.tokens.to_compress(text) for text in tiny.TEXTS]
    wanted = encode_texts(loaded.model, inputs, batch_tokens=128).to(getattr(torch, dtype))
    assert torch.equal(store.memories(tiny.TEXTS), wanted)
    assert torch.equal(store.memories(tiny.TEXTS[::-1]), wanted.flip(0))


def test_a_compression_that_was_stopped_goes_on_by_shards(
    loaded: LoadedCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counting(model: ClaraModel, inputs: list[object], **options: object) -> torch.Tensor:
        calls.append(len(inputs))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode_texts(model, inputs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(compression, "encode_texts", counting)
    with pytest.raises(KeyboardInterrupt):
        tiny.store(loaded, tmp_path)
    assert not (tmp_path / "store" / "manifest.json").exists()
    stopped = tiny.store(loaded, tmp_path)
    assert calls == [4, 2, 2]  # the first shard is not made again
    whole = tiny.store(loaded, tmp_path / "whole")
    assert stopped.read_bytes() == whole.read_bytes()


def test_shards_of_another_compressor_or_of_other_documents_are_made_again(
    loaded: LoadedCheckpoint, tmp_path: Path
) -> None:
    tiny.store(loaded, tmp_path)
    tiny.stir(loaded.model, seed=5)
    other = tiny.save(loaded.model, tmp_path / "other")
    again = tiny.store(checkpoint.load(other, dtype="float32"), tmp_path)
    shutil.rmtree(tmp_path / "state")
    assert again.read_bytes() == tiny.store(checkpoint.load(other, dtype="float32"), tmp_path).read_bytes()
    options = {"dtype": "float32", "shard_documents": 4, "batch_tokens": 128}
    manifest = tmp_path / "turned" / "manifest.json"
    build_store(loaded, tiny.passages()[::-1], manifest, state=tmp_path / "state", **options)  # type: ignore[arg-type]
    inputs = [loaded.model.tokens.to_compress(tiny.TEXTS[0])]
    wanted = encode_texts(loaded.model, inputs, batch_tokens=128)
    torch.testing.assert_close(MemoryStore(manifest).memories(tiny.TEXTS[:1]), wanted, atol=1e-5, rtol=0)


def test_documents_that_are_cut_are_counted(
    loaded: LoadedCheckpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = loaded.model.shape.document_max_tokens
    long = " ".join(["word"] * 2 * limit)
    short = tiny.passages()[-1]
    for name, passages in (("short", [short]), ("long", [short, Passage(id="long", title="Long", text=long)])):
        build_store(
            loaded, passages, tmp_path / name / "manifest.json", state=tmp_path / f"{name}-state", dtype="float32",
            shard_documents=10, batch_tokens=256,
        )  # fmt: skip
        told = f"1 of 2 documents are longer than {limit} tokens; the rest is cut"
        assert (told in capsys.readouterr().err) == (name == "long")


def test_no_documents_are_refused(loaded: LoadedCheckpoint, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no document to compress"):
        build_store(
            loaded, [], tmp_path / "m.json", state=tmp_path, dtype="float32", shard_documents=1, batch_tokens=64
        )


def test_only_new_documents_are_compressed_and_the_rest_is_taken_over(
    loaded: LoadedCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = MemoryStore(tiny.store(loaded, tmp_path)).rows(range(6))
    compressed: list[int] = []

    def counting(model: ClaraModel, inputs: list[object], **options: object) -> torch.Tensor:
        compressed.append(len(inputs))
        return encode_texts(model, inputs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(compression, "encode_texts", counting)
    new = Passage(id=document_id("Gog\nNew."), title="Gog", text="New.")
    documents = [*tiny.passages()[2:5], new, tiny.passages()[0]]  # two deleted, one added, one moved
    options = {"dtype": "float32", "shard_documents": 4, "batch_tokens": 128}
    build_store(loaded, documents, tmp_path / "store" / "manifest.json", state=tmp_path / "state", **options)  # type: ignore[arg-type]
    store = MemoryStore(tmp_path / "store" / "manifest.json")
    assert compressed == [1]
    assert torch.equal(store.rows([0, 1, 2, 4]), before[[2, 3, 4, 0]])
    assert store.memories(["Gog\nNew."]).shape == (1, 4, 64)
    assert len(list((tmp_path / "state").glob("*.safetensors"))) == 2  # what no store needs any more is gone
    assert store.verify() == []


def test_nothing_is_taken_over_from_a_damaged_build(loaded: LoadedCheckpoint, tmp_path: Path) -> None:
    tiny.store(loaded, tmp_path)
    for file in (tmp_path / "state").glob("*.safetensors"):
        content = bytearray(file.read_bytes())
        content[-3] ^= 64
        file.unlink()
        file.write_bytes(content)
    again = MemoryStore(tiny.store(loaded, tmp_path))
    whole = MemoryStore(tiny.store(loaded, tmp_path / "whole"))
    assert torch.equal(again.rows(range(6)), whole.rows(range(6)))


def test_a_store_that_does_not_fit_the_disk_is_refused_before_any_work(
    loaded: LoadedCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "encode_texts", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 1000))  # type: ignore[attr-defined]
    with pytest.raises(
        ResourceError, match=r"the store of 6 documents takes 0\.0 GB as float32.*choose a smaller type"
    ):
        tiny.store(loaded, tmp_path)


def test_a_build_that_goes_on_needs_room_for_what_is_lacking_alone(
    loaded: LoadedCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(tiny.store(loaded, tmp_path, shard_documents=2))
    size = sum((store.folder / shard.file).stat().st_size for shard in store.manifest.shards)

    def room_for(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, free))  # type: ignore[attr-defined]

    made = sorted((tmp_path / "state").rglob("*.safetensors"))
    made[0].unlink()
    room_for(size // 3 + 1000)
    tiny.store(loaded, tmp_path, shard_documents=2)
    made[0].unlink()
    made[1].unlink()
    with pytest.raises(ResourceError, match="not yet there"):
        tiny.store(loaded, tmp_path, shard_documents=2)
