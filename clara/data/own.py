"""Own documents: text, Markdown, JSON lines, Parquet or folders of them, split to passages as a corpus is."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from clara.data.passages import Limits, split_passages
from clara.data.tally import Tally
from clara.data.tokenization import TokenCounter
from clara.errors import DataError, ResourceError
from clara.records import Passage, Record
from clara.row_files import read_rows

PLAIN = (".txt", ".text")
MARKDOWN = (".md", ".markdown")
ROWS = (".jsonl", ".jsonl.gz", ".parquet")
KNOWN = (*PLAIN, *MARKDOWN, *ROWS)
STORE = ("manifest.json", "documents.parquet")
"""Files by which a folder is known as a store."""


class Document(Record):
    """A row of JSON lines or Parquet."""

    title: str | None = None
    text: str


class Section(NamedTuple):
    """A text under one title: a document, or what stands under a heading of one."""

    title: str
    text: str


class OwnPassages(NamedTuple):
    """What own documents became."""

    passages: list[Passage]
    files: int
    skipped: list[str]
    """Files of folders whose ending is none of `KNOWN`, links that lead nowhere, and stores within the folders."""

    @property
    def told(self) -> str:
        """The counts as a phrase."""
        skipped = f" ({len(self.skipped)} of another kind skipped)" if self.skipped else ""
        return f"{len(self.passages):,} passages of {self.files:,} files{skipped}"


def own_passages(sources: Sequence[Path], counter: TokenCounter, *, words: int, max_tokens: int) -> OwnPassages:
    """The passages of own documents, in the order of files, each text once.

    Args:
        sources: files, and folders that are read with all within them but hidden files and stores.
        counter: counts the backbone's tokens.
        words: words that a passage aims at.
        max_tokens: tokens of a passage, title included, at most.

    Raises:
        DataError: a file is missing, of another kind, not UTF-8 or malformed, or nothing is left; names it.
        ResourceError: a folder may not be listed.
    """
    files, read = files_of(sources)
    with TemporaryDirectory() as folder:
        rows = Path(folder) / "documents.jsonl"
        found = False
        with rows.open("w", encoding="utf-8") as file:
            for section in (section for path in read for section in _sections(path)):
                found = found or bool(section.text.strip())
                file.write(json.dumps(_fitting(section, counter, max_tokens)._asdict(), ensure_ascii=False) + "\n")
        if not found:
            raise DataError(f"{', '.join(map(str, sources))}: there is no text in the documents; name others")
        limits = Limits(words=words, per_article=None, max_articles=None, max_tokens=max_tokens)
        passages = list(split_passages(rows, kind="jsonl", limits=limits, counter=counter, tally=Tally()))
    return OwnPassages(passages, len(read), [_name(file) for file in files if file not in set(read)])


def files_of(sources: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """All files of the sources, and those of them that are documents.

    Raises:
        DataError: a source is missing or of another kind, or there are no documents.
        ResourceError: a folder may not be listed.
    """
    files = [file for source in sources for file in _files(source)]
    read = [file for file in files if _is(file, KNOWN) and file.is_file()]
    if not read:
        raise DataError(f"{', '.join(map(str, sources))}: no file ends with {', '.join(KNOWN)}; name other documents")
    return files, read


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        return sorted(_within(source))
    if not source.exists():
        raise DataError(f"{source} does not exist; check its path")
    if not (_is(source, KNOWN) and source.is_file()):
        raise DataError(f"{source}: expected a folder or a file that ends with {', '.join(KNOWN)}; convert it")
    return [source]


def _within(source: Path) -> Iterator[Path]:
    """All within a folder but what is hidden; linked folders too, each once, and of a store its folder alone."""
    walked = {source.resolve()}
    for folder, inner, files in os.walk(source, onerror=_refuse, followlinks=True):
        here = Path(folder)
        inner.sort()  # the walk goes on in this order, whatever the disk's
        for name in list(inner):
            path = here / name
            goes_on = not name.startswith(".") and path.resolve() not in walked
            if goes_on and all((path / file).is_file() for file in STORE):  # its passages are no document of their own
                goes_on = False
                yield path
            if goes_on:
                walked.add(path.resolve())
            else:
                inner.remove(name)
        yield from (here / name for name in files if not name.startswith("."))


def _refuse(error: OSError) -> None:
    # What is not listed would count as gone, and an update would take its passages out of the store.
    raise ResourceError(f"cannot list the folder {error.filename}: {error.strerror}; allow it or name other documents")


def _is(file: Path, endings: tuple[str, ...]) -> bool:
    return file.name.lower().endswith(endings)


def _sections(file: Path) -> Iterator[Section]:
    if _is(file, PLAIN):
        yield Section(_name(Path(file.stem)), _text(file))
    elif _is(file, MARKDOWN):
        yield from _markdown(_name(Path(file.stem)), _text(file))
    else:
        yield from (Section(row.title or "", row.text) for row in read_rows(Document, file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error.reason} at byte {error.start}); convert it to UTF-8") from error


def _markdown(name: str, text: str) -> Iterator[Section]:
    """What stands under each heading, titled by it and by the document's first; fenced code has no headings."""
    document, title, lines, fenced = "", name, list[str](), False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else _heading(line)
        if heading is None:
            lines.append(line)
            continue
        if any(lines):
            yield Section(title, "\n".join(lines).strip())
        document, lines = document or heading, []
        title = heading if heading == document else f"{document}: {heading}"
    if any(lines):
        yield Section(title, "\n".join(lines).strip())


def _heading(line: str) -> str | None:
    """The words of a heading, without the signs around them; None where the line is none."""
    signs = re.match(r"#{1,6}\s", line)
    return None if signs is None else line[signs.end() :].strip().rstrip("#").rstrip()


def _name(path: Path) -> str:
    """A path in letters that can be written, whatever bytes the file system holds."""
    return os.fsencode(path).decode("utf-8", "replace")


def _fitting(section: Section, counter: TokenCounter, max_tokens: int) -> Section:
    """The section; a title that would leave its text no room becomes part of the text."""
    if counter.count([section.title])[0] <= max_tokens // 2:
        return section
    return Section("", f"{section.title}\n{section.text}")
