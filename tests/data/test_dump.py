import bz2
import gzip
import itertools
import lzma
import random
import re
from collections import Counter

import pytest

from clara.data.dump import read_articles
from clara.errors import DataError
from clara.files import write_json

HEAD = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">\n<siteinfo><sitename>W</sitename></siteinfo>\n'


def page(title, text, ns=0, redirect=False):
    mark = '<redirect title="Other" />' if redirect else ""
    return f"<page><title>{title}</title><ns>{ns}</ns>{mark}<revision><id>1</id><text>{text}</text></revision></page>\n"


ARTICLE = page("One", "The first article is about one.")
PAGES = (
    ARTICLE
    + page("Old", "#REDIRECT [[One]]", redirect=True)
    + page("Older", "#redirect [[One]]")
    + page("Talk:One", "Talk about the article goes here.", ns=1)
    + page("One (disambiguation)", "One may mean many things here.")
    + page("Empty", "")
    + page("Two", "The second article is about &lt;b&gt;two&lt;/b&gt;.")
)


def read(path, kind="mediawiki"):
    dropped = Counter()
    return [(title, list(paragraphs)) for title, paragraphs in read_articles(path, kind, dropped)], dropped


@pytest.fixture
def write(tmp_path):
    def write(content, pack=lambda data: data):
        path = tmp_path / "dump"
        path.write_bytes(pack(content.encode()))
        return path

    return write


@pytest.mark.parametrize("pack", [lambda data: data, bz2.compress, gzip.compress], ids=["plain", "bzip2", "gzip"])
def test_articles_are_found_whatever_the_file_is_called(write, pack):
    articles, dropped = read(write(HEAD + PAGES + "</mediawiki>", pack))
    assert articles == [
        ("One", ["The first article is about one."]),
        ("Two", ["The second article is about two."]),
    ]
    assert dropped == {"redirect": 2, "other_namespace": 1, "disambiguation": 1, "no_text": 1}


def test_a_bzip2_file_of_several_streams_is_read_to_its_end(tmp_path):
    path = tmp_path / "dump"
    path.write_bytes(bz2.compress(HEAD.encode()) + bz2.compress((ARTICLE + "</mediawiki>").encode()))
    assert read(path)[0] == [("One", ["The first article is about one."])]


def test_pages_are_released_as_they_are_read(write):
    """Memory stays that of a page: two hundred pages of 100 kB stay far below their sum of 20 MB."""
    import tracemalloc

    filler = "x" * 100_000
    path = write(HEAD + "".join(page(f"T{number}", filler) for number in range(200)) + "</mediawiki>")
    tracemalloc.start()
    count = sum(1 for _ in read_articles(path, "mediawiki", Counter()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + ARTICLE + "<page><title>X</page>", r"dump line 4 column \d+ is not well-formed XML"),
        (HEAD + ARTICLE, r"dump line 4 column 0 is not well-formed XML"),
        ("<html><body/></html>", "begins with <html>, expected MediaWiki export XML"),
        (HEAD + "</mediawiki>", "holds no <page>"),
        ("just words", "line 1 column 0 is not well-formed"),
        ("", "is empty"),
    ],
)
def test_what_is_no_dump_is_refused_with_its_place(write, content, message):
    with pytest.raises(DataError, match=message):
        read(write(content))


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress])
def test_a_packed_dump_that_is_cut_short_is_refused(write, pack):
    path = write(HEAD + PAGES * 50 + "</mediawiki>", pack)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="dump is damaged or cut short"):
        read(path)


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress, lzma.compress], ids=["bzip2", "gzip", "xz"])
@pytest.mark.parametrize("kind", ["mediawiki", "jsonl"])
def test_a_packed_corpus_with_changed_bytes_is_refused(tmp_path, kind, pack):
    content = bytearray(pack(random.Random("packed").randbytes(4000).hex().encode()))
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "dump").write_bytes(content)
    with pytest.raises(DataError, match="dump"):
        read(tmp_path / "dump", kind)


def test_a_packed_dump_of_nothing_is_refused(write):
    with pytest.raises(DataError, match="not well-formed"):
        read(write("", gzip.compress))
    with pytest.raises(DataError, match="holds no rows"):
        read(write(" \n", gzip.compress), "jsonl")


@pytest.mark.parametrize("encoding", ["martian", "shift_jis", "base64"])
def test_an_encoding_that_cannot_be_read_is_refused(write, encoding):
    with pytest.raises(DataError, match="is in an encoding that cannot be read"):
        read(write(f'<?xml version="1.0" encoding="{encoding}"?>' + HEAD + ARTICLE + "</mediawiki>"))


def test_entities_that_grow_without_end_are_refused(write):
    names = "abcdefghij"
    grown = "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in itertools.pairwise(names))
    bomb = f'<!DOCTYPE mediawiki [<!ENTITY a "{"x" * 1000}">{grown}]>'
    with pytest.raises(DataError, match="amplification"):
        read(write(bomb + HEAD + page("One", "&j;") + "</mediawiki>"))


def test_a_missing_dump_is_refused(tmp_path):
    with pytest.raises(DataError, match="run the step fetch_corpus"):
        read(tmp_path / "dump")


def test_rows_keep_their_text_as_it_is(write):
    path = write(
        '{"title": "A", "text": "First  line.\\nSecond."}\n\n{"title": "B", "text": " "}\n{"text": "No title."}\n'
    )
    assert read(path, "jsonl") == ([("A", ["First  line.\nSecond."]), ("", ["No title."])], {"no_text": 1})


def test_a_dump_that_was_fetched_whole_and_is_cut_now_is_to_be_fetched_again(write):
    path = write('{"text": "a"}\n{"text"')
    record = {"command": ["fetch_corpus.py"], "inputs": {}, "outputs": {path.name: "0" * 64}}
    write_json(path.parent / "provenance" / "card.json", record)
    with pytest.raises(DataError, match=r"is not as fetch_corpus.py wrote it, .*; delete it and run again"):
        read(path, "jsonl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text"', "dump line 2 is not JSON"),
        ('{"title": "a"}', 'dump line 1 must be an object with strings "title" and "text"'),
        ("[1]", "dump line 1 must be an object"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(write, content, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read(write(content), "jsonl")


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "dump").write_bytes(b'{"text": "\xff"}')
    with pytest.raises(DataError, match="is not UTF-8"):
        read(tmp_path / "dump", "jsonl")
