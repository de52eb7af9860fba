"""The report's program takes the flags that docs/programs.md promises."""

import json
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_the_flags_are_those_of_the_documentation() -> None:
    line = next(
        line
        for line in (PROJECT / "docs/programs.md").read_text().splitlines()
        if line.startswith("- `build_report.py")
    )
    promised = set(re.findall(r"--[a-z-]+", line.split("`")[1]))
    command = [sys.executable, PROJECT / "workflow_scripts/build_report.py", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    given = set(re.findall(r"--[a-z-]+", text.split("Builds the report")[0]))
    assert given == promised


def test_a_missing_input_ends_in_one_sentence_and_leaves_no_output(tmp_path: Path) -> None:
    scoring = {"recall_at": [1], "bootstrap_samples": 100, "confidence": 0.95}
    report = {"title": "Toy", "questions_shown": None}
    settings = {"run": "toy", "seed": 1, "license": "CC0", "scoring": scoring, "report": report}
    names = "metrics histories memory-use diagnostics predictions candidates corpus-report synthesis-report page"
    names += " scorecard specifications"
    names += " results-csv results-md results-tex memory-use-csv memory-use-md memory-use-tex comparisons-csv"
    names += " comparisons-md comparisons-tex"
    names += " loss-figure recall-figure"
    names += " memory-use-figure answers-figure"
    flags = [part for name in names.split() for part in (f"--{name}", str(tmp_path / name))]
    command = [sys.executable, PROJECT / "workflow_scripts/build_report.py", "--settings", json.dumps(settings), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {tmp_path / 'metrics'} does not exist; check its path, or run the step that makes it\n",
    )
    assert list(tmp_path.iterdir()) == []
