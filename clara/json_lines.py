"""Files of JSON lines, read a line at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from clara.errors import DataError
from clara.files import parse_json, reading, sha256_file, unpacked
from clara.provenance import require_as_made


def open_lines(path: Path) -> Iterator[tuple[str, str]]:
    """`FILE line N` and the text of each line that is not empty, of a UTF-8 file, packed or not.

    Raises:
        DataError: the file is missing, damaged, not UTF-8 or holds no rows.
    """
    with reading(path), Path(path).open("rb") as packed, unpacked(packed) as file:
        yield from decoded_lines(path, file)


def decoded_lines(path: Path, file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """The same of a file that is open; `path` is its name.

    Raises:
        DataError: a line is not UTF-8, or there is none.
    """
    empty = True
    for number, line in enumerate(file, 1):
        where = f"{path} line {number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")  # some editors begin a file with a mark
        except UnicodeDecodeError as error:
            raise DataError(f"{where} is not UTF-8 ({error.reason}); convert the file to UTF-8") from error
        if text.strip():
            empty = False
            yield where, text
    if empty:
        raise DataError(f"{path} holds no rows; expected JSON lines")


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """`FILE line N` and the JSON value of each line.

    Raises:
        DataError: as `open_lines`, or a line is no JSON.
    """
    for where, line in open_lines(path):
        with vouched(Path(path)):
            value = json_line(line, where)
        yield where, value


@contextmanager
def vouched(path: Path) -> Iterator[None]:
    """A block that reads rows; a wrong one in a file that is not as the pipeline wrote it is not to be mended by hand.

    Raises:
        DataError: of the block; says to make the file again where a record beside it has another hash.
    """
    try:
        yield
    except DataError:
        require_as_made(path, sha256_file(path))
        raise


def json_line(line: str, where: str) -> Any:
    """The JSON value of a line.

    Raises:
        DataError: it is no JSON; `where` names file and line.
    """
    try:
        return parse_json(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error}); mend or remove the line") from error
