"""Which model answers, as part of the keys of kept replies: another model's must never be taken for its own."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clara.errors import DataError
from clara.files import read_json, sha256_file, write_json

HASHES = "weights.json"


def model_identity(folder: Path, dtype: str, *, state: Path, known: Mapping[str, str]) -> str:
    """A model's identity, the same wherever its folder lies: a hash of its files, and `dtype`.

    Args:
        folder: of the model.
        dtype: precision of its arithmetic.
        state: folder where hashes of weights are kept, which take a minute for 60 GB: one is worked out again when
            path, size or time of change differ.
        known: file → SHA-256, as far as the model's card tells.
    """
    digest, kept = hashlib.sha256(), _kept(state / HASHES)
    before = dict(kept)
    for file in sorted(Path(folder).iterdir()):
        if file.suffix in (".json", ".jinja"):
            digest.update(file.name.encode() + file.read_bytes())
        elif file.is_file():
            digest.update(f"{file.name} {known.get(file.name) or _hash(file, kept)}".encode())
    if kept != before:
        write_json(state / HASHES, kept)
    return f"{digest.hexdigest()[:12]}-{dtype}"


def with_threads(identity: str, number: int | None) -> str:
    """`identity` as part of the keys of replies that `number` threads of a CPU compute: they round sums their own way.

    One thread adds nothing; where there is a GPU no number adds anything, because it changes nothing.
    """
    if number is None or number == 1:
        return identity
    import torch

    return identity if torch.cuda.is_available() else f"{identity} by {number} threads"


def _kept(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except DataError:  # there is none, or a crash cut it short
        return {}
    return content if isinstance(content, dict) else {}


def _hash(file: Path, kept: dict[str, Any]) -> str:
    status, name = file.stat(), str(file.resolve())
    stamp = f"{status.st_size} {status.st_mtime_ns} "
    found = kept.get(name)
    if not (isinstance(found, str) and found.startswith(stamp)):
        found = kept[name] = stamp + sha256_file(file)
    return found.removeprefix(stamp)
