"""The loaders on real benchmark files in the released layout, where `CLARA_DATA` names a folder with them."""

import os
from collections import Counter

import pytest

from clara.data.benchmarks import load

NEEDS_DATA = pytest.mark.skipif("CLARA_DATA" not in os.environ, reason="CLARA_DATA names no folder of benchmark files")


@NEEDS_DATA
@pytest.mark.parametrize("benchmark", ["nq", "hotpotqa", "musique", "2wiki"])
@pytest.mark.parametrize("part", ["train", "dev", "dev.normal"])
def test_real_files_load_with_pools_of_twenty(benchmark, part):
    questions = load(f"$CLARA_DATA/qa/{benchmark}.{part}.jsonl.gz", "rows", None, Counter())
    assert len(questions) >= 200
    assert {len(question.docs) for question in questions} == {20}
    assert part == "dev.normal" or all(question.pos_index for question in questions)
