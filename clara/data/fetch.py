"""A corpus file brought to its place and checked: copied, or downloaded with resume."""

import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

from clara.data.download import Patience, download
from clara.data.sources import Remote, local_file, resolve
from clara.errors import DataError
from clara.files import atomic_path, sha256_file


class Fetched(NamedTuple):
    """What was fetched, as the card beside the file records it."""

    location: str
    sha256: str
    bytes: int


def fetch(location: str, target: Path, *, sha256: str | None, patience: Patience | None = None) -> Fetched:
    """Puts the file at `location` into `target`, whole and verified, and says what came.

    Args:
        location: as `clara.data.sources.resolve` takes it.
        target: where the file goes. A download's unfinished part lies beside it and is resumed by the next call.
        sha256: expected SHA-256 in hexadecimal; null accepts any, with a warning that names it after a download.
        patience: time-outs and retries of a download.

    Raises:
        DataError: the checksum differs, the file is empty or missing.
        ResourceError: the network or the disk fails.
        ConfigError: the location cannot be read.
    """
    source = resolve(location)
    if isinstance(source, Remote):
        part = target.with_name(f".{target.name}.download")
        download(source.url, part, patience=patience or Patience())
        found = _verified(part, location, sha256, remove=True)
        if sha256 is None:
            warnings.warn(
                f"nothing vouches for {location}: no checksum was given; set it to {found.sha256} to get the same file "
                "or an error from now on",
                stacklevel=2,
            )
        part.replace(target)
        return found
    source = local_file(location)
    found = _verified(source, location, sha256, remove=False)
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return found


def _verified(path: Path, location: str, sha256: str | None, *, remove: bool) -> Fetched:
    size = path.stat().st_size
    if size == 0:
        if remove:
            path.unlink()
        raise DataError(f"{location} is empty, expected a file with content; check the location")
    found = sha256_file(path)
    if sha256 is not None and found != sha256.lower():
        # A damaged part must not be resumed by the next run.
        if remove:
            path.unlink()
        raise DataError(
            f"{location} has the SHA-256 {found}, expected {sha256.lower()}; fetch it again or correct the checksum"
        )
    return Fetched(location=location, sha256=found, bytes=size)
