"""The precision of arithmetic on processors of several kinds, and memory within control groups."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clara import machine

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
    machine._flags.cache_clear()
    yield
    machine._flags.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_computed_where_there_are_instructions(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, bfloat16, float16 = KINDS[kind]
    (tmp_path / "cpuinfo").write_text(said)
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    assert machine.arithmetic("bfloat16") == bfloat16
    assert machine.arithmetic("float16") == float16
    assert machine.arithmetic("float32") == "float32"


def test_a_system_without_cpuinfo_computes_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "absent")
    assert machine.arithmetic("bfloat16") == "float32"


@pytest.mark.parametrize(
    ("said", "limits", "expected"),
    [
        (None, {}, 16 * 2**30),
        ("0::/\n", {"memory.max": "max"}, 16 * 2**30),
        ("0::/\n", {"memory.max": "4096"}, 4096),
        ("0::/jobs/one\n", {"jobs/memory.max": "8192", "jobs/one/memory.max": "max"}, 8192),
        ("5:cpu:/a\n4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "123", "a/memory.max": "1"}, 123),
        ("4:memory:/a\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, 16 * 2**30),
    ],
)
def test_memory_is_the_machines_or_what_a_control_group_leaves(
    said: str | None, limits: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 4 * 2**20, "SC_PAGE_SIZE": 4096}.get)
    for name, text in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    if said is not None:
        (tmp_path / "cgroup").write_text(said)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "CGROUP_FILES", tmp_path)
    assert machine.memory_bytes() == expected
