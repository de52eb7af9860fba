"""A server that the step starts: healthy, dead, silent, ended with its step; and vLLM's own."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import httpx
import pytest

from clara.errors import ResourceError
from clara.model import vllm_door
from clara.synthesis.engine import Reply, choose
from clara.synthesis.engine_transformers import TransformersEngine
from clara.synthesis.server import Server
from tests.synthesis.test_engines import CHOICE, GREEDY, answers, ask

HEALTHY = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
"""


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def gone(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", timeout=1, trust_env=False)
    except httpx.TransportError:
        return True
    return False


def test_a_server_answers_until_it_is_closed(tmp_path: Path) -> None:
    server = Server(command(HEALTHY), tmp_path / "logs" / "server.log")
    assert not gone(server.url)
    server.close()
    assert gone(server.url)


def test_a_server_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('loading'); sys.exit('no such model: x')"
    with pytest.raises(ResourceError, match=r"ended with status 1 before .* / no such model: x; see .*server\.log"):
        Server(command(code), tmp_path / "server.log")


def test_a_server_that_stays_silent_is_given_up_and_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(ResourceError, match="was not ready after 3 s"):
        Server(command(code), tmp_path / "server.log", start_seconds=3.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a child that its parent is dead")
def test_a_killed_step_leaves_no_server_behind(tmp_path: Path) -> None:
    step = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from clara.synthesis.server import Server
        server = Server([sys.executable, "-c", {HEALTHY!r}], Path({str(tmp_path / "server.log")!r}))
        print(server.url, flush=True)
        time.sleep(600)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", step], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 20
    while not gone(url) and time.monotonic() < end:
        time.sleep(0.1)
    assert gone(url)


def replies_of_a_server(folder: Path, log: Path) -> tuple[list[Reply], list[Reply]]:
    """The replies of a vLLM server to the greedy requests, and to a choice and too long a text."""
    engine = choose("server", folder, dtype="float32", identity="tiny", base_url=None, log=log)
    try:
        return answers(engine, *GREEDY), answers(engine, CHOICE, ask("river " * 600))
    finally:
        engine.close()


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")  # vLLM and what it imports warn of their own affairs
def test_vllms_server_gives_the_greedy_replies_of_transformers(tmp_path: Path, tiny_model: Path) -> None:
    reason = vllm_door.obstacle(tiny_model)
    if reason is not None:
        pytest.skip(reason)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        same, rest = processes.submit(replies_of_a_server, tiny_model, tmp_path / "server.log").result()
    engine = TransformersEngine(tiny_model, dtype="float32", identity="tiny")
    expected = [reply.text.strip() for reply in answers(engine, *GREEDY)]
    assert [" ".join(reply.text.split()) for reply in same] == [" ".join(text.split()) for text in expected]
    assert rest[0].text.strip() in ("Yes", "No")
    assert rest[1].error is not None
    assert "400" in rest[1].error
