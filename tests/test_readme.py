"""What the README names is there: paths, links, targets, configurations, methods."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECORD = ROOT / "docs" / "results" / "demo"


def test_every_path_of_the_file_table_and_every_link_exists() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|", README, re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert len(paths) > 15
    assert [path for path in [*paths, *links] if not (ROOT / path).exists()] == []


def test_every_make_target_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE)) | set(re.findall(r"`make (\w+)`", README))
    assert {"demo", "test"} <= named
    assert [target for target in named if not re.search(rf"^(\w+ )*{target}\b[\w ]*:", makefile, re.MULTILINE)] == []


def test_every_configuration_profile_and_program_named_is_there() -> None:
    named = re.findall(r"(?:configs|profiles|workflow_scripts)/[\w./-]+\w", README)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_python_example_uses_what_the_package_has() -> None:
    from clara.serving import Answer, Clara

    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    attributes = {node.attr for node in ast.walk(ast.parse(code[1])) if isinstance(node, ast.Attribute)}
    known = {*dir(Clara), *Answer._fields, "load"}
    assert attributes <= known


@pytest.mark.parametrize(("block", "table"), [("results-table", "results"), ("memory_use", "memory_use")])
def test_the_tables_are_those_of_the_recorded_run(block: str, table: str) -> None:
    found = re.search(rf"<!-- {block}:begin -->\n(.*?)<!-- {block}:end -->", README, re.DOTALL)
    assert found
    shown = re.split(r"\n\n(?=\*\*)", found[1].strip())
    recorded = (RECORD / f"{table}.md").read_text(encoding="utf-8")
    assert [part for part in shown if part not in recorded] == []


def test_the_file_tree_names_every_file_of_code_and_configuration() -> None:
    tree = re.search(r"<!-- files:begin -->\n```\n(.*?)```", README, re.DOTALL)
    assert tree
    named, folder = set(), ""
    for line in tree[1].splitlines():
        if line.startswith(" "):
            name, phrase = line.split(maxsplit=1)
            assert phrase
            named.add(folder + name)
        else:
            folder = "" if line == "." else line
    parts = ("clara", "rules", "workflow_scripts", "configs", "profiles")
    there = {
        str(path.relative_to(ROOT))
        for part in parts
        for path in (ROOT / part).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert there - named == set()
    assert [name for name in named if not (ROOT / name).exists()] == []
