"""A finished run as an RO-Crate 1.1: one JSON-LD file in its folder that says what each file is and how it was made.

Written from the records beside the results (`clara.environment`). Entities: the run, every file of its folder with size
and SHA-256, one `CreateAction` a record with the program, its command, what it read and what it wrote, and what was
read from outside the folder. Specification: https://www.researchobject.org/ro-crate/specification/1.1/
"""

import mimetypes
import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clara.errors import DataError
from clara.files import sha256_file, write_json
from clara.provenance import FOLDER_RECORD, read_record, record_of

FILE = "ro-crate-metadata.json"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
TERMS = {"sha256": "https://schema.org/sha256"}
"""What the specification's own context does not name."""
PAGE = Path("report/index.html")
Entity = dict[str, Any]


def write_crate(run: Path) -> Path:
    """Writes `ro-crate-metadata.json` into the folder of a finished run and returns its path.

    Args:
        run: such as `results/demo`, named from the folder that the pipeline ran in: the recorded paths start there.

    Raises:
        DataError: the run has no report yet, or a file is not the one that a result was made from.
    """
    if not (run / PAGE).is_file():
        raise DataError(f"{run} is no finished run: {PAGE} is missing; run the pipeline to its end, then repeat")
    files = {path: sha256_file(path) for path in sorted(run.rglob("*")) if _is_part(path)}
    found = [path for path in files if path.parent.name == "provenance" or path.name == FOLDER_RECORD]
    records = [(path, _record(path)) for path in found]
    actions = [_action(run, path, record, files) for path, record in records]
    outside = _outside(records, files)
    programs = {action["instrument"]["@id"]: action.pop("program") for action in actions}
    finished = max(str(record["finished"]) for _, record in records)
    graph = [
        {
            "@id": FILE,
            "@type": "CreativeWork",
            "about": _ref("./"),
            "conformsTo": _ref(SPECIFICATION),
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": f"CLaRa, run {run.name}",
            "description": "Corpus, synthesized pairs, checkpoints, stores, predictions, metrics and report of one run",
            "datePublished": finished,
            "license": _license(run),
            "hasPart": [_ref(_id(run, path)) for path in files],
            "mentions": [_ref(action["@id"]) for action in actions],
        },
        *(_file(run, path, digest) for path, digest in files.items()),
        *outside,
        *programs.values(),
        *actions,
    ]
    write_json(run / FILE, {"@context": [f"{SPECIFICATION}/context", TERMS], "@graph": graph})
    return run / FILE


def _is_part(path: Path) -> bool:
    hidden = path.name.startswith(".") or path.name == FILE
    return path.is_file() and not hidden


def _record(path: Path) -> dict[str, Any]:
    record = read_record(path)
    try:
        datetime.fromisoformat(record["finished"])
        timedelta(seconds=record["wall_seconds"])
        dict(record["libraries"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} does not tell when and with what its result was made; make that again") from error
    return record


def _ref(name: str) -> Entity:
    return {"@id": name}


def _id(run: Path, path: Path) -> str:
    """A path as the crate names it: from the run's folder on, as part of a URI."""
    if path.is_relative_to(run):
        return quote(path.relative_to(run).as_posix())
    return f"#outside/{quote(path.as_posix())}"


def _file(run: Path, path: Path, digest: str) -> Entity:
    kind = {".jsonl": "application/jsonl", ".parquet": "application/vnd.apache.parquet"}.get(path.suffix)
    return {
        "@id": _id(run, path),
        "@type": "File",
        "name": path.name,
        "contentSize": str(path.stat().st_size),
        "encodingFormat": kind or mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "sha256": digest,
    }


def _action(run: Path, path: Path, record: dict[str, Any], files: dict[Path, str]) -> Entity:
    """What a program did, from its record; `program` is the entity of the program, to be taken out."""
    for name, digest in record["inputs"].items():
        absent = Path(name).is_relative_to(run) and Path(name) not in files
        if absent or files.get(Path(name), digest) != digest:
            raise DataError(f"{name} is not the file that {path} tells of; run the pipeline to its end, then repeat")
    command = record["command"] or ["?"]
    finished = datetime.fromisoformat(record["finished"])
    program = f"#program/{quote(command[0])}/{record.get('code') or 'unknown'}"
    return {
        "@id": f"#made/{_id(run, path)}",
        "@type": "CreateAction",
        "name": f"{command[0]} for {path.parent.parent.name}/{path.stem}",
        "description": shlex.join(command),
        "instrument": _ref(program),
        "object": [_ref(_id(run, Path(name))) for name in record["inputs"]],
        "result": [_ref(_id(run, file)) for file in _made_by(path, record, files)],
        "startTime": (finished - timedelta(seconds=record["wall_seconds"])).isoformat(),
        "endTime": finished.isoformat(),
        "program": {
            "@id": program,
            "@type": "SoftwareApplication",
            "name": command[0],
            "softwareVersion": f"commit {record.get('commit') or 'unknown'}, code {record.get('code') or 'unknown'}",
            "softwareRequirements": [f"{name} {version}" for name, version in record["libraries"].items()],
        },
    }


def _made_by(path: Path, record: dict[str, Any], files: dict[Path, str]) -> Iterator[Path]:
    """The results that a record is of: a whole folder, or those files beside it that find this record."""
    if path.name == FOLDER_RECORD:
        yield from (file for file in files if file.parent == path.parent)
        return
    named = [Path(word) for word in record["command"] if Path(word) in files and word not in record["inputs"]]
    beside = [file for file in files if file.parent == path.parent.parent and file.stem == path.stem]
    yield from dict.fromkeys([path, *named, *(file for file in beside if record_of(file) == record)])


def _outside(records: list[tuple[Path, dict[str, Any]]], files: dict[Path, str]) -> list[Entity]:
    """What was read and does not lie in the run's folder, such as a benchmark's questions."""
    found = {name: digest for _, record in records for name, digest in record["inputs"].items()}
    return [
        {"@id": f"#outside/{quote(Path(name).as_posix())}", "@type": "CreativeWork", "name": name, "sha256": digest}
        for name, digest in found.items()
        if Path(name) not in files
    ]


def _license(run: Path) -> str:
    """The licence of the text that the run holds, as the report names it."""
    record = record_of(run / PAGE) or {}
    return str(record.get("settings", {}).get("license") or "not stated: that of the corpus and of the language model")
