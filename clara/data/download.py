"""Downloads that survive interruption: resume by Range, bounded retries, stall time-out, progress."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from clara.errors import DataError, ResourceError
from clara.files import write_json
from clara.progress import Progress

BLOCK = 1 << 18
"""Bytes read at a time."""
WORTH_RETRYING = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that may pass: time-outs, rate limits, servers in trouble."""


class Patience(NamedTuple):
    """How long a download is given."""

    attempts: int = 6
    """Attempts in a row that bring no byte more than was ever there, before it fails."""
    first_wait_seconds: float = 1.0
    """Pause before the second attempt; doubled each time, at most 60."""
    stall_seconds: float = 60.0
    """Longest silence of the server."""
    sleep: Callable[[float], None] = time.sleep


class _Unfinished(Exception):
    """This attempt failed in a way that another may mend; the text says how."""


def download(url: str, part: Path, *, patience: Patience) -> None:
    """Fills `part` with the whole content of `url`; what lies there from an earlier try is resumed.

    The server's ETag or date is kept in `PART.json`, so that a file that changed in between starts over (If-Range).

    Raises:
        ResourceError: no connection, silence, or a server's error that stays; what came so far is kept.
        DataError: the server says that the file does not exist or may not be read.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    failures, furthest = 0, _size(part)
    with httpx.Client(timeout=httpx.Timeout(patience.stall_seconds), follow_redirects=True) as client:
        while True:
            try:
                _attempt(client, url, part)
            except (httpx.TransportError, _Unfinished) as error:
                # The furthest ever, or a server that makes the part start over again and again would be asked for ever.
                failures = 0 if _size(part) > furthest else failures + 1
                furthest = max(furthest, _size(part))
                if failures >= patience.attempts:
                    raise ResourceError(
                        f"cannot download {url}: {_reason(error)} after {failures} attempts; {_size(part):,} "
                        "bytes are kept: check the network and run again to resume"
                    ) from error
                patience.sleep(min(60.0, patience.first_wait_seconds * 2 ** max(0, failures - 1)))
            except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.DecodingError) as error:
                raise DataError(
                    f"{url} cannot be fetched ({error}); check the location in the configuration"
                ) from error
            else:
                _tag_file(part).unlink(missing_ok=True)
                return


def _attempt(client: httpx.Client, url: str, part: Path) -> None:
    have = _size(part)
    tag = _read_tag(part)
    # Without a tag nothing proves that the part belongs to today's file.
    resume = have > 0 and tag is not None
    # identity: a compressed transfer would make offsets and lengths those of other bytes.
    headers = {"Accept-Encoding": "identity"}
    if resume and tag is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416:
            _finish_or_forget(response, part, have)
            return
        _refuse(response, url)
        start = have if response.status_code == 206 else 0
        if response.status_code == 206 and (not resume or _range_start(response) != have):
            part.unlink(missing_ok=True)
            raise _Unfinished(f"the server sent another range ({response.headers.get('content-range')})")
        _write_tag(part, response)
        expected = _expected_size(response, start)
        size = _receive(response, part, start=start, expected=expected)
    if expected is not None and size != expected:
        if size > expected:
            part.unlink()
        raise _Unfinished(f"the connection closed at {size:,} of {expected:,} bytes")


def _receive(response: httpx.Response, part: Path, *, start: int, expected: int | None) -> int:
    """The size of `part` once the body is appended after `start` bytes."""
    size = start
    with (
        part.open("r+b" if start else "wb") as file,
        Progress("download", total=expected, unit="B", done=start) as progress,
    ):
        file.seek(start)
        file.truncate()
        for block in response.iter_bytes(BLOCK):
            file.write(block)
            size += len(block)
            progress.update(size)
    return size


def _refuse(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    if status in WORTH_RETRYING:
        raise _Unfinished(f"the server answers {status} {response.reason_phrase}")
    raise DataError(f"{url} answers {status} {response.reason_phrase}, expected a file; check the location")


def _finish_or_forget(response: httpx.Response, part: Path, have: int) -> None:
    """Returns if the part is already whole; else removes it."""
    total = response.headers.get("content-range", "").rpartition("/")[2]
    if total == str(have):
        return
    part.unlink()
    raise _Unfinished("the server's file is shorter than what was there; starting over")


def _range_start(response: httpx.Response) -> int | None:
    text = response.headers.get("content-range", "").removeprefix("bytes").strip().partition("-")[0]
    return int(text) if text.isdigit() else None


def _expected_size(response: httpx.Response, start: int) -> int | None:
    total = response.headers.get("content-range", "").rpartition("/")[2]
    if total.isdigit():
        return int(total)
    length = response.headers.get("content-length", "")
    return start + int(length) if length.isdigit() else None


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "the server stays silent"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({error})"
    return str(error) or type(error).__name__


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _write_tag(part: Path, response: httpx.Response) -> None:
    tag = response.headers.get("etag") or response.headers.get("last-modified")
    # If-Range demands a strong validator.
    if tag and not tag.startswith("W/"):
        write_json(_tag_file(part), {"tag": tag})
    else:
        _tag_file(part).unlink(missing_ok=True)


def _read_tag(part: Path) -> str | None:
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        return str(json.loads(_tag_file(part).read_text(encoding="utf-8"))["tag"])
    return None
