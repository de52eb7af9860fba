"""The report's folder as a site that can be moved: copies of the files that its page offers and other steps made."""

from collections.abc import Iterable
from pathlib import Path

from clara.errors import ConfigError
from clara.files import reading
from clara.folders import atomic_folder

FOLDER = "files"
"""Of the copies, beside the page."""
PAPER_FORMS = (".csv", ".md", ".tex", ".diff.md", ".macros.tex")
"""Endings of a filled table's files."""
SCORECARD_FORMS = (".csv", ".md", ".tex", ".json")
"""Endings of the scorecard's files."""
FIGURE_FORMS = (".svg", ".png")
"""Endings of a figure's files."""
TABLE_FORMS = (".csv", ".md", ".tex")
"""Endings of the files of a table of the report's own."""


def forms(file: Path, endings: Iterable[str]) -> list[Path]:
    """The files of a table or figure, of which `file` is one."""
    return [file.with_name(file.stem + ending) for ending in endings]


def gather(page: Path, files: Iterable[Path]) -> dict[Path, Path]:
    """Copies files into a folder beside the page, which holds nothing else afterwards: no table of an earlier command.

    Returns:
        File → its copy.

    Raises:
        ConfigError: a file lies in that folder, which would be emptied, or two files have one name.
        DataError: a file is missing.
    """
    folder = page.parent / FOLDER
    copies = {file: folder / file.name for file in files}
    for file in copies:
        if file.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{file} lies in {folder}, which the report empties; give another folder to the page")
    if len({copy.name for copy in copies.values()}) < len(copies):
        raise ConfigError(
            "two files of the report have the same name; give each another, as its copies lie side by side"
        )
    with atomic_folder(folder) as fresh:
        for file, copy in copies.items():
            with reading(file):
                content = file.read_bytes()
            (fresh / copy.name).write_bytes(content)
    return copies
