"""Where a result comes from: the records beside it and beside what it was made from, back to the raw corpus."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from clara.errors import DataError
from clara.files import read_json, sha256_file

State = Literal["asked for", "as recorded", "changed", "missing"]
FOLDER_RECORD = "environment.json"
"""Of a checkpoint or store: its folder is one result."""
DATED_ANEW_NS = 300 * 10**9
"""By how much later than its record a file may be dated that nobody edited, in nanoseconds: that a job of a cluster has
ended is seen some minutes later at most."""


class Link(NamedTuple):
    """One file of the chain."""

    path: str
    depth: int
    state: State
    """Whether the file still has the hash that its user recorded."""
    record: dict[str, Any] | None
    """How it was made; none of a file from outside the pipeline, and where `path` was followed further up."""
    repeated: bool = False


def chain(file: Path) -> list[Link]:
    """The result and all that it was made from, each file before its own inputs.

    Args:
        file: a result, named from the folder that the pipeline ran in: the recorded paths start there.

    Raises:
        DataError: the file is not there, or nothing tells how it was made.
    """
    if not file.is_file():
        raise DataError(f"{file} is not a file; name a result that a run has made, such as its report/index.html")
    if record_of(file) is None:
        raise DataError(
            f"nothing tells how {file} was made: expected provenance/{file.stem}.json or {FOLDER_RECORD} beside it; "
            "name a result of the pipeline, from the folder that it ran in"
        )
    return list(_follow(file, 0, "asked for", set()))


def _follow(file: Path, depth: int, state: State, seen: set[Path]) -> Iterator[Link]:
    repeated = file in seen
    seen.add(file)
    record = None if repeated or state == "missing" else record_of(file)
    yield Link(str(file), depth, state, record, repeated)
    for name, digest in (record or {}).get("inputs", {}).items():
        path = Path(name)
        yield from _follow(path, depth + 1, _state(path, digest), seen)


def _state(path: Path, digest: str) -> State:
    if not path.is_file():
        return "missing"
    return "as recorded" if sha256_file(path) == digest else "changed"


def record_of(file: Path) -> dict[str, Any] | None:
    """What stands beside a result about the program that made it; a program with several results names them all."""
    folder = file.parent / "provenance"
    records = {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}
    for record in records.values():
        if str(file) in record["command"] and str(file) not in record["inputs"]:
            return record
    if file.stem in records:
        return records[file.stem]
    beside = file.with_name(FOLDER_RECORD)
    return read_record(beside) if beside.is_file() else None


def require_as_made(file: Path, digest: str) -> None:
    """Fails where a record beside `file` names another hash: a bit that flipped on the disk would move a number.

    A record that is older than the file by more than five minutes says nothing: the file was edited or brought by
    `dvc checkout` since. By less it counts: Snakemake dates what a job made anew when it sees that the job has ended.

    Args:
        digest: the SHA-256 of the file.

    Raises:
        DataError: the file is not what its program wrote.
    """
    records = sorted((file.parent / "provenance").glob("*.json"))
    if file.with_name("settings.json").exists():  # else an environment.json beside it is somebody else's
        records.append(file.with_name(FOLDER_RECORD))
    for path in records:
        if path.is_file() and path.stat().st_mtime_ns + DATED_ANEW_NS >= file.stat().st_mtime_ns:
            record = read_record(path)
            if record.get("outputs", {}).get(file.name, digest) != digest:
                maker = record["command"][0] if record["command"] else "its program"
                raise DataError(f"{file} is not as {maker} wrote it, a damaged disk perhaps; delete it and run again")


def read_record(path: Path) -> dict[str, Any]:
    """A record beside results.

    Raises:
        DataError: the file is none.
    """
    record = read_json(path)
    sound = isinstance(record, dict) and _texts(record.get("command"), list)
    if (
        not sound
        or not all(_texts(record.get(key, {}), dict) for key in ("inputs", "outputs"))
        or "inputs" not in record
    ):
        raise DataError(f"{path} is not a record of a result: expected command and inputs; make the result again")
    return dict(record)


def _texts(value: Any, kind: type[list[Any] | dict[str, Any]]) -> bool:
    """Whether a value is a list of texts, or a mapping of texts to texts."""
    inner = value.values() if isinstance(value, dict) else value
    return isinstance(value, kind) and all(isinstance(part, str) for part in inner)


def described(links: list[Link]) -> str:
    """The chain as an indented list, a line each."""
    return "\n".join(f"{'  ' * link.depth}{link.path}  {_told(link)}" for link in links)


def _told(link: Link) -> str:
    state = "" if link.state == "asked for" else f"[{link.state}] "
    if link.repeated:
        return f"{state}(see above)"
    if link.record is None:
        return f"{state}(no record: not made by the pipeline)"
    made = link.record
    facts = [made["command"][0] if made["command"] else "?", f"commit {made.get('commit') or 'unknown'}"]
    facts += [f"seed {made['seed']}"] if made.get("seed") is not None else []
    facts += [f"{made['wall_seconds']} s"] if "wall_seconds" in made else []
    facts += [str(made["finished"])] if "finished" in made else []
    return f"{state}by {', '.join(facts)}"
