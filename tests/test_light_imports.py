"""Modules that a dry run and a re-scoring import must start at once."""

import subprocess
import sys

import pytest

LIGHT = [
    "clara",
    "clara.config",
    "clara.config.rules",
    "clara.errors",
    "clara.evaluation.metrics",
    "clara.files",
    "clara.plan",
    "clara.prompts",
    "clara.records",
    "clara.row_files",
    "clara.runs.explain",
    "clara.runs.preflight_slurm",
    "clara.runs.summary",
    "clara.sizing.jobs",
]
HEAVY = {"torch", "transformers", "pandas", "pyarrow", "matplotlib", "vllm", "peft", "numpy"}


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
