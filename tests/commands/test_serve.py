"""`clara serve` as a process: ready, answering, ended by a signal."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from clara.cli import app


@pytest.mark.slow
def test_a_server_is_ready_and_stops_at_a_signal(workplace: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "CLARA_API_KEY": "secret"}
    command = [sys.executable, "-m", "clara", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=workplace, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        lines = []
        for line in server.stderr:
            lines.append(line)
            if found := re.search(r"running on (http://[\d.:]+)", line):
                break
        assert found, lines
        headers = {"authorization": "Bearer secret"}
        body = {"question": "Who left?", "k": 1}
        assert len(httpx.post(f"{found[1]}/search", json=body, headers=headers).json()["passages"]) == 1
        assert httpx.post(f"{found[1]}/search", json=body).status_code == 401
        server.send_signal(signal.SIGTERM)
        rest = server.stderr.read()
        server.wait(60)
    assert "Application shutdown complete" in rest
    assert "Traceback" not in rest


def test_a_server_for_others_needs_a_key(workplace: Path) -> None:
    done = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0"])
    assert done.exit_code == 2
    assert "can be reached by others; set a key with CLARA_API_KEY" in done.stderr


def test_a_port_that_is_taken_is_refused_before_the_model_is_loaded(workplace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        found = CliRunner().invoke(app, ["serve", "--model", "no/such/model", "--port", port])
    assert (found.exit_code, "model" in found.stderr.replace("--model", "")) == (2, False)
    assert f"nothing can be served at 127.0.0.1, port {port}" in found.stderr
