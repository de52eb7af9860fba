"""What `snakemake --lint` says about the rules, less what this project decided otherwise.

    python tests/workflow/lints.py

Exits 1 and prints the complaints, if any. Software is installed by `make setup` from one lock, so that rules name no
environment of their own.
"""

import subprocess
import sys

ACCEPTED = "Specify a conda environment or container for each rule."


def complaints() -> list[str]:
    """The linter's complaints, each headed by its rule."""
    done = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], capture_output=True, text=True, check=False)
    found, place = [], ""
    for line in done.stderr.splitlines() + done.stdout.splitlines():
        if line.startswith("Lints for"):
            place = line
        elif line.startswith("    * ") and not line.startswith(f"    * {ACCEPTED}"):
            found.append(f"{place} {line.strip(' *')}")
        elif "Error" in line:
            found.append(line)
    return found


if __name__ == "__main__":
    found = complaints()
    print("\n".join(found) or "snakemake --lint: nothing to mend")
    sys.exit(bool(found))
