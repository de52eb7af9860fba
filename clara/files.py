"""Files that are whole or absent: atomic writing, hashes, JSON; and reading that answers in one sentence."""

import bz2
import errno
import gzip
import hashlib
import json
import lzma
import math
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from clara.errors import DataError, ResourceError

OWNER_ALONE = 0o600
"""The mode of a file that a library made by way of a private temporary one, as safetensors does."""
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
"""What only writing meets."""
NO_ACCESS = {
    errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP
}  # fmt: skip
"""What reading and writing may meet."""
HALF_SIGN = re.compile(r"\\u[dD][89a-fA-F]")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """A block that opens, unpacks or decodes the file `path`.

    Raises:
        DataError: the file is missing, a folder, damaged or not UTF-8.
        ResourceError: it may not be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; check its path, or run the step that makes it") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise DataError(f"{path} is no file ({error.strerror}); name the file") from error
    except PermissionError as error:
        raise ResourceError(f"cannot read {path}: {error.strerror}; allow it and run again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); convert the file to UTF-8") from error
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path} is damaged or cut short ({error}); delete it and fetch or make it again") from error


def unpacked(packed: IO[bytes]) -> IO[bytes]:
    """The content of an open file, plain or packed by bzip2, gzip or xz; the content tells, not the name."""
    start = packed.read(6)
    packed.seek(0)
    if start.startswith(b"BZh"):
        return bz2.open(packed, "rb")
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(packed, "rb")  # type: ignore[return-value]
    if start.startswith(b"\xfd7zXZ"):
        return lzma.open(packed, "rb")
    return packed


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` that takes its place when the block ends well.

    The content is flushed to disk before the rename, so that a crash leaves the old file or the new one.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path, temporary):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            usual_mode(temporary)
            flush(temporary)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()


@contextmanager
def writing(path: Path, temporary: Path) -> Iterator[None]:
    """A block that writes `path`, by way of `temporary`.

    Raises:
        ResourceError: the disk is full or locked.
    """
    try:
        yield
    except OSError as error:
        place = error.filename
        own = place is None or (isinstance(place, str) and Path(place) in (path, temporary, *path.parents))
        if error.errno in NO_ROOM or (error.errno in NO_ACCESS and own):
            raise ResourceError(
                f"cannot write {path}: {error.strerror}; free or unlock the disk and run again"
            ) from error
        raise
    except Exception as error:
        if said := no_room(error):
            raise ResourceError(f"cannot write {path}: {said}; free or unlock the disk and run again") from error
        raise


def no_room(error: Exception) -> str | None:
    """The system's words for a full disk or a locked place in a library's own error, as safetensors and Arrow have."""
    codes = [*sorted(NO_ROOM), errno.EACCES]
    return next((os.strerror(code) for code in codes if os.strerror(code) in str(error)), None)


def usual_mode(path: Path) -> None:
    """Gives a new file that a library made for its owner alone the mode of all other new files."""
    found = path.stat()
    if stat.S_IMODE(found.st_mode) == OWNER_ALONE and found.st_nlink == 1:  # a link would change the other name's file
        mask = os.umask(0o077)  # it can only be read by setting it; files that a thread makes meanwhile are private
        os.umask(mask)
        with suppress(OSError):  # a disk without modes
            path.chmod(0o666 & ~mask)


def flush(path: Path) -> None:
    """Returns when the file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Appends lines of text as UTF-8; half a line that a kill left is ended first, or the next would join it."""
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write("".join(f"{line}\n" for line in lines).encode())


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON with a final newline; key order is kept."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, *, remedy: str | None = None) -> Any:
    """The JSON value in `path`.

    Args:
        path: the file.
        remedy: for messages, of a file that a user may have named by mistake, whatever it holds; None: of one that a
            step makes.

    Raises:
        DataError: the file is missing, not UTF-8 or not JSON.
    """
    with reading(path):
        text = Path(path).read_bytes().decode("utf-8", "strict" if remedy is None else "replace")
    try:
        return parse_json(text)
    except ValueError as error:
        remedy = remedy or "delete it and run the step that makes it again"
        raise DataError(f"{path} is not valid JSON ({error}); {remedy}") from error


def parse_json(text: str, *, strict: bool = True) -> Any:
    """The value of a JSON text, without what no later step could use: NaN, infinite numbers, halves of a character.

    Args:
        text: one value.
        strict: refuse line breaks and tabs within strings, as the standard does.

    Raises:
        ValueError: says what is wrong, and where in the text.
    """
    try:
        value = json.loads(text, strict=strict, parse_constant=_no_number, parse_float=_finite)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno} " if error.lineno > 1 else ""
        raise ValueError(f"{error.msg} at {line}column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("lists or objects are nested too deeply") from error
    if HALF_SIGN.search(text):  # rare, so that most texts are not gone through twice
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("a string holds half of a surrogate pair, \\ud800 to \\udfff, alone") from error
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes.

    Raises:
        DataError, ResourceError: as `reading`.
    """
    digest = hashlib.sha256()
    with reading(path), Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def text_id(text: str) -> str:
    """The id of a text: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
