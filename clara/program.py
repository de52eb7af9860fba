"""What every program under `workflow_scripts/` shares: flags, one-sentence errors, exit status, a bounded cache."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

from clara import attempts, environment, gpus
from clara.errors import ClaraError
from clara.files import NO_ACCESS, NO_ROOM, no_room
from clara.gpus import no_memory

EXIT_ERROR = 2
EXIT_TERMINATED = 143
PRIMITIVES = "128"
"""How many shapes of a product torch and its oneDNN keep ready on a CPU; a pass of the model needs some fifty. Batches
of real lengths hardly repeat a shape, each kept one costs 0.7 MB in bfloat16, and their own limit is 1024."""


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the program's docstring."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_paths(arguments: argparse.ArgumentParser, *flags: str, many: tuple[str, ...] = ()) -> None:
    """Adds required path flags; those in `many` take one or more paths."""
    for flag in flags:
        arguments.add_argument(flag, type=Path, required=True)
    for flag in many:
        arguments.add_argument(flag, type=Path, required=True, nargs="+")


def bound_primitives() -> None:
    """Limits the products that this process keeps ready, before its first one; the user's own values win.

    torch's wrapper and oneDNN itself have a cache each that holds the same objects: one alone frees nothing.
    """
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, PRIMITIVES)


def run(main: Callable[[], None], *, resumable: bool = False) -> NoReturn:
    """Runs `main` and exits: 0, 2 with one sentence on a user's error, 143 when terminated, 130 when interrupted.

    Before that it takes the GPUs that the job was given (`clara.gpus`) and notes the code that runs and their energy.

    Args:
        main: the program.
        resumable: keep a history of its attempts in the folder that follows --state (`clara.attempts`).
    """

    def terminate(signum: int, frame: object) -> NoReturn:
        raise SystemExit(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    bound_primitives()
    environment.code(sys.argv[0])
    environment.modules(sys.argv[0])
    with attempts.noted(sys.argv) if resumable else nullcontext() as attempt:
        code, reason = _outcome(main)
        if attempt:
            attempt.reason = reason
    sys.exit(code)


def _outcome(main: Callable[[], None]) -> tuple[int, str]:
    """Exit status of `main`, and the word for the history of attempts."""
    try:
        gpus.take(os.environ)
        environment.energy_before()
        main()
    except ClaraError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR, f"failed: {error}"
    except Exception as error:
        full = no_memory(error)
        if (sentence := full or refusal(error)) is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return EXIT_ERROR, f"{'out of memory' if full else 'failed'}: {sentence}"
    except KeyboardInterrupt:
        return 130, "interrupted"
    return 0, "finished"


def refusal(error: Exception) -> str | None:
    """The sentence for a file that was refused to a library, which tells it by the system's error or by its own.

    None for all other errors.
    """
    if not isinstance(error, OSError):
        said = no_room(error)
        if said == os.strerror(errno.EACCES):  # reading meets it as well
            return f"a file may not be read or written: {said}; correct its rights and run again"
        return f"cannot write a result: {said}; free or unlock the disk and run again" if said else None
    known = error.errno in NO_ROOM | NO_ACCESS | {errno.ENOENT}
    if not known or (error.filename is None and error.errno not in NO_ROOM):
        return None
    if error.errno in NO_ROOM:
        return f"cannot write {error.filename or 'a result'}: {error.strerror}; free or unlock the disk and run again"
    doing = "read" if os.path.exists(error.filename) and not os.access(error.filename, os.R_OK) else "open"
    return f"cannot {doing} {error.filename}: {error.strerror}; correct the path or its rights and run again"
