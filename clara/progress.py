"""Progress of long work on stderr: done, rate, remaining time."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

UNITS = (("G", 1e9), ("M", 1e6), ("k", 1e3))


class Progress:
    """A line on stderr: rewritten in place on a terminal, a new line every few seconds elsewhere.

    Args:
        label: what is done.
        total: units in all; null where nobody knows.
        unit: name of a unit, such as `passages`; `B` is written with k, M and G.
        done: units that were done before, by an interrupted run; they do not count for the rate.
        every_seconds: time between two lines where stderr is no terminal.
    """

    def __init__(
        self,
        label: str,
        *,
        total: int | None,
        unit: str,
        done: int = 0,
        every_seconds: float = 10.0,
        stream: TextIO | None = None,
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.every_seconds = 0.2 if self.terminal else every_seconds
        self.first = self.done = done
        self.start = self.last = time.monotonic()
        self.shown = False

    def update(self, done: int) -> None:
        """Notes that `done` units are done in all, and shows it when it is time."""
        self.done = done
        now = time.monotonic()
        if now - self.last >= self.every_seconds:
            self.last = now
            self._show(now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Work that was over before the first line stays silent.
        if self.shown:
            self._show(time.monotonic())
            if self.terminal:
                self.stream.write("\n")

    def line(self, elapsed_seconds: float) -> str:
        """The text of the line after so much time."""
        rate = (self.done - self.first) / elapsed_seconds if elapsed_seconds > 0 else 0.0
        text = f"{self.label}: {self._amount(self.done)}"
        if self.total is not None:
            text += f" of {self._amount(self.total)}"
        text += f" {self.unit}, {self._amount(rate)} {self.unit}/s"
        if self.total is not None and rate > 0:
            text += f", {duration(max(0.0, (self.total - self.done) / rate))} left"
        return text

    def _amount(self, value: float) -> str:
        if self.unit == "B":
            for letter, size in UNITS:
                if value >= size:
                    return f"{value / size:.1f} {letter}"
        return f"{value:.1f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"

    def _show(self, now: float) -> None:
        self.shown = True
        text = self.line(now - self.start)
        self.stream.write(f"\r\x1b[2K{text}" if self.terminal else text + "\n")
        self.stream.flush()


def duration(seconds: float) -> str:
    """`75` as `1 min 15 s`, `7500` as `2 h 5 min`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
