"""Packed weights: small, near what they were, the same everywhere, and refused where they cannot be read."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clara.errors import CheckpointError
from clara.model import packed

LAYERS = {"q": (70, 40), "v": (40, 20)}
RANK = 4


def tensors(*, moved: float = 0.02) -> dict[str, torch.Tensor]:
    """Three adapters; the reasoner is the compressor, B moved by that share of its size and A by a fourth of that."""
    chance = torch.Generator().manual_seed(1)
    made = {}
    for role in ("compressor", "generator"):
        for layer, (wide, narrow) in LAYERS.items():
            made[f"{role}.adapter.{layer}.A"] = torch.randn(RANK, wide, generator=chance)
            made[f"{role}.adapter.{layer}.B"] = torch.randn(narrow, RANK, generator=chance)
    made |= {"compressor.own.gate": torch.tensor(0.1234567), "compressor.own.rows": torch.randn(5, 6, generator=chance)}
    made["compressor.own.salience"] = torch.rand(64, generator=chance)
    reasoner = {
        key.replace("compressor", "query_reasoner"): value.clone() for key, value in made.items() if "comp" in key
    }
    for key, value in reasoner.items():
        if ".adapter." in key:
            share = moved if key.endswith(".B") else moved / 4
            value += share * torch.randn(value.shape, generator=chance)
    reasoner["query_reasoner.own.rows"] += 1
    return made | reasoner


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_what_is_read_back_is_as_near_as_the_bits_say(bits: int, tmp_path: Path) -> None:
    given = tensors()
    packed.write(given, tmp_path / "w.safetensors", bits)
    found = packed.read(tmp_path / "w.safetensors")
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in given.items()}
    assert list(found) == sorted(given)
    assert all(value.dtype == torch.float32 and value.is_contiguous() for value in found.values())
    assert 0.5 * 2**-bits < packed.errors(given, found).updates < 1.2 * 2**-bits
    assert found["compressor.own.gate"] == given["compressor.own.gate"]
    for key in ("compressor.own.rows", "query_reasoner.own.rows"):
        assert float((found[key] - given[key]).norm() / given[key].norm()) < 0.005
    assert packed.errors(given, given) == (0, 0)


def test_what_the_reasoner_learned_is_not_lost_in_what_is_rounded_of_both() -> None:
    given = tensors()
    made = packed.pack(given, 3)
    assert packed.CODES + packed.BOTH in made.tensors
    found = packed.errors(given, packed.unpack(made, Path("w")))
    # The difference is a fortieth of either: rounded apart, nothing of it would be left.
    assert found.learned < 0.8
    assert found.updates > 0.05


def test_a_reasoner_that_has_little_in_common_with_the_compressor_is_kept_by_itself() -> None:
    given = tensors(moved=3.0)
    made = packed.pack(given, 3)
    blocks = json.loads(made.metadata[packed.LAYOUT])["blocks"]
    assert sorted(blocks) == ["compressor", "generator", "query_reasoner"]
    assert packed.errors(given, packed.unpack(made, Path("w"))).learned < 0.3


def test_a_reasoner_that_is_the_compressor_still_is_and_takes_no_room(tmp_path: Path) -> None:
    given = tensors(moved=0.0)
    given["query_reasoner.own.rows"] = given["compressor.own.rows"].clone()
    packed.write(given, tmp_path / "w.safetensors", 3)
    found, kept = packed.read(tmp_path / "w.safetensors"), load_file(tmp_path / "w.safetensors")
    for key in (key for key in given if key.startswith("query_reasoner")):
        assert torch.equal(found[key], found[key.replace("query_reasoner", "compressor")]), key
    assert not any(name.startswith("query_reasoner") for name in kept)


def test_fewer_bits_are_fewer_bytes_and_all_are_far_fewer_than_float32() -> None:
    chance = torch.Generator().manual_seed(2)
    given = {
        "generator.adapter.q.A": torch.randn(8, 2000, generator=chance),
        "generator.adapter.q.B": torch.randn(1000, 8),
    }
    sizes = [sum(value.nbytes for value in packed.pack(given, bits).tensors.values()) for bits in (2, 4, 8)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 3.1 / 32 * sum(value.nbytes for value in given.values())


def test_a_compressor_alone_and_zeros_come_back() -> None:
    given = {key: torch.zeros_like(value) for key, value in tensors().items() if key.startswith("compressor")}
    found = packed.unpack(packed.pack(given, 2), Path("w"))
    assert all(torch.equal(found[key], value) for key, value in given.items())


def test_weights_that_are_not_packed_are_read_as_they_are(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "w.safetensors")
    assert all(torch.equal(value, tensors()[key]) for key, value in packed.read(tmp_path / "w.safetensors").items())


def test_other_widths_and_damaged_or_older_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="packed in 1 to 8 bits, not 9"):
        packed.pack(tensors(), 9)
    made = packed.pack(tensors(), 4)
    name = next(key for key in made.tensors if key.startswith(packed.CODES))
    for lost in (
        {key: value for key, value in made.tensors.items() if not key.startswith(packed.SIZES)},
        made.tensors | {name: made.tensors[name][:-9]},
        made.tensors | {name: made.tensors[name] ^ 255},
    ):
        with pytest.raises(CheckpointError, match=r"w is packed in a way that cannot be read .*fetch the file again"):
            packed.unpack(packed.Packed(lost, made.metadata), Path("w"))
    with pytest.raises(CheckpointError, match="cannot be read"):
        packed.unpack(made._replace(metadata={packed.LAYOUT: "[]"}), Path("w"))
    save_file(made.tensors, tmp_path / "old.safetensors", metadata={"clara.packed": "{}"})
    with pytest.raises(CheckpointError, match="cannot be read"):
        packed.read(tmp_path / "old.safetensors")
