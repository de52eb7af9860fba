"""Where every number of a report comes from: the files of results, and the corpus and questions behind them."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from clara.evaluation.paper.commands import command_for
from clara.evaluation.provenance import mapping
from clara.files import sha256_file

_DATA = ("corpus", "questions", "candidates")
"""Folders of a run that hold its corpus and its questions."""
_READERS = ("corpus", "questions", "synthesis")
"""Folders of a run whose programs read data from outside it."""


class Birth(NamedTuple):
    """Where a system's scores come from, or another file."""

    name: str
    """The system; of another file its path in the run's folder, without ending; of one from outside its name."""
    file: str
    """From the project's folder."""
    sha256: str
    commit: str
    device: str
    """Of the program that answered; of the scoring where that is not recorded."""
    command: str
    """What makes the file, and what it stands on, again; empty of one from outside."""


class Records:
    """The records beside files, those of a folder read once; what has none is no fault."""

    def __init__(self) -> None:
        self._beside = cache(_beside)

    def of(self, file: Path) -> dict[str, Any]:
        """How a file was made; empty where nothing tells."""
        records = self._beside(file.parent)
        named = [record for record in records.values() if file.name in record.get("outputs", {})]
        # A step that made several files has its record under the name of the first; of some steps only that is hashed.
        found = named[0] if named else records.get(file.stem) or records.get("")
        return found if found and file.as_posix() not in found.get("inputs", {}) else {}

    def digest(self, file: Path) -> str:
        """The SHA-256 that a file had when it was made; where nothing tells, that it has."""
        return str(self.of(file).get("outputs", {}).get(file.name) or sha256_file(file))

    def answering(self, file: Path) -> dict[str, Any]:
        """How the answers were made that a file of scores stands on; of another file, how it was made."""
        record = self.of(file)
        answers = [Path(name) for name in record.get("inputs", {})][:1]
        scored = str((record.get("command") or [""])[0]).startswith("score")
        return (self.of(answers[0]) if scored and answers else {}) or record


def _beside(folder: Path) -> dict[str, dict[str, Any]]:
    """Stem → record; under the empty one that of the whole folder."""
    records = {path.stem: mapping(path) for path in sorted((folder / "provenance").glob("*.json"))}
    return {**records, "": mapping(folder / "environment.json")}


def births(files: Iterable[Path], folder: Path, run: str, records: Records) -> list[Birth]:
    """Where numbers come from, each file once; empty texts for what is not recorded.

    Args:
        files: scores, `R/evaluation/metrics/{system}.json`, and other results with a record beside them.
        folder: of the run whose they are.
        run: its name.
        records: of these files.
    """
    found = []
    for path in dict.fromkeys(map(Path, files)):
        bare = path.parent.name == "metrics" or not path.is_relative_to(folder)
        name = path.stem if bare else _place(path, folder)
        found.append(_birth(name, path, records.digest(path), records.answering(path), run))
    return found


def sources(results: Iterable[Path], folder: Path, run: str, records: Records) -> list[Birth]:
    """The corpus and the questions that results were made from, those from outside the run first.

    Every hash is the one that a reader of the file recorded, so that it is told of files that are gone since as well.

    Args:
        results: of the run; what of them is corpus or questions is itself among the found.
        folder: of the run.
        run: its name.
        records: of its files.
    """
    inside = {Path(path): "" for path in results}
    outside: dict[Path, str] = {}
    waiting = list(inside)
    while waiting:
        reader = waiting.pop()
        for name, digest in records.of(reader).get("inputs", {}).items():
            path = Path(name)
            if path.is_relative_to(folder):
                waiting += [path] if path not in inside else []
                inside[path] = digest
            elif reader.is_relative_to(folder) and reader.relative_to(folder).parts[0] in _READERS:
                outside[path] = digest
    found = [Birth(path.name, path.as_posix(), digest, "", "", "") for path, digest in sorted(outside.items())]
    for path, digest in sorted(inside.items()):
        is_data = path.relative_to(folder).parts[0] in _DATA and path.suffix != ".json"  # as the reports beside it
        if is_data:
            digest = digest or records.digest(path)
            found.append(_birth(_place(path, folder), path, digest, records.of(path), run))
    return found


def _place(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _birth(name: str, path: Path, digest: str, record: dict[str, Any], run: str) -> Birth:
    commit, device = (str(record.get(key) or "") for key in ("commit", "device"))
    return Birth(name, path.as_posix(), digest, commit, device, command_for([path.as_posix()], run))
