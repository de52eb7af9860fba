"""Fingerprint of the code a program stands on: what can change a result counts, comments and formatting do not.

A program's definitions are followed through the imports of this project, into functions too. Of a module that is
reached, the definitions that are used count and the statements that run on import; a class that nobody here uses does
not. Not followed: names made up at run time. Libraries do not count either; each result names their versions.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from clara.sources import Piece, Source, Sources

Definition = tuple[str, str]
"""A module and a name in it; the name `""` stands for what the module does on import."""


class Project:
    """The code under a root folder, each file read once, when it is needed.

    Args:
        root: the folder that the project's packages lie in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.sources = Sources(self.root)
        self.modules: dict[str, Source | None] = {}
        self.known: dict[Definition, list[Definition]] = {}
        self.reached: dict[Path, dict[Definition, Piece]] = {}

    def fingerprint(self, program: Path) -> str:
        """Twelve hexadecimal digits that change with the code that `program`, a file under the root, runs."""
        digest = hashlib.sha256()
        for (module, name), piece in sorted(self.definitions(program).items()):
            digest.update(f"{module}\0{name}\0{piece.digest}\0".encode())
        return digest.hexdigest()[:12]

    def by_module(self, program: Path) -> dict[str, str]:
        """Module → eight hexadecimal digits of what `program` reaches in it: tells which module an edit was in."""
        texts: dict[str, list[str]] = {}
        for (module, name), piece in sorted(self.definitions(program).items()):
            texts.setdefault(module, []).append(f"{name}\0{piece.digest}\0")
        return {name: hashlib.sha256("".join(parts).encode()).hexdigest()[:8] for name, parts in texts.items()}

    def definitions(self, program: Path) -> dict[Definition, Piece]:
        """Every definition that `program` reaches."""
        path = program.resolve().relative_to(self.root).with_suffix("")
        if path not in self.reached:
            found: dict[Definition, Piece] = {}
            waiting = list(self.everything(".".join(path.parts)))
            while waiting:
                current = waiting.pop()
                module = self.module(current[0])
                if current not in found and module and current[1] in module.pieces:
                    found[current] = module.pieces[current[1]]
                    waiting += self.uses(current)
            self.reached[path] = found
        return self.reached[path]

    def uses(self, definition: Definition) -> list[Definition]:
        """The definitions that one uses, worked out once."""
        if definition not in self.known:
            name, defined = definition
            module = self.module(name)
            piece = module.pieces[defined] if module else None
            self.known[definition] = [(name, ""), *(self.used_by(name, piece) if piece else ())]
        return self.known[definition]

    def used_by(self, name: str, piece: Piece) -> Iterator[Definition]:
        """The definitions that a piece of the module `name` uses."""
        yield from ((name, own) for own in piece.own)
        for dotted in piece.imported:
            yield from self.resolve(dotted)
        for word in piece.words:
            if "." in word and self.module(word):
                yield from self.everything(word)

    def module(self, name: str) -> Source | None:
        """The module of that dotted name, or null where it is no file of the project."""
        if name not in self.modules:
            base = self.root.joinpath(*name.split("."))
            paths = [base.parent / f"{base.name}.py", base / "__init__.py"]
            path = next((path for path in paths if path.is_file()), None)
            self.modules[name] = self.sources.of(name, path) if path else None
        return self.modules[name]

    def everything(self, name: str) -> Iterator[Definition]:
        """All definitions of a module."""
        if module := self.module(name):
            yield from ((name, defined) for defined in module.pieces)

    def resolve(self, dotted: str) -> Iterator[Definition]:
        """The definitions meant by a dotted name: a module's all, or one of a module; none where it is not ours."""
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            module = self.module(name)
            if module is None:
                continue
            rest = parts[length:]
            if not rest or rest[0] == "*":
                yield from self.everything(name)
            elif rest[0] in module.pieces:
                yield name, rest[0]
            elif rest[0] in module.imports:
                yield from self.resolve(".".join([module.imports[rest[0]], *rest[1:]]))
            elif "__getattr__" in module.pieces:
                yield from self.everything(name)
            return
