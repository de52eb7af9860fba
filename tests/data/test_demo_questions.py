"""The questions that the project ships, against the corpus that they are about."""

import importlib.metadata
from collections import Counter
from pathlib import Path

import pytest

import clara.config
from clara.data.benchmarks import Files, prepare
from clara.data.passages import Limits, split_passages
from clara.data.question_files import read_question_rows
from clara.data.sources import resolve
from clara.data.supports import SupportedQuestion
from clara.data.tally import Tally
from clara.data.tokenization import TokenCounter
from clara.records import parse_row
from clara.row_files import write_rows

ROOT = Path(__file__).parents[2]
TYPES = {
    "nq": {"single"},
    "hotpotqa": {"bridge", "comparison"},
    "musique": {"2hop", "3hop", "4hop"},
    "2wiki": {"compositional", "comparison", "bridge_comparison", "inference"},
}
BENCHMARKS = sorted(TYPES)


def installed(distribution):
    return any(importlib.metadata.distributions(name=distribution))


@pytest.fixture(scope="module")
def config():
    return clara.config.validate(clara.config.load(ROOT / "config.yaml"))


@pytest.fixture(scope="module")
def passages(config, word_tokenizer, tmp_path_factory):
    """The demo's passages; words stand for the backbone's tokens, of which a document has about 1.4 times as many."""
    if not installed("gensim"):
        pytest.skip("the package gensim, which carries the demo's corpus, is not installed")
    path = tmp_path_factory.mktemp("demo") / "passages.parquet"
    limits = Limits(**config.corpus.passages.model_dump(), max_tokens=config.memory.document_max_tokens)
    source = config.corpus.source
    found = split_passages(
        resolve(source.location), kind=source.format, limits=limits, counter=TokenCounter(word_tokenizer), tally=Tally()
    )
    write_rows(path, found)
    return path


def rows(benchmark):
    path = ROOT / "data" / "benchmarks" / f"{benchmark}.jsonl"
    return [parse_row(SupportedQuestion, row.values, row.where) for row in read_question_rows(path)]


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_file_holds_enough_questions_of_all_its_types(benchmark):
    found = rows(benchmark)
    kinds = Counter(row.type for row in found)
    assert len(found) >= 40
    assert set(kinds) == TYPES[benchmark]
    assert min(kinds.values()) >= 2
    assert sum(len(row.golden_answers) > 1 for row in found) >= 5


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_answers_are_clean_and_supports_fit_the_number_of_hops(benchmark):
    for row in rows(benchmark):
        assert all(answer == answer.strip() != "" for answer in row.golden_answers), row.id
        assert len(set(row.golden_answers)) == len(row.golden_answers), row.id
        assert (len(row.support) == 1) == (benchmark == "nq"), row.id
        if benchmark == "musique":
            assert len(row.support) == int(row.type[0]), row.id


def test_ids_and_questions_are_unique_over_all_files():
    found = [row for benchmark in BENCHMARKS for row in rows(benchmark)]
    assert [name for name, count in Counter(row.id for row in found).items() if count > 1] == []
    assert [text for text, count in Counter(row.question.casefold() for row in found).items() if count > 1] == []


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_support_is_in_the_corpus_and_both_parts_hold_all_types(benchmark, config, passages):
    settings = config.benchmarks[benchmark]
    files = Files(settings.train, str(ROOT / settings.test), settings.test_normal)
    found = prepare(
        files, kind=settings.format, passages=passages, num_train=settings.num_train, num_test=settings.num_test
    )
    assert len(found.train) + len(found.test) == len(rows(benchmark))
    assert {question.type for question in found.train} == {question.type for question in found.test} == TYPES[benchmark]
