"""Source files taken apart: what each top-level name consists of, and which names it uses.

Taking a file apart costs milliseconds, so the parts are kept in `__pycache__`, as Python keeps bytecode, but by the
file's content and not by its time. A file that changed is taken apart again, and it alone.
"""

import ast
import atexit
import gc
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from clara.files import write_text

WORD = re.compile(r"[\w.]+")


class Piece(NamedTuple):
    """What one top-level name stands for."""

    digest: str
    """Of its syntax tree, without docstrings and without places in the file."""
    own: list[str]
    """Names of the same file that it uses."""
    imported: list[str]
    """Dotted names that it uses by way of an import."""
    words: list[str]
    """Texts in it that could name a module or a file."""


class Source(NamedTuple):
    """One file."""

    pieces: dict[str, Piece]
    """By name; the name `""` stands for what the file does on import besides defining names."""
    imports: dict[str, str]
    """Top-level name → the dotted name that an import gives it."""


class Sources:
    """The files below a root folder.

    Args:
        root: the folder; its `__pycache__` keeps the parts for the next process.
    """

    def __init__(self, root: Path) -> None:
        self.file = root / "__pycache__" / f"sources.{sys.implementation.cache_tag}.json"
        self.method = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
        """What is kept was taken apart by this code, or it does not count."""
        self.kept = self._read()

    def of(self, name: str, path: Path) -> Source:
        """The parts of the file `path`, which is the module `name`."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # not there, or not as it was written
            known, pieces, imports = self.kept[name]
            if known == digest:
                return Source({key: Piece(*piece) for key, piece in pieces.items()}, imports)
        with _no_collection():
            source = _taken_apart(
                ast.parse(content, str(path)), name if path.name == "__init__.py" else _above(name, 1)
            )
        self.kept[name] = [digest, *source]
        atexit.unregister(self.keep)
        atexit.register(self.keep)
        return source

    def keep(self) -> None:
        """Writes the parts for later processes; where that cannot be, these take the files apart again."""
        with suppress(Exception):
            self.file.parent.mkdir(exist_ok=True)  # a root that is gone stays gone
            write_text(self.file, json.dumps({"method": self.method, "files": self.kept}))

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self.file.read_text(encoding="utf-8"))
            if found["method"] == self.method:
                return dict(found["files"])
        return {}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Looking for garbage among a tree's thousands of nodes takes longer than making them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _taken_apart(tree: ast.Module, package: str) -> Source:
    """The parts of a module.

    Args:
        tree: its syntax tree, whose docstrings are taken out.
        package: the package that it is in, or is.
    """
    statements: dict[str, list[ast.stmt]] = {"": []}
    for statement in tree.body:
        names = _names_defined(statement)
        if not names and not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_text(statement):
            names = [""]
        for name in names:
            statements.setdefault(name, []).append(statement)
    imports = dict(pair for statement in tree.body for pair in _imported(statement, package))
    done: dict[ast.stmt, Piece] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            done[statement] = _piece(statement, package, imports, statements)
    return Source({name: _joined([done[one] for one in parts]) for name, parts in statements.items()}, imports)


def _piece(statement: ast.stmt, package: str, imports: dict[str, str], defined: Any) -> Piece:
    nodes = list(ast.walk(statement))
    aliases = imports | dict(pair for node in nodes for pair in _imported(node, package))
    own, imported = set(), set()
    for dotted in _dotted_names(nodes):
        head, _, rest = dotted.partition(".")
        if head in aliases:
            imported.add(f"{aliases[head]}.{rest}".rstrip("."))
        elif head in defined:
            own.add(head)
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    words = {text for text in texts if WORD.fullmatch(text)}
    return Piece(_digest(statement, nodes), sorted(own), sorted(imported), sorted(words))


def _joined(pieces: list[Piece]) -> Piece:
    """What several statements that define one name come to."""
    if len(pieces) == 1:
        return pieces[0]
    own, imported, words = (sorted({name for piece in pieces for name in piece[part]}) for part in (1, 2, 3))
    return Piece(
        hashlib.sha256("".join(piece.digest for piece in pieces).encode()).hexdigest()[:32], own, imported, words
    )


def _names_defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [target.id for target in flat if isinstance(target, ast.Name)]


def _imported(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """(name bound, dotted name it stands for) of an import; nothing for other nodes."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
    elif isinstance(node, ast.ImportFrom):
        above = _above(package, node.level - 1) if node.level else ""
        source = ".".join(part for part in (above, node.module) if part)
        for alias in node.names:
            yield alias.asname or alias.name, f"{source}.{alias.name}"


def _above(package: str, levels: int) -> str:
    return ".".join(package.split(".")[: -levels or None])


def _dotted_names(nodes: list[ast.AST]) -> Iterator[str]:
    """`a`, `a.b`, `a.b.c` for every name and chain of attributes; the parts of a chain are not given again."""
    inner = set()
    for node in nodes:  # a chain's end comes before its parts
        if not isinstance(node, ast.Name | ast.Attribute) or node in inner:
            continue
        parts: list[str] = []
        link: ast.expr = node
        while isinstance(link, ast.Attribute):
            parts.append(link.attr)
            link = link.value
            inner.add(link)
        if isinstance(link, ast.Name):
            yield ".".join([link.id, *reversed(parts)])


def _is_text(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _digest(statement: ast.stmt, nodes: list[ast.AST]) -> str:
    """Of the syntax tree as text, without docstrings and without places in the file."""
    for node in nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [inner for inner in body if not _is_text(inner)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(statement).encode()).hexdigest()[:32]
