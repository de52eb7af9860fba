"""What every program under `workflow_scripts/` shares: flags, one-sentence errors, exit status."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from clara.errors import ClaraError, ConfigError

Settings = TypeVar("Settings", bound=BaseModel)

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


def settings(kind: type[Settings], text: str) -> Settings:
    """The settings of a program, checked, from the JSON text after `--settings`.

    Raises:
        ConfigError: the text is no JSON, or a key is unknown, missing or has an unusable value.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'the text'}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
            for fault in error.errors()
        )
        raise ConfigError(
            f"--settings does not fit {kind.__name__}: {faults}; expected the JSON that clara.config.rules.settings_for gives"
        ) from error


def run(main: Callable[[], None]) -> NoReturn:
    """Runs `main` and exits: 0, 2 with one sentence on a user's error, 143 when terminated, 130 when interrupted."""

    def terminate(signum: int, frame: object) -> NoReturn:
        raise SystemExit(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    try:
        main()
    except ClaraError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_ERROR)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        print(
            f"error: cannot write {error.filename or 'a result'}: {os.strerror(error.errno)}; free or unlock the disk "
            "and run again",
            file=sys.stderr,
        )
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
