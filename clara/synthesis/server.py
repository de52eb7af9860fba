"""A vLLM server that lives as long as the step that needs it."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from clara.errors import ResourceError
from clara.model.vllm_door import engine_options, prepare_environment
from clara.synthesis.engine import Reply, Request
from clara.synthesis.engine_openai import OpenAIEngine

START_SECONDS = 3600.0
"""A large model may be read from a slow disk; a server that dies is noticed at once."""
STOP_SECONDS = 30.0
POLL_SECONDS = 0.5
LINES_SHOWN = 3
DIE_WITH_PARENT = 1
"""Linux's PR_SET_PDEATHSIG."""


class Server:
    """A process that answers at a free port of this machine, from when it is healthy until `close`.

    Args:
        command: what is run; `--port` and the port are added.
        log: file for what it says.
        start_seconds: time after which a server that is not healthy is given up.

    Raises:
        ResourceError: it ends or stays silent instead of becoming healthy; says what it said last.
    """

    def __init__(self, command: Sequence[str], log: Path, *, start_seconds: float = START_SECONDS) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        try:
            self._wait(log, start_seconds)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the server and its own processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait(self, log: Path, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200:
                    return
            if (status := self._process.poll()) is not None:
                raise ResourceError(
                    f"the server of synthesis.engine = server ended with status {status} before it was ready: "
                    f"{_last_words(log)}; see {log}, or take another engine"
                )
            time.sleep(POLL_SECONDS)
        raise ResourceError(
            f"the server of synthesis.engine = server was not ready after {seconds:.0f} s; see {log}, or take another "
            "engine"
        )


class ServedEngine:
    """A vLLM server of its own, asked like any other."""

    name = "server"

    def __init__(self, folder: Path, *, dtype: str, identity: str, tensor_parallel: int, log: Path) -> None:
        prepare_environment()
        options = engine_options(folder, dtype=dtype, tensor_parallel=tensor_parallel)
        # Not `vllm serve`: the CPU package's command asks for the version of a distribution named vllm and fails.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
        command += ["--model", str(folder), "--seed", "0", "--generation-config", "vllm", *_flags(options)]
        self._server = Server(command, log)
        self.model = identity
        self.capacity = int(options["max_num_seqs"])
        try:
            self._engine = OpenAIEngine(
                f"{self._server.url}/v1", str(folder), identity=identity, capacity=self.capacity
            )
        except BaseException:
            self._server.close()
            raise

    def submit(self, key: str, request: Request) -> None:
        """Sends the request to the server."""
        self._engine.submit(key, request)

    def collect(self) -> list[tuple[str, Reply]]:
        """What the server has answered."""
        return self._engine.collect()

    def close(self) -> None:
        """Ends the server."""
        self._engine.close()
        self._server.close()


def _flags(options: dict[str, object]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        words = name.replace("_", "-")
        flags += [f"--{words}" if value else f"--no-{words}"] if isinstance(value, bool) else [f"--{words}", str(value)]
    return flags


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    """Run in the child: SIGTERM when this process is killed, so that no server is left behind on a machine."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-LINES_SHOWN:]) or "it said nothing"
