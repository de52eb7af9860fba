import math
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy
import pytest

from clara.data.bm25 import Bm25, rank_documents
from clara.errors import DataError

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["Cats\ncats chase mice", "Dogs\ndogs chase cats", "Fish\nfish swim"]


def test_scores_are_those_of_the_formula():
    # "mice" stands once in the first document of 4 words; lengths are 4, 4, 3.
    k1, b, n, df, length, mean = 0.9, 0.4, 3, 1, 4, 11 / 3
    idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
    expected = idf * 1 / (1 + k1 * (1 - b + b * length / mean))
    scores = Bm25(DOCUMENTS, k1=k1, b=b).scores("Where are the mice?")
    assert scores == pytest.approx([expected, 0, 0], rel=1e-5)


def test_words_are_compared_by_their_stem_and_the_title_counts():
    assert Bm25(DOCUMENTS, k1=0.9, b=0.4).best("a dog", 1) == [1]


def test_equal_scores_keep_the_order_of_the_documents():
    index = Bm25(["same words", "other", "same words", "same words"], k1=0.9, b=0.4)
    assert index.best("same", 2) == [0, 2]
    assert index.best("same", 9) == [0, 2, 3, 1]


def test_the_best_are_the_first_of_a_full_sort():
    random = numpy.random.default_rng(0)
    documents = [" ".join(random.choice(list("abcdefghij"), 6) + numpy.array(list("xyzxyz"))) for _ in range(200)]
    index = Bm25(documents, k1=0.9, b=0.4)
    scores = index.scores("ax by cz")
    full = sorted(range(200), key=lambda place: (-scores[place], place))
    assert [index.best("ax by cz", count) for count in (1, 7, 50)] == [full[:1], full[:7], full[:50]]


@pytest.mark.parametrize("question", ["", "the of and", "unknownword", "???"])
def test_a_question_that_shares_no_word_scores_nothing(question):
    assert list(Bm25(DOCUMENTS, k1=0.9, b=0.4).scores(question)) == [0, 0, 0]


def test_documents_without_words_are_no_obstacle():
    assert list(Bm25(["the", "..."], k1=0.9, b=0.4).scores("cats")) == [0, 0]
    assert Bm25(["...", "cats"], k1=0.9, b=0.4).best("cats", 1) == [1]


def test_no_documents_are_refused():
    with pytest.raises(DataError, match="at least one document"):
        Bm25([], k1=0.9, b=0.4)


def test_candidates_are_ranked_completely_with_scores_in_their_order():
    ranked = rank_documents("Do dogs chase?", DOCUMENTS, k1=0.9, b=0.4)
    assert ranked.ranking == [1, 0, 2]
    assert ranked.scores[1] > ranked.scores[0] > ranked.scores[2] == 0
    assert all(ranked.scores[a] >= ranked.scores[b] for a, b in pairwise(ranked.ranking))


@pytest.mark.parametrize(
    ("first", "said"), [("", ["False", "JAX takes the GPU"]), ("import jax.lax; ", ["JAX takes the GPU", "True"])]
)
def test_jax_stays_out_and_is_there_for_others(first, said, tmp_path):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax/__init__.py").write_text("print('JAX takes the GPU')\n")
    (tmp_path / "jax/lax.py").write_text("def top_k(values, k): return values, k\n")
    code = f"{first}import clara.data.bm25 as ours; print(ours.bm25s.selection.JAX_IS_AVAILABLE); import jax"
    here = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=here, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == said


def test_bm25s_has_one_door():
    names = [path for folder in ("clara", "workflow_scripts") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in names if re.search(r"^\s*(import|from) bm25s", path.read_text(), re.M)] == []
