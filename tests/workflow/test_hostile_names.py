"""Names of files, models and titles that are shell commands stay names: printed commands, run with a fake python."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.checkout import CI, copy_checkout, environment, snakemake

pytestmark = pytest.mark.slow

HOSTILE = "x'$HOME; touch hacked; `touch hacked` \"& $(touch hacked) {run} {{y}} | cat > hacked \\ é \n touch hacked\n#"
PLACES: dict[str, Any] = {
    "run": "odd",
    "backbone": {"source": f"./{HOSTILE}", "revision": HOSTILE},
    "corpus": {"source": {"location": f"./{HOSTILE}"}, "license": HOSTILE},
    "benchmarks": {"nq": {"train": f"./{HOSTILE}", "test": f"./{HOSTILE}", "test_normal": f"./{HOSTILE}"}},
    "synthesis": {"model": f"./{HOSTILE}"},
    "report": {"title": HOSTILE},
}
"""Every setting whose value is free text and reaches a program."""
FAKE = """#!{python} -SE
import json, sys
with open("calls.jsonl", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""


def texts(value: Any) -> list[str]:
    """All strings within a value."""
    if isinstance(value, dict | list):
        return [text for part in (value.values() if isinstance(value, dict) else value) for text in texts(part)]
    return [value] if isinstance(value, str) else []


def test_hostile_names_reach_programs_as_they_are_and_run_nothing(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path / "checkout")
    (folder / "overlay.yaml").write_text(yaml.safe_dump(PLACES, allow_unicode=True), encoding="utf-8")
    planned = snakemake(folder, "--dry-run", "--printshellcmds", *CI, "overlay.yaml")
    assert planned.returncode == 0, planned.stderr[-2000:]
    commands = re.findall(r"^Shell command: (?!None)(.*)$", planned.stdout, re.MULTILINE)
    assert len(commands) > 30
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(FAKE.format(python=sys.executable))
    fake.chmod(0o755)
    for name in {match for command in commands for match in re.findall(r"exec tee (\S+)", command)}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    before = {path for path in folder.rglob("*")}
    settings = environment() | {"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        ["bash", "-euc", "\n".join(commands)], cwd=folder, env=settings, check=True, timeout=120, capture_output=True
    )
    calls = [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]
    assert len(calls) == len(commands)
    given = [
        text for call in calls if "--settings" in call for text in texts(json.loads(call[call.index("--settings") + 1]))
    ]
    assert set(texts(PLACES)) <= set(given)
    new = {path.name for path in folder.rglob("*")} - {path.name for path in before}
    assert {name for name in new if not name.endswith(".log")} == {"calls.jsonl"}
