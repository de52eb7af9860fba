import json
from collections import Counter

import pytest

from clara.data.passages import Limits, split_passages
from clara.data.tally import Tally, distribution
from clara.errors import DataError
from clara.files import text_id


def rows(tmp_path, *pairs):
    path = tmp_path / "dump"
    path.write_text("".join(json.dumps({"title": title, "text": text}) + "\n" for title, text in pairs))
    return path


def split(path, counter, *, words=20, per_article=None, max_articles=None, max_tokens=100):
    tally = Tally()
    limits = Limits(words=words, per_article=per_article, max_articles=max_articles, max_tokens=max_tokens)
    return list(split_passages(path, kind="jsonl", limits=limits, counter=counter, tally=tally)), tally


def sentence(words, start="W"):
    return " ".join([start] + ["w"] * (words - 1)) + "."


def test_long_articles_become_passages_of_whole_sentences_with_their_title(tmp_path, counter):
    text = " ".join(sentence(10, letter) for letter in "ABCDE")
    passages, tally = split(rows(tmp_path, ("T", text)), counter)
    assert [passage.text for passage in passages] == [
        f"{sentence(10, 'A')} {sentence(10, 'B')}",
        f"{sentence(10, 'C')} {sentence(10, 'D')}",
        sentence(10, "E"),
    ]
    assert {passage.title for passage in passages} == {"T"}
    assert [passage.id for passage in passages] == [text_id(f"T\n{passage.text}") for passage in passages]
    assert tally.words == [20, 20, 10]


def test_a_text_that_is_a_passage_already_stays_as_it_is(tmp_path, counter):
    text = "Two  spaces. And\na line, in  thirty words or fewer."
    assert [passage.text for passage in split(rows(tmp_path, ("T", text)), counter)[0]] == [text]


def test_documents_with_too_many_tokens_are_split_not_cut(tmp_path, counter):
    # "T\nA w w." has the tokens T, A, w, w and "."
    text = f"{sentence(6, 'A')} {sentence(6, 'B')}"
    passages, tally = split(rows(tmp_path, ("T", text)), counter, max_tokens=8)
    assert [passage.text for passage in passages] == [sentence(6, "A"), sentence(6, "B")]
    assert tally.tokens == [8, 8]
    assert tally.passages_split == 1


def test_a_sentence_with_too_many_tokens_is_split_between_words(tmp_path, counter):
    passages, _ = split(rows(tmp_path, ("T", sentence(10))), counter, max_tokens=7)
    assert [passage.text for passage in passages] == ["W w w w w", "w w w w w."]


def test_a_title_that_fills_the_limit_drops_the_passage_and_counts_it(tmp_path, counter):
    path = rows(tmp_path, ("A b c d e f g h", sentence(3)), ("T", sentence(3)))
    passages, tally = split(path, counter, max_tokens=8)
    assert [passage.title for passage in passages] == ["T"]
    assert tally.passages_dropped["title_too_long"] == 1


def test_equal_documents_are_kept_once_and_counted(tmp_path, counter):
    passages, tally = split(rows(tmp_path, ("T", "Same."), ("T", "Same."), ("U", "Same.")), counter)
    assert [passage.title for passage in passages] == ["T", "U"]
    assert tally.passages_dropped["duplicate"] == 1


def test_per_article_keeps_the_first_passages_even_where_one_was_split(tmp_path, counter):
    text = " ".join(sentence(10, letter) for letter in "ABCDEF")
    passages, tally = split(rows(tmp_path, ("T", text)), counter, per_article=2)
    assert [passage.text.split()[0] for passage in passages] == ["A", "C"]
    assert tally.articles_shortened == 1
    passages, tally = split(rows(tmp_path, ("T", text)), counter, per_article=2, max_tokens=15)
    assert [passage.text.split()[0] for passage in passages] == ["A", "B"]
    assert tally.passages_dropped["beyond_per_article"] == 2


def test_max_articles_stops_reading(tmp_path, counter):
    passages, tally = split(rows(tmp_path, ("T", "One."), ("U", "Two."), ("V", "Three.")), counter, max_articles=2)
    assert [passage.title for passage in passages] == ["T", "U"]
    assert tally.articles_kept == 2


def test_a_corpus_without_prose_is_refused(tmp_path, counter):
    with pytest.raises(DataError, match=r"gave no passage, dropped articles: \{'no_text': 1\}"):
        split(rows(tmp_path, ("T", " ")), counter)


def test_the_report_says_what_was_read_kept_and_dropped():
    tally = Tally(articles_kept=2, articles_dropped=Counter(redirect=3), words=[10, 20], tokens=[15, 25])
    tally.passages_dropped.update(duplicate=1)
    numbers = {"mean": 15.0, "min": 10, "p5": 10, "p50": 10, "p95": 20, "max": 20}
    assert tally.report() == {
        "articles": {"read": 5, "kept": 2, "shortened": 0, "dropped": {"redirect": 3}},
        "passages": {
            "kept": 2,
            "split_by_tokens": 0,
            "dropped": {"duplicate": 1},
            "words": numbers,
            "tokens": {"mean": 20.0, "min": 15, "p5": 15, "p50": 15, "p95": 25, "max": 25},
        },
    }


def test_a_distribution_takes_quantiles_by_nearest_rank():
    assert distribution(list(range(101, 0, -1))) == {"mean": 51.0, "min": 1, "p5": 6, "p50": 51, "p95": 96, "max": 101}
    assert distribution([]) == {}
