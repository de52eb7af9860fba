import random

import pytest

from clara.data.pools import PoolMaker, fill
from clara.records import Question

TOPICS = ["moon", "sun", "mars", "venus", "earth", "pluto"]
CORPUS = [f"{topic.title()}\nThe {topic} is number {number} of the sky." for topic in TOPICS for number in range(5)]


def maker(size=6, seed=1, corpus=CORPUS):
    return PoolMaker(corpus, size=size, seed=seed, k1=0.9, b=0.4)


def question(gold, *, docs=None, answers=("nobody",), identity="q", text="Which number of the sky is the moon?"):
    docs = docs or gold
    return Question(
        id=identity, question=text, golden_answers=list(answers), docs=docs, pos_index=[docs.index(one) for one in gold]
    )


def golden(made):
    return sorted(made.docs[place] for place in made.pos_index)


def test_an_oracle_pool_holds_all_gold_once_and_has_the_size():
    gold = [CORPUS[0], CORPUS[7]]
    made = maker().oracle(question(gold))
    assert len(made.docs) == len(set(made.docs)) == 6
    assert golden(made) == sorted(gold)
    assert set(made.docs) <= set(CORPUS)


def test_the_order_depends_on_seed_and_id_alone():
    def order(seed, identity):
        return maker(seed=seed).oracle(question([CORPUS[0]], identity=identity)).docs

    base = order(1, "a")
    assert order(1, "a") == base
    expected = sorted(base)
    assert sorted(order(2, "a")) == sorted(order(1, "b")) == expected
    assert order(2, "a") != base
    assert order(1, "b") != base


def test_the_shuffle_is_that_of_the_documented_generator():
    own = [f"D\n{number}" for number in range(6)]
    expected = list(own)
    random.Random("1-q").shuffle(expected)
    assert maker().oracle(question(own[:1], docs=own)).docs == expected


def test_single_hop_distractors_do_not_hold_an_answer_while_there_are_others():
    made = maker(size=20).oracle(question([CORPUS[0]], answers=["Number 3"]))
    assert not any("number 3" in document for document in made.docs)


def test_distractors_that_hold_an_answer_fill_what_the_others_leave():
    made = maker(size=28).oracle(question([CORPUS[0]], answers=["number 3"]))
    assert sum("number 3" in document for document in made.docs) == 28 - 24


def test_an_answer_is_found_as_whole_words_only():
    made = maker(size=30).oracle(question([CORPUS[0]], answers=["umber"]))
    assert len(made.docs) == 30


def test_multi_hop_distractors_are_of_other_articles_while_there_are_others():
    made = maker(size=12).oracle(question([CORPUS[0], CORPUS[5]]))
    others = [document for place, document in enumerate(made.docs) if place not in made.pos_index]
    assert {document.partition("\n")[0] for document in others} & {"Moon", "Sun"} == set()


def test_a_pool_of_its_own_is_filled_and_never_loses_gold():
    own = ["A\none", "B\ntwo", "C\nthree"]
    made = maker().oracle(question([own[2]], docs=own))
    assert set(own) <= set(made.docs)
    assert len(made.docs) == 6
    assert golden(made) == [own[2]]


def test_a_pool_that_is_too_large_loses_distractors():
    own = [f"A\n{number}" for number in range(9)]
    made = maker().oracle(question([own[8]], docs=own))
    assert len(made.docs) == 6
    assert golden(made) == [own[8]]


def test_a_normal_pool_is_the_best_of_the_corpus_in_order_with_the_gold_that_was_found():
    made = maker(size=5).normal(question([CORPUS[2], CORPUS[29]]))
    assert made.docs == CORPUS[:5]
    assert made.pos_index == [2]
    assert maker(size=5).normal(question([CORPUS[29]])).pos_index == []


def test_a_small_corpus_warns_and_makes_smaller_pools():
    with pytest.warns(UserWarning, match="3 passages, fewer than candidates.size = 6"):
        small = maker(corpus=CORPUS[:3])
    assert len(small.oracle(question([CORPUS[0]])).docs) == 3
    assert len(small.normal(question([CORPUS[0]])).docs) == 3


def test_fill_takes_the_setting_by_its_name():
    asked = [question([CORPUS[0]])]
    made = maker()
    assert list(fill(asked, made, "oracle")) == [made.scored(made.oracle(asked[0]))]
    (normal,) = fill(asked, made, "normal")
    assert normal.docs == made.normal(asked[0]).docs
    assert normal.bm25 == sorted(normal.bm25, reverse=True), "as the retriever found them"
    (own,) = fill(asked, made, "given")
    assert (own.docs, len(own.bm25)) == (asked[0].docs, len(asked[0].docs))
