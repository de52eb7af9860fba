"""Fingerprint of the code a program stands on: what can change a result counts, comments and formatting do not.

A program's definitions are followed through the imports of this project, into functions too. Of a module that is
reached, the definitions that are used count and the statements that run on import; a class that nobody here uses does
not. Not followed: names made up at run time. Libraries do not count either; each result names their versions.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

Definition = tuple[str, str]
"""A module and a name in it; the name `""` stands for what the module does on import."""


class _Module:
    """One source file, taken apart at its top level."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.tree = ast.parse(path.read_bytes(), str(path))

    @cached_property
    def named(self) -> dict[str, list[ast.stmt]]:
        """Top-level name → the statements that define it."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            for name in _names_defined(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def imports(self) -> dict[str, str]:
        """Top-level name → the dotted name that an import gives it."""
        return dict(pair for statement in self.tree.body for pair in _imported(statement, self.package))

    def statements(self, name: str) -> list[ast.stmt]:
        """The statements that define `name`; for `""` those that define nothing."""
        if name:
            return self.named.get(name, [])
        quiet = (ast.Import, ast.ImportFrom)
        return [s for s in self.tree.body if not isinstance(s, quiet) and not _names_defined(s) and not _is_text(s)]


class Project:
    """The code under a root folder, each file read once, when it is needed.

    Args:
        root: the folder that the project's packages lie in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.modules: dict[str, _Module | None] = {}
        self.known: dict[Definition, tuple[str, list[Definition]]] = {}

    def fingerprint(self, program: Path) -> str:
        """Twelve hexadecimal digits that change with the code that `program`, a file under the root, runs."""
        digest = hashlib.sha256()
        for (module, name), text in sorted(self.definitions(program).items()):
            digest.update(f"{module}\0{name}\0{text}\0".encode())
        return digest.hexdigest()[:12]

    def by_module(self, program: Path) -> dict[str, str]:
        """Module → eight hexadecimal digits of what `program` reaches in it: tells which module an edit was in."""
        texts: dict[str, list[str]] = {}
        for (module, name), text in sorted(self.definitions(program).items()):
            texts.setdefault(module, []).append(f"{name}\0{text}\0")
        return {name: hashlib.sha256("".join(parts).encode()).hexdigest()[:8] for name, parts in texts.items()}

    def definitions(self, program: Path) -> dict[Definition, str]:
        """Every definition that `program` reaches → its syntax tree as text."""
        path = program.resolve().relative_to(self.root).with_suffix("")
        reached: dict[Definition, str] = {}
        waiting = list(self.everything(".".join(path.parts)))
        while waiting:
            current = waiting.pop()
            if current not in reached:
                reached[current], uses = self.look_up(current)
                waiting += uses
        return reached

    def look_up(self, definition: Definition) -> tuple[str, list[Definition]]:
        """A definition's syntax tree as text, and the definitions it uses; both are worked out once."""
        if definition not in self.known:
            name, defined = definition
            module = self.module(name)
            statements = module.statements(defined) if module else []
            uses: list[Definition] = [(name, "")]
            for statement in statements:
                uses += self.used_by(module, statement) if module else []
            self.known[definition] = "".join(_text(statement) for statement in statements), uses
        return self.known[definition]

    def module(self, name: str) -> _Module | None:
        """The module of that dotted name, or null where it is no file of the project."""
        if name not in self.modules:
            base = self.root.joinpath(*name.split("."))
            paths = [base.parent / f"{base.name}.py", base / "__init__.py"]
            path = next((path for path in paths if path.is_file()), None)
            self.modules[name] = _Module(name, path) if path else None
        return self.modules[name]

    def everything(self, name: str) -> Iterator[Definition]:
        """All definitions of a module."""
        if module := self.module(name):
            yield name, ""
            yield from ((name, defined) for defined in module.named)

    def resolve(self, dotted: str) -> Iterator[Definition]:
        """The definitions meant by a dotted name: a module's all, or one of a module; none where it is not ours."""
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            module = self.module(".".join(parts[:length]))
            if module is None:
                continue
            rest = parts[length:]
            if not rest or rest[0] == "*":
                yield from self.everything(module.name)
            elif rest[0] in module.named:
                yield module.name, rest[0]
            elif rest[0] in module.imports:
                yield from self.resolve(".".join([module.imports[rest[0]], *rest[1:]]))
            elif "__getattr__" in module.named:
                yield from self.everything(module.name)
            return

    def used_by(self, module: _Module, statement: ast.stmt) -> Iterator[Definition]:
        """The definitions that a statement of `module` names."""
        aliases = module.imports | dict(
            pair for node in ast.walk(statement) for pair in _imported(node, module.package)
        )
        for dotted in _dotted_names(statement):
            head, _, rest = dotted.partition(".")
            if head in aliases:
                yield from self.resolve(f"{aliases[head]}.{rest}".rstrip("."))
            elif head in module.named:
                yield module.name, head
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.]+", node.value):
                if "." in node.value and self.module(node.value):
                    yield from self.everything(node.value)


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
        above = package.rsplit(".", node.level - 1)[0] if node.level else ""
        source = ".".join(part for part in (above, node.module) if part)
        for alias in node.names:
            yield alias.asname or alias.name, f"{source}.{alias.name}"


def _dotted_names(statement: ast.stmt) -> Iterator[str]:
    """`a`, `a.b`, `a.b.c` for every name and chain of attributes; the parts of a chain are not given again."""
    inner = set()
    for node in ast.walk(statement):
        if node in inner or not isinstance(node, ast.Name | ast.Attribute):
            continue
        parts: list[str] = []
        link: ast.expr = node
        while isinstance(link, ast.Attribute):
            parts.append(link.attr)
            link = link.value
            inner.add(link)
        if isinstance(link, ast.Name):
            yield ".".join([link.id, *reversed(parts)])


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _text(statement: ast.stmt) -> str:
    """The syntax tree as text, without docstrings and without places in the file."""
    for node in ast.walk(statement):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [inner for inner in body if not _is_text(inner)]  # type: ignore[attr-defined]
    return ast.dump(statement)
