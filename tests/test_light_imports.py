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


def test_importing_the_model_changes_no_other_library() -> None:
    code = (
        "from transformers import masking_utils; before = masking_utils.find_packed_sequence_indices; "
        "import clara.serving; assert masking_utils.find_packed_sequence_indices is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_answering_loads_no_compiler() -> None:
    # vLLM on a CPU looks through all loaded modules for kernels, and stumbles over llvmlite's, which bm25s brings.
    code = (
        "import sys, clara.evaluation.predict; print('torch' in sys.modules, {'bm25s', 'llvmlite'} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "True set()\n"
    )
