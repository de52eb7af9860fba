"""Stopping a training between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from clara.errors import ResourceError


class StopFlag:
    """True once it was set."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Asks to stop."""
        self._set = True

    def __bool__(self) -> bool:
        return self._set


@contextmanager
def stop_requested(*, launched: bool) -> Iterator[StopFlag]:
    """A flag that turns true on SIGTERM, so that a step is never cut in the middle.

    Of several `launched` processes, one that has lost another gets SIGTERM from the launcher in the same moment: it is
    ignored from then on, or it would end the process before its sentence is said.
    """
    flag = StopFlag()
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: flag.set())
    except ValueError:  # not the main thread, where signals cannot be handled
        yield flag
        return
    try:
        yield flag
    except ResourceError:
        before = signal.SIG_IGN if launched else before
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
