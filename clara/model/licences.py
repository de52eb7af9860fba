"""The licence that a language model names for itself."""

import re
from pathlib import Path
from typing import Any

from clara.files import read_json


def licence_of(source: str, folder: Path) -> str | None:
    """The licence of a model; None where neither its file nor its folder names one.

    Args:
        source: a GGUF file, whose metadata may hold `general.license`, or anything else.
        folder: the prepared model: the head of its README, then its configuration, may name a licence.
    """
    if source.endswith(".gguf"):
        return _of_gguf(Path(source))
    readme = folder / "README.md"
    if readme.exists():
        head = re.match(r"---\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
        if head and (named := re.search(r"^license: *['\"]?([\w.+-]+)", head[1], re.MULTILINE)):
            return named[1]
    named_in_config = read_json(folder / "config.json").get("license")
    return str(named_in_config) if named_in_config else None


def _of_gguf(file: Path) -> str | None:
    from gguf import GGUFReader

    reader: Any = GGUFReader
    field = reader(file).get_field("general.license")
    return str(field.contents()) if field else None
