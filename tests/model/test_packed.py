"""Packed weights: small, near what they were, the same everywhere, and refused where they cannot be read."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clara.errors import CheckpointError
from clara.model import packed


def tensors() -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(1)
    shapes = {"compressor.adapter.q.A": (4, 33), "compressor.adapter.q.B": (7, 4), "generator.adapter.q.A": (4, 33)}
    made = {key: torch.randn(shape, generator=chance) for key, shape in shapes.items()}
    made |= {"compressor.own.gate": torch.tensor(0.1234567), "compressor.own.rows": torch.randn(5, 6, generator=chance)}
    made["compressor.own.salience"] = torch.rand(64, generator=chance)
    moved = {key.replace("compressor", "query_reasoner"): value.clone() for key, value in made.items() if "comp" in key}
    moved["query_reasoner.adapter.q.A"] += 0.001 * torch.randn(4, 33, generator=chance)
    return made | moved


def error(found: torch.Tensor, true: torch.Tensor) -> float:
    return float((found - true).norm() / true.norm())


@pytest.mark.parametrize(("bits", "most"), [(4, 0.12), (8, 0.008)])
def test_what_is_read_back_is_near_what_was_written(bits: int, most: float, tmp_path: Path) -> None:
    given = tensors()
    packed.write(given, tmp_path / "w.safetensors", bits)
    found = packed.read(tmp_path / "w.safetensors")
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in given.items()}
    assert all(value.dtype == torch.float32 for value in found.values())
    matrices = [key for key in given if ".adapter." in key]
    assert all(0 < error(found[key], given[key]) < most for key in matrices)
    assert found["compressor.own.gate"] == given["compressor.own.gate"]
    assert error(found["compressor.own.rows"], given["compressor.own.rows"]) < 0.005


def test_a_reasoner_is_told_by_its_difference_and_left_out_where_there_is_none(tmp_path: Path) -> None:
    given = tensors()
    packed.write(given, tmp_path / "w.safetensors", 4)
    found, kept = packed.read(tmp_path / "w.safetensors"), load_file(tmp_path / "w.safetensors")
    # The compressor's rounding is part of the difference, so the reasoner comes back better than the compressor.
    key = "query_reasoner.adapter.q.A"
    assert error(found[key], given[key]) < 0.3 * error(found["compressor.adapter.q.A"], given["compressor.adapter.q.A"])
    assert not any(name.startswith("query_reasoner.own") for name in kept)
    assert torch.equal(found["query_reasoner.own.salience"], found["compressor.own.salience"])


def test_four_bits_take_an_eighth_of_float32_and_a_scale_a_group() -> None:
    kept = packed.pack({"generator.adapter.q.A": torch.ones(32, 64)}, 4).tensors
    assert {name: (value.dtype, value.numel()) for name, value in kept.items()} == {
        "generator.adapter.q.A.codes": (torch.uint8, 1024), "generator.adapter.q.A.scales": (torch.bfloat16, 64)
    }  # fmt: skip


def test_zeros_come_back_as_zeros() -> None:
    made = packed.pack({"generator.adapter.q.B": torch.zeros(3, 5)}, 4)
    assert torch.equal(packed.unpack(made, Path("w"))["generator.adapter.q.B"], torch.zeros(3, 5))


def test_weights_that_are_not_packed_are_read_as_they_are(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "w.safetensors")
    assert all(torch.equal(value, tensors()[key]) for key, value in packed.read(tmp_path / "w.safetensors").items())


def test_other_widths_and_damaged_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="packed in 4 or 8 bits, not 3"):
        packed.pack(tensors(), 3)
    made = packed.pack(tensors(), 4)
    lost = {key: value for key, value in made.tensors.items() if not key.endswith(".scales")}
    with pytest.raises(CheckpointError, match=r"w is packed in a way that cannot be read .*fetch the file again"):
        packed.unpack(packed.Packed(lost, made.metadata), Path("w"))
    with pytest.raises(CheckpointError, match="cannot be read"):
        packed.unpack(made._replace(metadata={packed.LAYOUT: "[]"}), Path("w"))
