import re
from pathlib import Path

import pytest

from clara.bench.scale import MISTRAL_7B, SMOLLM2_135M, Assumptions, simulate


def test_the_arithmetic_of_twenty_one_million_documents_by_hand() -> None:
    given = Assumptions(padding=0.0, lora_share=0.0, document_tokens=141, teraflops=400)
    found = dict(map(tuple, simulate(MISTRAL_7B, 21_000_000, given)))  # type: ignore[arg-type]
    # 2 * 6.98e9 * (141 + 3 + 16) * 21e6 / 4e14 / 3600
    assert found["compression, GPU hours"] == "32.6"
    assert found["store, bfloat16"] == "2.75 TB"  # 21e6 * 16 * 4096 * 2
    assert found["store, int8"] == "1.38 TB"
    assert found["index"] == "10.8 GB"
    # 10.752e9 / 5e9 / 16 + 200 / 20000
    assert found["two-stage search on 16 cores, index in memory"] == "144 ms"


@pytest.mark.parametrize(
    ("ratio", "pattern"), [(16, r"\(([\d,]+) documents of 137 tokens at ratio 16"), (64, r"([\d,]+) at 64")]
)
def test_the_rate_that_the_page_supposes_of_a_whole_gpu_follows_from_the_assumptions(ratio: int, pattern: str) -> None:
    given = Assumptions(document_tokens=137, ratio=ratio)
    found = dict(map(tuple, simulate(SMOLLM2_135M, 10**9, given)))  # type: ignore[arg-type]
    rate = 1e9 / 3600 / float(found["compression, GPU hours"].replace(",", ""))
    stated = re.search(pattern, (Path(__file__).parents[2] / "docs" / "scale.md").read_text())
    assert stated
    assert float(stated[1].replace(",", "")) == pytest.approx(rate, rel=0.01)
