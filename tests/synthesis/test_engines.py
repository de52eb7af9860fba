"""The real engines on a tiny random model, and the choice between them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import pytest

from clara.errors import ConfigError, ResourceError
from clara.model import vllm_door
from clara.synthesis import engine_vllm
from clara.synthesis.engine import Deferred, Message, Reply, Request, Sampling, TextEngine, choose
from clara.synthesis.engine_generate import GenerateLoop
from clara.synthesis.engine_openai import LOST, REFUSED, OpenAIEngine
from clara.synthesis.engine_scripted import ScriptedEngine
from clara.synthesis.engine_transformers import TransformersEngine, _alike
from clara.synthesis.sending import ATTEMPTS, _asked_wait

GREEDY = Sampling(0.0, 1.0, 8, 0)


def ask(content: str, sampling: Sampling = GREEDY, **more: Any) -> Request:
    return Request((Message("user", content),), sampling, **more)


def answers(engine: TextEngine, *requests: Request) -> list[Reply]:
    for place, request in enumerate(requests):
        engine.submit(str(place), request)
    found: dict[str, Reply] = {}
    while len(found) < len(requests):
        found |= dict(engine.collect())
    return [found[str(place)] for place in range(len(requests))]


REQUESTS = (
    ask("When was the bridge built"),
    ask("Oslo"),
    ask("the river in Norway is yellow " * 6, Sampling(0.0, 1.0, 5, 0)),
    ask("Who founded the town", Sampling(0.9, 0.9, 8, 3)),
    ask("Who founded the town", Sampling(0.9, 0.9, 8, 4)),
    ask("What is green", beginning="In Oslo"),
)
CHOICE = ask("What is it", choices=("Yes", "No"))


@pytest.fixture(scope="module")
def transformers_engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, dtype="float32", identity="tiny")


def test_a_reply_does_not_depend_on_its_batch(transformers_engine: TransformersEngine) -> None:
    together = answers(transformers_engine, *REQUESTS)
    alone = [answers(transformers_engine, request)[0] for request in REQUESTS]
    assert together == alone
    assert len({reply.text for reply in together}) > 1


def test_greedy_replies_are_those_of_generate(transformers_engine: TransformersEngine) -> None:
    import torch

    engine = transformers_engine
    reply = answers(engine, REQUESTS[0])[0]
    messages = [message._asdict() for message in REQUESTS[0].messages]
    ids = engine._tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    output = engine._model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)
    assert reply.text == engine._tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)
    assert reply.prompt_tokens == len(ids)


def test_the_seed_decides_what_is_drawn(transformers_engine: TransformersEngine) -> None:
    one, other = (ask("Who founded the town", Sampling(1.5, 1.0, 8, seed)) for seed in (1, 2))
    replies = answers(transformers_engine, one, other)
    assert replies[0].text != replies[1].text
    assert answers(transformers_engine, one)[0] == replies[0]


def test_beginning_choices_and_limit_are_kept(transformers_engine: TransformersEngine) -> None:
    begun, chosen, short = answers(transformers_engine, REQUESTS[5], CHOICE, REQUESTS[2])
    assert begun.text.startswith("In Oslo")
    assert chosen.text in ("Yes", "No")
    assert chosen.finish_reason == "stop"
    assert short.reply_tokens <= 5


def test_a_choice_is_what_a_plain_loop_chooses_and_its_sure_parts_take_no_step(
    tiny_model: Path, transformers_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = Sampling(0.0, 1.0, 24, 0)
    judge = ask("What is it", long, choices=('{"Judgment": "Correct"}', '{"Judgment": "Incorrect"}', "Yes"))
    only = ask("What is it", choices=("Oslo",))
    plain = answers(GenerateLoop(tiny_model, dtype="float32"), CHOICE, judge, only)
    steps: list[int] = []
    decoder = transformers_engine._model.get_decoder()
    hook = decoder.register_forward_hook(lambda *_: steps.append(1))
    assert [reply.text for reply in answers(transformers_engine, CHOICE, judge, only)] == [one.text for one in plain]
    hook.remove()
    assert plain[2].text == "Oslo"
    assert len(steps) <= 8, "at most one a token up to where the two judgements part"


SHARED = "the old river town in Norway was built of yellow glass and is green " * 6
ABOUT = [
    ask(f"{SHARED}\n\n{question}", Sampling(0.0, 1.0, tokens, 0), shared=len(SHARED), **more)
    for question, tokens, more in (
        ("Who founded it", 8, {}),
        ("Where is the bridge", 3, {}),
        ("What", 12, {"beginning": "Answer"}),
        ("Who is it", 8, {"choices": ("Yes", "No")}),
    )
]


def test_what_prompts_begin_with_alike_is_read_once_and_the_replies_are_those_of_a_plain_loop(tiny_model: Path) -> None:
    engine = TransformersEngine(tiny_model, dtype="float32", identity="tiny")
    read: list[int] = []
    engine._model.get_decoder().register_forward_pre_hook(
        lambda module, given, named: read.append(named["input_ids"].numel()), with_kwargs=True
    )
    others = [REQUESTS[0], REQUESTS[2], ask(f"Oslo and {SHARED}\n\nWho", shared=len(SHARED) + 9)]
    plain = answers(GenerateLoop(tiny_model, dtype="float32"), *ABOUT, *others)
    assert answers(engine, *ABOUT, *others) == plain
    shared = len(engine._tokens(ABOUT[0])[0])
    assert shared > 80
    read.clear()
    again = answers(engine, *ABOUT)
    assert again == plain[:4]
    assert sum(read) < shared, "the beginning is not read again"


def test_beginnings_give_way_when_there_are_too_many(tiny_model: Path) -> None:
    engine = TransformersEngine(tiny_model, dtype="float32", identity="tiny")
    engine._prefixes._held_tokens = 150
    for place in ("Oslo", "Norway", "river"):
        text = f"{place} {SHARED}"
        asked = [ask(f"{text}\n\n{question}", shared=len(text)) for question in ("Who", "Where is it")]
        assert answers(engine, *asked) == answers(GenerateLoop(tiny_model, dtype="float32"), *asked)
    assert len(engine._prefixes._read) == 1


def test_rows_of_very_different_lengths_are_not_padded_to_one_another() -> None:
    assert _alike([400, 390, 120, 100]) == 2
    assert _alike([60, 9, 1]) == 3
    assert _alike([100, 400]) == 1


def test_the_shared_beginning_is_a_hint_and_no_part_of_the_key() -> None:
    assert ABOUT[0].key("m") == replace(ABOUT[0], shared=0).key("m")


def test_a_prompt_beyond_the_context_fails_alone(transformers_engine: TransformersEngine) -> None:
    long, fine = answers(transformers_engine, ask("river " * 600), REQUESTS[1])
    assert long.error is not None
    assert "exceed the context of 512" in long.error
    assert fine.error is None


GREEDY = [REQUESTS[0], REQUESTS[1], REQUESTS[2], REQUESTS[5]]


def replies_of_vllm(folder: Path) -> tuple[list[Reply], list[Reply]]:
    """vLLM's replies to the greedy requests, and to a choice, a schema, too long a text and twice the same draw."""
    engine = engine_vllm.VllmEngine(folder, dtype="float32", identity="tiny")
    schema = json.dumps(
        {"type": "object", "properties": {"a": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["a"]}
    )
    try:
        same = answers(engine, *GREEDY)
        return same, answers(engine, CHOICE, ask("Oslo", schema=schema), ask("river " * 600), REQUESTS[3], REQUESTS[3])
    finally:
        engine.close()


@pytest.mark.vllm
@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore")  # vLLM and what it imports warn of their own affairs
def test_vllm_gives_the_greedy_replies_of_transformers(
    tiny_model: Path, transformers_engine: TransformersEngine
) -> None:
    reason = vllm_door.obstacle(tiny_model)
    if reason is not None:
        pytest.skip(reason)
    # In a process of its own: on import vLLM looks into every loaded module, and not all of a test run's bear that.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        same, rest = processes.submit(replies_of_vllm, tiny_model).result()
    # vLLM keeps the space before a reply's first word.
    assert [reply.text.strip() for reply in same] == [reply.text for reply in answers(transformers_engine, *GREEDY)]
    assert rest[0].text.strip() in ("Yes", "No")
    assert rest[1].finish_reason == "length" or rest[1].text.strip().startswith("{")
    assert rest[2].error is not None
    assert rest[3] == rest[4]


def test_vllm_is_not_chosen_for_heads_that_its_cpu_kernels_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_door.importlib.util, "find_spec", lambda name: None)
    assert vllm_door.obstacle(tmp_path) == "the package vllm is not installed"
    with pytest.raises(ConfigError, match="engine = vllm cannot run here: the package vllm is not installed"):
        choose("vllm", tmp_path, dtype="float32", identity="x", base_url=None)


def test_auto_falls_back_to_transformers(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_door, "obstacle", lambda folder: "no device")
    engine = choose("auto", tiny_model, dtype="float32", identity="x", base_url=None)
    assert engine.name == "transformers"


def test_a_server_needs_an_address() -> None:
    with pytest.raises(ConfigError, match=r"needs synthesis\.base_url"):
        choose("openai", Path("m"), dtype="float32", identity="x", base_url=None)


def test_a_deferred_engine_starts_with_its_first_request() -> None:
    started: list[ScriptedEngine] = []

    def start() -> ScriptedEngine:
        started.append(ScriptedEngine(lambda request: "fine", capacity=7))
        return started[0]

    engine = Deferred(start, name="auto", model="m")
    engine.close()
    assert engine.collect() == []
    assert started == []
    assert answers(engine, ask("a"), ask("b"))[1].text == "fine"
    assert len(started) == 1
    assert (engine.name, engine.capacity) == ("scripted", 7)


class Server:
    """A chat server that answers from a list of (status, content) and remembers what it was asked."""

    def __init__(self) -> None:
        self.script: list[tuple[int, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.models = ["m"]
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _send(self, status: int, value: Any) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                for name, said in server.headers.items():
                    self.send_header(name, said)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self._send(200, {"data": [{"id": name} for name in server.models]})

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                server.bodies.append(json.loads(self.rfile.read(length)))
                status, value = server.script.pop(0)
                if isinstance(value, str):
                    choice = {"message": {"content": value}, "finish_reason": "stop"}
                    value = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
                self._send(status, value)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[..., OpenAIEngine]]:
    engines: list[OpenAIEngine] = []

    def start(model: str = "m", patience_seconds: float = 30.0) -> OpenAIEngine:
        waits = {"wait_seconds": 0.001, "patience_seconds": patience_seconds}
        engines.append(OpenAIEngine(server.url + "/", model, identity="x", **waits))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def test_a_busy_server_is_asked_again(server: Server, connect: Callable[..., OpenAIEngine]) -> None:
    server.script = [(503, {}), (429, {}), (200, "Oslo")]
    request = ask("Where", schema='{"type": "object"}', beginning="In ")
    assert answers(connect(), request) == [Reply("In Oslo", "stop", 3, 2)]
    body = server.bodies[-1]
    assert body["messages"] == [{"role": "user", "content": "Where"}, {"role": "assistant", "content": "In "}]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (body["max_tokens"], body["seed"], body["continue_final_message"]) == (8, 0, True)


def test_a_server_that_stays_busy_fails_the_request_only(server: Server, connect: Callable[..., OpenAIEngine]) -> None:
    server.script = (
        [(503, {"error": "full"})] + [(500, {})] * 5 + [(400, {"error": "context"}), (200, {"no": "choices"})]
    )
    engine = connect(patience_seconds=0.0)
    assert "status 503" in (answers(engine, ask("a"))[0].error or "")
    assert "status 500" in (answers(engine, ask("a"))[0].error or "")
    assert "status 400" in (answers(engine, ask("a"))[0].error or "")
    assert "no chat completion" in (answers(engine, ask("a"))[0].error or "")


def test_a_limited_server_is_waited_for_as_long_as_it_says(
    server: Server, connect: Callable[..., OpenAIEngine]
) -> None:
    engine = connect()
    server.headers = {"Retry-After": "1"}
    server.script = [(429, {}), (200, "Oslo")]
    began = time.monotonic()
    assert answers(engine, ask("a"))[0].text == "Oslo"
    assert 1.0 <= time.monotonic() - began < 5.0
    # More often than the attempts that a fault has.
    server.headers = {}
    server.script = [(429, {})] * (2 * ATTEMPTS) + [(200, "Oslo")]
    assert answers(engine, ask("a"))[0].text == "Oslo"
    # Nobody waits beyond the patience.
    server.headers = {"Retry-After": "3600"}
    server.script = [(429, {})]
    assert "status 429" in (answers(engine, ask("a"))[0].error or "")


def test_a_wait_is_told_as_seconds_or_as_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    for said, low, high in (("7", 7, 7), (soon, 28, 30), ("soon", 0, 0), ("-3", 0, 0), ("nan", 0, 0), ("", 0, 0)):
        assert low <= _asked_wait(httpx.Response(429, headers={"Retry-After": said})) <= high


def test_closing_ends_a_wait(server: Server, connect: Callable[..., OpenAIEngine]) -> None:
    engine = connect()
    server.headers = {"Retry-After": "20"}
    server.script = [(429, {})]
    engine.submit("a", ask("a"))
    while not server.bodies:
        time.sleep(0.01)
    began = time.monotonic()
    engine.close()
    engine._pool.shutdown(wait=True)
    assert time.monotonic() - began < 5.0


JUDGE = Request(
    (Message("system", "Care."), Message("user", "Is it")),
    Sampling(0.0, 1.0, 8, 0),
    choices=('{"Judgment": "Correct"}', "No"),
)
ANSWER = Request((Message("system", "Care."), Message("user", "Where")), Sampling(0.0, 1.0, 8, 0), beginning="Answer:")


def test_what_a_server_does_not_know_is_left_out_from_then_on(
    server: Server, connect: Callable[..., OpenAIEngine]
) -> None:
    engine = connect()
    server.script = [
        (400, {"error": {"message": "Unrecognized request argument supplied: continue_final_message"}}), (200, "Oslo"),
        (422, {"error": "structured_outputs: extra inputs are not permitted"}), (200, "Yes"),
        (400, {"error": "Conversation roles must alternate user/assistant/user/assistant/..."}), (200, "Answer: 1"),
        (200, "No"),
    ]  # fmt: skip
    assert [answers(engine, one)[0].text for one in (ANSWER, JUDGE, ANSWER, JUDGE)] == [
        "Oslo",
        "Yes",
        "Answer: 1",
        "No",
    ]
    assert "continue_final_message" in server.bodies[0]
    *_, judged, begun, folded, last = server.bodies
    assert "structured_outputs" not in judged
    assert begun["messages"] == [{"role": "system", "content": "Care."}, {"role": "user", "content": "Where"}]
    assert folded["messages"] == [{"role": "user", "content": "Care.\n\nWhere"}]
    assert last["messages"] == [{"role": "user", "content": "Care.\n\nIs it"}]
    assert not {"structured_outputs", "continue_final_message", "add_generation_prompt"} & (folded.keys() | last.keys())
    assert len(server.bodies) == 7


def test_a_refusal_for_another_reason_is_not_repeated(server: Server, connect: Callable[..., OpenAIEngine]) -> None:
    engine = connect()
    server.script = [(400, {"error": "maximum context length is 512 tokens"}), (200, "Oslo")]
    assert "maximum context" in (answers(engine, ANSWER)[0].error or "")
    assert answers(engine, ANSWER)[0].text == "Answer:Oslo"
    assert "continue_final_message" in server.bodies[-1]


def test_a_server_that_ignores_the_beginning_does_not_double_it(
    server: Server, connect: Callable[..., OpenAIEngine]
) -> None:
    server.script = [(200, "Answer: Oslo"), (200, " Oslo")]
    assert [answers(connect(), ANSWER)[0].text for _ in range(2)] == ["Answer: Oslo", "Answer: Oslo"]


def test_a_server_that_refuses_all_ends_the_run_and_one_that_took_something_does_not(
    server: Server, connect: Callable[..., OpenAIEngine]
) -> None:
    refused = (400, {"error": "no"})
    engine = connect()
    server.script = [refused] * REFUSED
    for _ in range(REFUSED - 1):
        assert "status 400" in (answers(engine, ask("a"))[0].error or "")
    with pytest.raises(ConfigError, match=r"the first 8 requests to .* were refused, the last so: .*status 400"):
        answers(engine, ask("a"))
    engine = connect()
    server.script = [(200, "Oslo"), *[refused] * (REFUSED + 1)]
    assert [answers(engine, ask("a"))[0].error is None for _ in range(REFUSED + 2)] == [True] + [False] * (REFUSED + 1)


def test_a_wrong_model_name_is_refused_with_the_right_ones(connect: Callable[..., OpenAIEngine]) -> None:
    with pytest.raises(ConfigError, match="serves m, not n"):
        connect("n")


def test_a_refused_key_ends_the_run(server: Server, connect: Callable[..., OpenAIEngine]) -> None:
    server.script = [(401, {"error": "key"})]
    with pytest.raises(ConfigError, match=r"refused .* with status 401"):
        answers(connect(), ask("a"))


def test_a_server_that_is_not_there_is_named(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(ResourceError, match=r"did not answer in 5 attempts .*mend synthesis\.base_url"):
        OpenAIEngine(server.url, "m", identity="x", wait_seconds=0.001)


def test_a_server_that_is_lost_for_a_while_costs_some_passages_and_for_good_ends_the_run(
    connect: Callable[..., OpenAIEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = connect()
    gone = [True, True, False, *[True] * LOST]

    def send(*_: Any) -> httpx.Response:
        if gone.pop(0):
            raise ResourceError("the server did not answer in 5 attempts")
        return httpx.Response(200, json={"choices": [{"message": {"content": "Oslo"}}]})

    monkeypatch.setattr(engine._sender, "send", send)
    found = [answers(engine, ask("a"))[0] for _ in range(3 + LOST - 1)]
    assert [reply.error for reply in found[:3]] == ["the server did not answer in 5 attempts"] * 2 + [None]
    assert all(reply.error for reply in found[3:])
    with pytest.raises(ResourceError, match="did not answer"):
        answers(engine, ask("a"))


def test_a_batch_that_memory_does_not_hold_is_halved(
    transformers_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(transformers_engine, *REQUESTS)
    decode, sizes = transformers_engine._decode, []

    def small(rows: list[Any]) -> Any:
        sizes.append(len(rows))
        if len(rows) > 2:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.\ntrace")
        return decode(rows)

    monkeypatch.setattr(transformers_engine, "_decode", small)
    assert answers(transformers_engine, *REQUESTS) == expected
    assert sizes == [6, 3, 1, 2, 3, 1, 2]


def test_a_request_that_memory_does_not_hold_alone_fails_and_other_errors_end_the_run(
    transformers_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(rows: list[Any]) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(transformers_engine, "_decode", full)
    replies = answers(transformers_engine, *REQUESTS[:2])
    assert all("out of memory with a prompt of" in (reply.error or "") for reply in replies)

    def broken(rows: list[Any]) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(transformers_engine, "_decode", broken)
    transformers_engine.submit("a", REQUESTS[0])
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        transformers_engine.collect()
