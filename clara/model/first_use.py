"""The language model of a checkpoint that is passed on without it: made from its source on first use, and kept."""

import hashlib
import os
import sys
from pathlib import Path

from clara.files import atomic_folder
from clara.model import backbone as backbones
from clara.packages import PACKAGE, package_file

CACHE = "CLARA_CACHE"
"""Environment variable that names the folder for what is made on first use; else `~/.cache/clara`."""


def prepared(source: str) -> Path:
    """The card of the backbone that `source` gives, made now where it is not there yet.

    Args:
        source: `package:DISTRIBUTION/FILE` or a Hub name.

    Raises:
        ResourceError: the package is not installed, or the Hub has no such model.
    """
    folder = cache() / "backbones" / hashlib.sha256(source.encode()).hexdigest()[:16]
    if not (folder / "card.json").exists():
        print(f"making the language model from {source}, once, in {folder}", file=sys.stderr)
        place = str(package_file(source.removeprefix(PACKAGE))) if source.startswith(PACKAGE) else source
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as temporary:
            backbones.prepare(place, temporary / "card.json", seed=0, revision=None, trust_remote_code=False)
    return folder / "card.json"


def cache() -> Path:
    """The folder for what is made on first use."""
    named = os.environ.get(CACHE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "clara"
