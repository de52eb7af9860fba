import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clara import program
from clara.errors import DataError


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def raising(error: BaseException) -> None:
    raise error


def code_of(error: BaseException | None) -> object:
    with pytest.raises(SystemExit) as raised:
        program.run(lambda: raising(error) if error else None)
    return raised.value.code


def test_success_is_0() -> None:
    assert code_of(None) == 0


def test_a_users_error_is_2_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(DataError("the file x is empty; fill it")) == 2
    assert capsys.readouterr().err == "error: the file x is empty; fill it\n"


def test_a_full_disk_is_2_wherever_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(OSError(errno.ENOSPC, "No space left on device", "out/x")) == 2
    assert capsys.readouterr().err.startswith("error: cannot write out/x: No space left on device; free")


def test_a_mistake_of_ours_keeps_its_trace() -> None:
    with pytest.raises(OSError, match="odd"):
        program.run(lambda: raising(OSError(errno.EBADF, "odd")))
    with pytest.raises(KeyError):
        program.run(lambda: raising(KeyError("x")))


def test_termination_is_143_and_an_interrupt_130() -> None:
    with pytest.raises(SystemExit) as raised:
        program.run(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert raised.value.code == 143
    assert code_of(KeyboardInterrupt()) == 130


def test_paths_are_flags_and_some_take_many() -> None:
    parser = program.parser("Does it.")
    program.add_paths(parser, "--out", many=("--in",))
    given = parser.parse_args(["--out", "a", "--in", "b", "c"])
    assert given.out == Path("a")
    assert getattr(given, "in") == [Path("b"), Path("c")]
