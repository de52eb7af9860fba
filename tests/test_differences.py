"""`docs/differences.md` covers every known defect of the released code and names tests that exist."""

import ast
import re
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
BEHAVIOUR = PAGE.split("## Behaviour")[1].split("\n## ")[0]
NUM_DEFECTS = 44


def named_tests(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)


@lru_cache
def functions(path: str) -> set[str]:
    file = ROOT / path
    if not file.exists():
        return set()
    return {node.name for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.FunctionDef)}


def test_every_named_test_exists() -> None:
    tests = named_tests(PAGE)
    assert len(tests) > NUM_DEFECTS
    assert [f"{path}::{name}" for path, name in tests if name not in functions(path)] == []


def test_every_defect_has_one_row_and_every_row_a_test() -> None:
    rows = [line for line in BEHAVIOUR.splitlines() if line.startswith("|")][2:]
    assert [row for row in rows if len(row.split("|")) != 7 or not named_tests(row)] == []
    numbers = [int(number) for row in rows for number in re.findall(r"\bD(\d+)\b", row.split("|")[1])]
    assert sorted(numbers) == list(range(1, NUM_DEFECTS + 1))


def test_every_setting_named_as_a_choice_exists() -> None:
    from clara.config import load

    config = load(ROOT / "config.yaml")
    choices = PAGE.split("## Choices")[1].split("\n## ")[0]
    names = re.findall(r"`((?:pretraining|instruction|joint|memory)\.\w+)`", choices)
    assert len(names) > 8
    assert [name for name in names if name.split(".")[1] not in config[name.split(".")[0]]] == []
