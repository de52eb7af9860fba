"""What a benchmark run says, as plain data and as Markdown with the whole set-up."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from clara.bench.large import Searched
from clara.bench.measure import Measured

PEAK_TERAFLOPS = {"H100": 989, "H200": 989, "A100": 312, "L40S": 362}
"""Dense bfloat16 peak of a GPU whose name contains the key, by its maker."""


def page(set_up: dict[str, Any], tables: Sequence[str]) -> str:
    """A run as Markdown: its set-up, then its tables."""
    lines = [f"- {key}: {_flat(value)}" for key, value in set_up.items() if key != "inputs"]
    return "\n".join(["# Benchmarks", "", *lines, "", *tables]) + "\n"


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def works_table(measured: Sequence[Measured]) -> str:
    """One row a work: what an item costs on both paths, the ratios, the least accepted."""
    rows = []
    for work in measured:
        plain, ours = sorted(work.plain_seconds)[0], sorted(work.our_seconds)[0]
        rows.append(
            [
                f"{work.name} ({work.items} {work.unit})",
                f"{work.plain_flops / work.items / 1e9:.2f} / {work.our_flops / work.items / 1e9:.2f}",
                f"{work.flops_ratio:.2f} (≥ {work.flops_at_least:.2f})",
                f"{plain / work.items:.3f} / {ours / work.items:.3f}",
                f"{work.seconds_ratio:.2f} (≥ {work.seconds_at_least:.2f})",
                f"{work.our_flops / ours / 1e9:.0f}",
                f"{work.plain_peak_bytes / 2**30:.1f} / {work.our_peak_bytes / 2**30:.1f}",
                f"{work.difference:.1e}",
            ]
        )
    heads = [
        "work", "GFLOP an item, plain / ours", "ratio", "seconds an item, plain / ours", "ratio", "ours, GFLOP/s",
        "GiB at most, plain / ours", "results differ by",
    ]  # fmt: skip
    return table(heads, rows)


def searches_table(searched: Sequence[Searched]) -> str:
    """One row a store and a way to search it."""
    heads = ["documents", "store", "search", "index", "built in", "a question", "Recall@5, rescored", "process"]
    rows: list[list[str]] = []
    for found in searched:
        size = [f"{found.documents:,}", f"{found.bytes_of_store / 1e9:.2f} GB"]
        rows.append([*size, "exact", "", "", f"{1000 * found.exact_seconds:.0f} ms", "100 %", ""])
        for kind, way in found.by_index.items():
            recall = ", ".join(f"{100 * share:.1f} % of {number}" for number, share in way.recall_at_5.items())
            index = [kind, f"{way.bytes / 1e6:.0f} MB", f"{way.build_seconds:.1f} s", f"{1000 * way.seconds:.1f} ms"]
            rows.append([*size, *index, recall, f"{way.process_mib:.0f} MiB"])
    return table(heads, rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table and an empty line."""
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def share_of_peak(flops_per_second: float) -> float | None:
    """Share of the GPU's dense bfloat16 peak; None where there is none or its peak is not known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    peak = next((value for key, value in PEAK_TERAFLOPS.items() if key in name), None)
    return None if peak is None else flops_per_second / (peak * 1e12)


def rows(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """The works as plain data."""
    return [asdict(work) | {"utilisation": share_of_peak(work.our_flops / min(work.our_seconds))} for work in measured]
