import hashlib
import http.server
import threading
from collections.abc import Callable

import pytest

from clara.data.download import Patience
from clara.data.fetch import fetch
from clara.errors import DataError, ResourceError

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()

Answer = Callable[[http.server.BaseHTTPRequestHandler, int], None]


class Server:
    """A loopback server whose answers a test scripts: one function a request, the last one repeated."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.ranges: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                number = len(outer.ranges)
                outer.ranges.append(self.headers.get("Range"))
                outer.answers[min(number, len(outer.answers) - 1)](self, number)

            def log_message(self, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/dump.bz2"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "dump"


def whole(request, number, *, tag='"one"', content=CONTENT):
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.send_header("ETag", tag)
    request.end_headers()
    request.wfile.write(content)


def rest(request, number):
    """Serves what the Range asks for if the tag is the server's, else all."""
    if request.headers.get("If-Range") != '"one"':
        return whole(request, number)
    start = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
    request.send_response(206)
    request.send_header("Content-Length", str(len(CONTENT) - start))
    request.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    request.send_header("ETag", '"one"')
    request.end_headers()
    request.wfile.write(CONTENT[start:])


def cut(request, number):
    """Announces everything, sends a third, hangs up."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.send_header("ETag", '"one"')
    request.end_headers()
    request.wfile.write(CONTENT[: len(CONTENT) // 3])
    request.close_connection = True


def status(code):
    def answer(request, number):
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def get(server, target, sha256=SHA256, attempts=3):
    waits: list[float] = []
    found = fetch(server.url, target, sha256=sha256, patience=Patience(attempts, stall_seconds=5, sleep=waits.append))
    return found, waits


def test_a_download_is_put_in_place_and_described(server, target):
    server.answers = [whole]
    found, waits = get(server, target)
    assert target.read_bytes() == CONTENT
    assert found == (server.url, SHA256, len(CONTENT))
    assert waits == []
    assert [path.name for path in target.parent.iterdir()] == ["dump"]


def test_a_transfer_that_breaks_off_is_continued_where_it_stopped(server, target):
    server.answers = [cut, rest]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges[0] is None
    start = int(server.ranges[1].removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= len(CONTENT) // 3


def test_what_an_earlier_run_left_is_continued(server, target):
    server.answers = [cut, status(503)]
    with pytest.raises(ResourceError, match="bytes are kept"):
        get(server, target)
    assert not target.exists()
    server.answers, server.ranges = [rest], []
    get(server, target)
    assert server.ranges[0] is not None
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_the_range_makes_it_start_over(server, target):
    server.answers = [cut, whole]
    get(server, target)
    assert server.ranges[1] is not None
    assert target.read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_not_mixed_with_the_old_one(server, target):
    other = CONTENT[::-1]
    server.answers = [cut, lambda request, number: whole(request, number, tag='"two"', content=other)]
    with pytest.warns(UserWarning, match=hashlib.sha256(other).hexdigest()):
        get(server, target, sha256=None)
    assert target.read_bytes() == other


def test_another_range_than_asked_for_is_not_used(server, target):
    def wrong(request, number):
        request.send_response(206)
        request.send_header("Content-Length", "4")
        request.send_header("Content-Range", f"bytes 0-3/{len(CONTENT)}")
        request.end_headers()
        request.wfile.write(b"oops")

    server.answers = [cut, wrong, whole]
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_always_sends_another_range_is_not_asked_for_ever(server, target):
    def wrong(request, number):
        request.send_response(206)
        request.send_header("Content-Length", "4")
        request.send_header("Content-Range", f"bytes 0-3/{len(CONTENT)}")
        request.send_header("ETag", '"one"')
        request.end_headers()
        request.wfile.write(CONTENT[:4])

    server.answers = [cut, wrong]
    with pytest.raises(ResourceError, match="the server sent another range"):
        get(server, target)
    assert len(server.ranges) <= 4


def test_a_server_in_trouble_is_asked_again_after_growing_pauses(server, target):
    server.answers = [status(500), status(503), whole]
    _, waits = get(server, target)
    assert waits == [1.0, 2.0]
    assert target.read_bytes() == CONTENT


def test_trouble_that_stays_ends_after_so_many_attempts(server, target):
    server.answers = [status(500)]
    with pytest.raises(ResourceError, match=r"the server answers 500 .* after 3 attempts"):
        get(server, target)
    assert len(server.ranges) == 3


def test_a_server_that_always_hangs_up_at_the_same_place_ends(server, target):
    def always(request, number):
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"x" * 10)
        request.close_connection = True

    server.answers = [always]
    with pytest.raises(ResourceError, match="check the network and run again"):
        get(server, target)
    assert len(server.ranges) <= 5


def test_a_missing_file_is_not_asked_for_twice(server, target):
    server.answers = [status(404)]
    with pytest.raises(DataError, match="answers 404"):
        get(server, target)
    assert len(server.ranges) == 1


def test_a_wrong_checksum_is_refused_and_not_resumed(server, target):
    server.answers = [whole]
    with pytest.raises(DataError, match=f"has the SHA-256 {SHA256}, expected {'0' * 64}"):
        get(server, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []


def test_silence_is_a_time_out(server, target):
    release = threading.Event()
    server.answers = [lambda request, number: release.wait(5)]
    try:
        with pytest.raises(ResourceError, match="the server stays silent"):
            fetch(server.url, target, sha256=None, patience=Patience(1, stall_seconds=0.1, sleep=lambda seconds: None))
    finally:
        release.set()


def test_no_connection_is_one_sentence(server, target):
    url = server.url
    server.http.socket.close()
    with pytest.raises(ResourceError, match=f"cannot download {url}: no connection"):
        fetch(url, target, sha256=None, patience=Patience(2, sleep=lambda seconds: None))


def test_a_local_file_is_copied_and_checked(tmp_path, target):
    source = tmp_path / "source.bin"
    source.write_bytes(CONTENT)
    assert fetch(str(source), target, sha256=SHA256.upper()) == (str(source), SHA256, len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert not target.is_symlink()


def test_a_local_file_with_another_checksum_stays_and_nothing_is_written(tmp_path, target):
    source = tmp_path / "source.bin"
    source.write_bytes(CONTENT)
    with pytest.raises(DataError, match="SHA-256"):
        fetch(str(source), target, sha256="0" * 64)
    assert source.exists()
    assert not target.exists()


def test_an_empty_file_is_refused(tmp_path, target):
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="is empty"):
        fetch(str(tmp_path / "empty"), target, sha256=None)
