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


def test_both_caches_of_products_are_bounded_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "")
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    assert code_of(None) == 0
    assert os.environ["LRU_CACHE_CAPACITY"] == "7"
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == program.PRIMITIVES


def test_a_users_error_is_2_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(DataError("the file x is empty; fill it")) == 2
    assert capsys.readouterr().err == "error: the file x is empty; fill it\n"


def test_a_full_disk_is_2_wherever_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(OSError(errno.ENOSPC, "No space left on device", "out/x")) == 2
    assert capsys.readouterr().err.startswith("error: cannot write out/x: No space left on device; free")
    # safetensors and the tokenizers have errors of their own for it
    assert code_of(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")) == 2
    assert capsys.readouterr().err.startswith("error: cannot write a result: No space left on device; free")


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


class AcceleratorError(RuntimeError):
    """Likewise: CUDA's own error, which torch passes on."""


def test_a_full_gpu_is_2_with_what_was_free_and_what_to_lower(capsys: pytest.CaptureFixture[str]) -> None:
    said = (
        "CUDA out of memory. Tried to allocate 722.00 MiB. GPU 0 has a total capacity of 139.80 GiB of which 72.31 MiB "
        "is free. Process 673 has 66.00 MiB memory in use. Including non-PyTorch memory, this process has 10.17 GiB "
        "memory in use. Of the allocated memory 7.22 GiB is allocated by PyTorch, and 2.29 GiB is reserved"
    )
    assert code_of(OutOfMemoryError(said)) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "error: the GPU's memory did not suffice: 722.00 MiB more were asked for, 72.31 MiB of 139.80 GiB were free, "
        "this job held 10.17 GiB; lower micro_batch_size"
    )
    assert all(name in told for name in ("evaluation.generation.batch_size", "gpu_jobs", "gpu_mem_mb"))
    assert told.count("\n") == 1
    assert code_of(AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'")) == 2
    assert capsys.readouterr().err.startswith("error: the GPU's memory did not suffice; lower")
    for said in (
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: out of memory",
    ):
        assert code_of(RuntimeError(said)) == 2
        assert capsys.readouterr().err.startswith("error: the GPU's memory did not suffice; lower")
    with pytest.raises(AcceleratorError):  # what else a GPU says is no matter of room
        program.run(lambda: raising(AcceleratorError("CUDA error: an illegal memory access was encountered")))
    with pytest.raises(RuntimeError, match="the scanner"):
        program.run(lambda: raising(RuntimeError("the scanner ran out of memory")))


@pytest.mark.parametrize(("readable", "doing"), [(False, "read"), (True, "open")])
def test_an_input_that_may_not_be_read_is_not_called_a_result(
    readable: bool, doing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: readable)
    (tmp_path / "in").write_text("")
    assert code_of(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "in"))) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot {doing} {tmp_path / 'in'}: Permission denied; correct")


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, said in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(SystemExit):
            program.run(lambda path=path: path.read_text())  # type: ignore[misc]
        assert (
            capsys.readouterr().err
            == f"error: cannot open {path}: {said}; correct the path or its rights and run again\n"
        )


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
