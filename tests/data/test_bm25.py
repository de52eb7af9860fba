import math
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy
import pytest

from clara.data.bm25 import Bm25
from clara.data.candidates import rank_candidates
from clara.errors import DataError
from clara.records import Question

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


@pytest.mark.parametrize("question", ["Do dogs chase?", "cats, cats and mice", "the of", "unknownword"])
def test_a_document_of_the_index_has_the_same_score_alone(question):
    index = Bm25(DOCUMENTS, k1=0.9, b=0.4)
    assert index.scores_of(question, DOCUMENTS[::-1]) == pytest.approx(list(index.scores(question))[::-1], rel=1e-5)
    assert Bm25(["the"], k1=0.9, b=0.4).scores_of(question, DOCUMENTS) == [0, 0, 0]


def test_candidates_are_ranked_by_what_is_rare_in_the_corpus_not_in_their_pool():
    # All candidates are of dogs, as BM25 would fill a pool; in the corpus dogs are rare, and chasing is common.
    corpus = ["they chase"] * 8 + ["dogs bark", "fish swim"]
    pool = ["dogs bark, dogs", "dogs chase", "a chase", "dogs"]
    index = Bm25(corpus, k1=0.9, b=0.4)
    asked = Question(id="q", question="Do dogs chase?", golden_answers=["x"], docs=pool, pos_index=[])
    scores = index.scores_of(asked.question, pool)
    found = rank_candidates(asked.model_copy(update={"bm25": scores}))
    assert found.ranking == [0, 3, 1, 2]  # 1.16, 1.08, 1.05, 0.13: all of dogs before what only chases
    assert all(found.scores[a] >= found.scores[b] for a, b in pairwise(found.ranking))
    alone = Bm25(pool, k1=0.9, b=0.4).scores(asked.question)
    assert alone[2] > alone[0], "by the pool's own statistics chasing counts for more"
    with pytest.raises(DataError, match="of question q have no BM25 scores; make them again by the step make_cand"):
        rank_candidates(asked)


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
