"""Articles of a corpus file, read as a stream: memory holds one page at a time."""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from clara.data.wikitext import article_paragraphs, is_disambiguation
from clara.errors import DataError
from clara.files import reading, unpacked
from clara.json_lines import decoded_lines, json_line, vouched
from clara.progress import Progress


class Article(NamedTuple):
    """A page that holds prose."""

    title: str
    paragraphs: Iterator[str]
    """Made as they are asked for."""


def read_articles(path: Path, kind: str, dropped: Counter[str]) -> Iterator[Article]:
    """The articles of a corpus file in its order.

    Args:
        path: plain, or packed by bzip2, gzip or xz; the content tells, not the name.
        kind: `mediawiki` (export XML) or `jsonl` (rows {"title", "text"}).
        dropped: counts pages left out, by reason.

    Raises:
        DataError: the file is missing, damaged, empty or of another format; names file and position.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; run the step fetch_corpus")
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path} is empty, expected a corpus; fetch it again")
    read = _wiki_articles if kind == "mediawiki" else _row_articles
    with (
        reading(path),
        path.open("rb") as packed,
        unpacked(packed) as file,
        Progress("read corpus", total=size, unit="B") as progress,
    ):
        for article in read(path, file, dropped):
            # Bytes of the packed file: the only measure of which the end is known.
            progress.update(packed.tell())
            yield article


def _wiki_articles(path: Path, file: IO[bytes], dropped: Counter[str]) -> Iterator[Article]:
    num_pages = 0
    for page in _pages(path, file):
        num_pages += 1
        title, text = page.findtext("{*}title") or "", page.findtext("{*}revision/{*}text") or ""
        reason = _reason(page, title, text)
        if reason:
            dropped[reason] += 1
        else:
            yield Article(title, article_paragraphs(text))
    if not num_pages:
        raise DataError(f"{path} holds no <page>, expected MediaWiki export XML; check corpus.source")


def _reason(page: ElementTree.Element, title: str, text: str) -> str | None:
    """Why a page is no article; null if it is one."""
    if (page.findtext("{*}ns") or "0").strip() != "0":
        return "other_namespace"
    if page.find("{*}redirect") is not None or text.lstrip()[:9].upper() == "#REDIRECT":
        return "redirect"
    if not text.strip() or not title:
        return "no_text"
    return "disambiguation" if is_disambiguation(title, text) else None


def _pages(path: Path, file: IO[bytes]) -> Iterator[ElementTree.Element]:
    root: ElementTree.Element | None = None
    try:
        for event, element in ElementTree.iterparse(file, events=("start", "end")):
            if root is None:
                root = element
                if _local_name(element) != "mediawiki":
                    raise DataError(
                        f"{path} begins with <{_local_name(element)}>, expected MediaWiki export XML (<mediawiki>); "
                        "check corpus.source"
                    )
            if event == "end" and _local_name(element) == "page":
                yield element
                # Pages hang on the root until they are removed: this bounds memory.
                root.clear()
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DataError(
            f"{path} line {line} column {column} is not well-formed XML ({error}); fetch the dump again"
        ) from error
    except (LookupError, ValueError) as error:  # from the parser, of the encoding that the first line declares
        raise DataError(f"{path} is in an encoding that cannot be read ({error}); convert the dump to UTF-8") from error


def _local_name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _row_articles(path: Path, file: IO[bytes], dropped: Counter[str]) -> Iterator[Article]:
    for where, line in decoded_lines(path, file):
        with vouched(path):
            title, text = _row(json_line(line, where), where)
        if text.strip():
            yield Article(title, iter([text]))
        else:
            dropped["no_text"] += 1


def _row(row: Any, where: str) -> tuple[str, str]:
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not isinstance(row.get("title", ""), str):
        raise DataError(f'{where} must be an object with strings "title" and "text"; mend or remove the line')
    return row.get("title", ""), row["text"]
