"""The precision of arithmetic on processors of several kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clara import processor

AVX2 = "processor\t: 0\nmodel name\t: a laptop's\nflags\t\t: fpu sse2 avx2 fma f16c\n"
KINDS = {
    "avx2": (AVX2, "float32", "float32"),
    "avx512 without bfloat16": (AVX2.replace("avx2", "avx2 avx512f avx512bw avx512vl"), "float32", "float32"),
    "zen4": (AVX2.replace("avx2", "avx2 avx512f avx512_bf16"), "bfloat16", "float32"),
    "amx": (AVX2.replace("avx2", "avx2 avx512f amx_bf16 amx_tile avx512_fp16"), "bfloat16", "float16"),
    "arm": ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", "bfloat16", "float32"),
    "nothing said": ("", "float32", "float32"),
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    processor._flags.cache_clear()
    yield
    processor._flags.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_computed_where_there_are_instructions(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, bfloat16, float16 = KINDS[kind]
    (tmp_path / "cpuinfo").write_text(said)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert processor.arithmetic("bfloat16") == bfloat16
    assert processor.arithmetic("float16") == float16
    assert processor.arithmetic("float32") == "float32"


def test_a_system_without_cpuinfo_computes_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "absent")
    assert processor.arithmetic("bfloat16") == "float32"
