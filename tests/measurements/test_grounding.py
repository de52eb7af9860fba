"""The proxy of grounding by hand, and a judge behind a server of this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clara.errors import DataError, ResourceError
from clara.evaluation.scoring import Resampling
from clara.measurements import judge as judges
from clara.measurements.grounding import content_words, measure, words_found
from clara.measurements.judge import ServedJudge
from clara.records import Prediction, Question

RESAMPLING = Resampling(samples=100, confidence=0.9, seed=1)
DOCS = ["Aro\nAro is a city in the north.", "Bel\nBel was founded in 1887."]


def test_content_words_leave_out_what_says_nothing() -> None:
    assert content_words("Yes, the City is in Aro!") == ["city", "aro"]


def test_the_proxy_is_the_share_of_words_that_the_documents_hold() -> None:
    assert words_found("the city of Aro", DOCS) == 1.0
    assert words_found("Aro, founded in 1999", DOCS) == pytest.approx(2 / 3)
    assert words_found("Arolla", DOCS) == 0.0
    assert words_found("No, it is not", DOCS) is None


def prediction(number: int, answer: str | None, selected: list[int], *, setting: Any = "oracle") -> Prediction:
    return Prediction(
        system="x", benchmark="nq", setting=setting, id=f"q{number}", question="Where?", golden_answers=["Aro", "Bel"],
        prediction=answer, ranking=[0, 1], scores=None, selected=selected, pos_index=[0],
    )  # fmt: skip


def pools(count: int) -> dict[tuple[str, str], dict[str, Question]]:
    made = [
        Question(id=f"q{n}", question="Where?", golden_answers=["Aro"], docs=DOCS, pos_index=[0]) for n in range(count)
    ]
    return {("nq", "oracle"): {row.id: row for row in made}}


def test_only_what_was_read_counts_and_answers_without_words_are_counted_apart() -> None:
    rows = [prediction(0, "Aro", [0]), prediction(1, "Aro", [1]), prediction(2, "yes", [0])]
    found = measure(rows, pools(3), RESAMPLING)
    (cell,) = found["rows"]
    assert (cell["metric"], cell["value"], cell["n"]) == ("words_found", 50.0, 2)
    assert (found["without_content_words"], found["judge"]) == (1, None)


def test_a_system_that_read_nothing_or_another_pool_is_refused() -> None:
    with pytest.raises(DataError, match="x answers from no document"):
        measure([prediction(0, "Aro", [])], pools(1), RESAMPLING)
    with pytest.raises(DataError, match=r"question q5 of nq \(oracle\) is in no candidates file"):
        measure([prediction(5, "Aro", [0])], pools(1), RESAMPLING)


class Server(ThreadingHTTPServer):
    """Answers chat completions by what the last message holds; keeps what it was asked."""

    asked: list[dict[str, Any]]
    broken = False


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)  # type: ignore[attr-defined]
        text = body["messages"][-1]["content"]
        if "Reference answer" in text:
            reply = 'Here: {"agreed": 1, "added": 1, "missing": 0}'
        elif "Answer: dear" in text and self.server.broken:  # type: ignore[attr-defined]
            self.send_error(400)
            return
        elif "Answer: odd" in text:
            reply = "I cannot say."
        else:
            reply = '{"statements": 4, "supported": 3}'
        content = {
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply}}]
        }
        answer = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", **content}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_judge_is_asked_twice_an_answer_and_its_replies_are_kept(server: Server, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{server.server_port}/v1"
    rows = [prediction(0, "Aro", [0]), prediction(1, "odd", [0]), prediction(2, "Bel", [1])]
    kept = tmp_path / "state" / "replies.jsonl"
    found = measure(rows, pools(3), RESAMPLING, judge=ServedJudge(address, "m", replies=kept), judged=2)
    cells = {row["metric"]: (row["value"], row["n"]) for row in found["rows"]}
    assert cells["faithfulness"] == (75.0, 1)  # of two that were asked, one reply could not be read
    assert cells["correctness"] == (pytest.approx(100 * 2 / 3, abs=1e-5), 2)
    assert cells["words_found"][1] == 3
    assert (found["judge"], found["unreadable_verdicts"]) == ("m", 1)
    assert len(server.asked) == 4
    assert all(body["temperature"] == 0 and body["model"] == "m" for body in server.asked)
    shown = [body["messages"][-1]["content"] for body in server.asked]
    assert any("Documents:\nAro" in text and "Bel was" not in text for text in shown)  # what was read, not the pool
    kept.write_text(kept.read_text() + '{"key": "hal')
    again = measure(rows, pools(3), RESAMPLING, judge=ServedJudge(address, "m", replies=kept), judged=2)
    assert (again, len(server.asked)) == (found, 4)


def test_a_failed_reply_and_half_a_line_cost_no_other_reply(server: Server, tmp_path: Path) -> None:
    address, kept = f"http://127.0.0.1:{server.server_port}/v1", tmp_path / "replies.jsonl"
    answers = [(prediction(n, "dear" if n == 1 else f"Aro {n}", [0]), DOCS[:1]) for n in range(3)]
    server.broken = True
    with pytest.raises(ResourceError, match="did not answer"):
        ServedJudge(address, "m", replies=kept).judge(answers)
    assert len(kept.read_text().splitlines()) == len(server.asked) - 1  # all that came, in a part that failed
    kept.write_text(kept.read_text() + '{"key": "hal')
    server.broken = False
    found = ServedJudge(address, "m", replies=kept).judge(answers)
    assert len(server.asked) == 2 * 3 + 1  # each once, and the failed one again
    assert ServedJudge(address, "m", replies=kept).judge(answers) == found
    assert len(server.asked) == 2 * 3 + 1


def test_a_judge_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "ATTEMPTS", 0)
    with pytest.raises(ResourceError, match=r"the judge m at http://127.0.0.1:9/v1 did not answer"):
        ServedJudge("http://127.0.0.1:9/v1", "m", replies=None).judge([(prediction(0, "Aro", [0]), DOCS)])
