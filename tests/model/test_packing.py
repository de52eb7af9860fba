import pytest
import torch

from clara.model.packing import STORE_TYPES, StoreType, bytes_per_document, pack, unpack


def memories(dim: int = 64) -> torch.Tensor:
    values = torch.randn(5, 3, dim, generator=torch.Generator().manual_seed(0))
    values[2, 1] = 0
    values[3] *= 1000
    return values


@pytest.mark.parametrize(
    ("dtype", "error"), [("float32", 0), ("bfloat16", 2**-8), ("int8", 0.5 / 127), ("int4", 0.5 / 7)]
)
def test_what_is_unpacked_is_near_what_was_packed(dtype: StoreType, error: float) -> None:
    values = memories()
    found = unpack(pack(values, dtype), 64).float()
    limit = error * values.abs().amax(-1, keepdim=True) * 1.01
    assert ((found - values).abs() <= limit + 1e-9).all()


@pytest.mark.parametrize("dtype", STORE_TYPES)
@pytest.mark.parametrize("dim", [64, 40])
def test_the_size_is_what_was_said(dtype: StoreType, dim: int) -> None:
    packed = pack(memories(dim), dtype)
    assert sum(tensor.nbytes for tensor in packed.values()) == 5 * bytes_per_document(3, dim, dtype)
    assert unpack(packed, dim).shape == (5, 3, dim)


def test_a_small_vector_beside_a_large_one_keeps_its_precision() -> None:
    values = torch.tensor([[[1e-4] * 32 + [-1e-4] * 32, [100.0] * 64]])
    for dtype in ("int8", "int4"):
        torch.testing.assert_close(unpack(pack(values, dtype), 64), values, rtol=1e-2, atol=1e-9)  # type: ignore[arg-type]


def test_sizes_of_the_paper_s_models_at_ratio_16() -> None:
    assert [bytes_per_document(16, 576, dtype) for dtype in STORE_TYPES] == [36864, 18432, 9280, 5184]
    assert bytes_per_document(16, 4096, "bfloat16") == 131072
