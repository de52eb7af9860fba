"""What every program under `workflow_scripts/` shares: flags, one-sentence errors, exit status."""

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
from clara.files import NO_ACCESS, NO_ROOM

EXIT_ERROR = 2
EXIT_TERMINATED = 143


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the program's docstring."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_paths(arguments: argparse.ArgumentParser, *flags: str, many: tuple[str, ...] = ()) -> None:
    """Adds required path flags; those in `many` take one or more paths."""
    for flag in flags:
        arguments.add_argument(flag, type=Path, required=True)
    for flag in many:
        arguments.add_argument(flag, type=Path, required=True, nargs="+")


def run(main: Callable[[], None], *, resumable: bool = False) -> NoReturn:
    """Runs `main` and exits: 0, 2 with one sentence on a user's error, 143 when terminated, 130 when interrupted.

    Before that it takes the GPUs that the job was given (`clara.gpus`) and notes the code that runs.

    Args:
        main: the program.
        resumable: keep a history of its attempts in the folder that follows --state (`clara.attempts`).
    """

    def terminate(signum: int, frame: object) -> NoReturn:
        raise SystemExit(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
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
        main()
    except ClaraError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR, f"failed: {error}"
    except OSError as error:
        if error.errno not in NO_ROOM | NO_ACCESS | {errno.ENOENT} or (
            error.filename is None and error.errno not in NO_ROOM
        ):
            raise
        print(f"error: {_refusal(error)}", file=sys.stderr)
        return EXIT_ERROR, f"failed: {_refusal(error)}"
    except KeyboardInterrupt:
        return 130, "interrupted"
    return 0, "finished"


def _refusal(error: OSError) -> str:
    """The sentence for a file that was refused to a library, which passed the system's error on."""
    if error.errno in NO_ROOM:
        return f"cannot write {error.filename or 'a result'}: {error.strerror}; free or unlock the disk and run again"
    doing = "read" if os.path.exists(error.filename) and not os.access(error.filename, os.R_OK) else "open"
    return f"cannot {doing} {error.filename}: {error.strerror}; correct the path or its rights and run again"
