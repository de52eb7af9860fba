"""The server, asked by OpenAI's own client and by plain HTTP."""

import asyncio
import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy
import openai
import pytest
import torch

from clara.evaluation.answerable import Calibration
from clara.model.answers import UNKNOWN
from clara.server.app import _Routes
from clara.server.jobs import Job, Piece
from clara.server.limits import Limits
from clara.serving import Clara
from tests import tiny
from tests.server.conftest import Gate, World, client, serving

QUESTIONS = ["Who left?", "Where does the river end?", "Where is Aro?", "Who lived in Cid?", "What is second?"]


def asked(question: str, **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": question}], "max_tokens": 6, **more}


def test_openais_client_gets_the_models_answer(world: World) -> None:
    (answer,) = world.model.answer(QUESTIONS[:1], store=world.store, k=2, max_new_tokens=6)
    with serving(world) as address:
        found = client(address).chat.completions.create(**asked(QUESTIONS[0]))
        assert client(address).models.list().data[0].id == "tiny"
    assert found.choices[0].message.content == answer.text
    assert found.usage
    assert found.choices[0].finish_reason == ("length" if found.usage.completion_tokens == 6 else "stop")
    read = found.model_extra["clara"]["documents"] if found.model_extra else []
    assert [row["document"] for row in read] == answer.documents
    assert [row["score"] for row in read] == pytest.approx(answer.scores, abs=1e-5)


def test_a_streamed_answer_is_the_answer(world: World) -> None:
    (answer,) = world.model.answer(QUESTIONS[:1], store=world.store, k=2, max_new_tokens=6)
    with serving(world) as address:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client(address).chat.completions.create(**asked(QUESTIONS[0], **options)))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == answer.text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] in ("length", "stop")
    assert chunks[-1].usage


def test_questions_at_the_same_time_are_answered_together_each_as_alone(world: World) -> None:
    alone = [world.model.answer([question], store=world.store, k=2, max_new_tokens=6)[0].text for question in QUESTIONS]
    with serving(world, wait_seconds=0.3) as address, ThreadPoolExecutor(5) as pool:
        api = client(address)
        found = list(pool.map(lambda question: api.chat.completions.create(**asked(question)), QUESTIONS))
        told = httpx.get(f"{address}/metrics").text
    assert [each.choices[0].message.content for each in found] == alone
    assert 'clara_batch_requests_bucket{le="1.0"} 0.0' in told
    assert 'clara_requests_total{route="/v1/chat/completions",status="200"} 5.0' in told


def test_by_a_calibration_the_server_says_what_its_store_does_not_know(world: World) -> None:
    plain = world.model.answer(QUESTIONS, store=world.store, k=2, max_new_tokens=6)
    fitted = Calibration(**tiny.between(world.model.compressor_hash, [each.scores[0] for each in plain]))
    careful = World(Clara(world.model.loaded, fitted), world.store)
    with serving(careful, wait_seconds=0.3) as address, ThreadPoolExecutor(5) as pool:
        api = client(address)
        found = list(pool.map(lambda question: api.chat.completions.create(**asked(question)), QUESTIONS))
        explored = httpx.post(f"{address}/explore", json={"question": QUESTIONS[0]}, timeout=60).json()
    told = [each.model_extra["clara"] if each.model_extra else {} for each in found]
    assert sum(each["known"] for each in told) == len(QUESTIONS) - 1
    for each, one, answer in zip(found, told, plain, strict=True):
        assert each.choices[0].message.content == (answer.text if one["known"] else UNKNOWN)
        assert one["known"] == (one["probability"] >= 0.5)
    assert explored["systems"][0]["probability"] == pytest.approx(told[0]["probability"], abs=1e-3)


def test_own_candidates_and_another_k_are_taken(world: World) -> None:
    (answer,) = world.model.answer(QUESTIONS[:1], documents=[tiny.TEXTS[:3]], k=1, max_new_tokens=6)
    with serving(world) as address:
        extra = {"documents": tiny.TEXTS[:3], "k": 1}
        found = client(address).chat.completions.create(**asked(QUESTIONS[0]), extra_body=extra)
    assert found.choices[0].message.content == answer.text


def test_of_own_candidates_the_server_compresses_those_that_its_store_lacks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [tiny.TEXTS[1], "Gor\nGor lies in the west.", tiny.TEXTS[4]]
    (answer,) = world.model.answer(QUESTIONS[:1], documents=[documents], k=2, max_new_tokens=6)
    compressed, compress = list[str](), world.model.compress
    monkeypatch.setattr(world.model, "compress", lambda texts: (compressed.extend(texts), compress(texts))[1])
    with serving(world) as address:
        extra = {"documents": documents, "k": 2}
        found = client(address).chat.completions.create(**asked(QUESTIONS[0]), extra_body=extra)
    assert (found.choices[0].message.content, compressed) == (answer.text, documents[1:2])


def test_search_and_compress_give_what_python_gives(world: World) -> None:
    (hits,) = world.model.search(QUESTIONS[:1], store=world.store, k=3)
    memories = world.model.compress(tiny.TEXTS[:2])
    with serving(world) as address:
        found = httpx.post(f"{address}/search", json={"question": QUESTIONS[0], "k": 3}).json()["passages"]
        packed = httpx.post(f"{address}/compress", json={"texts": tiny.TEXTS[:2]}).json()
    assert [row["id"] for row in found] == [hit.id for hit in hits]
    vectors = numpy.frombuffer(base64.b64decode(packed["data"]), dtype="<f4").reshape(packed["shape"])
    assert torch.allclose(torch.from_numpy(vectors.copy()), memories, atol=1e-5)


def test_the_explorer_is_told_candidates_answers_and_words(world: World) -> None:
    (answer,) = world.model.answer(QUESTIONS[:1], store=world.store, k=2, max_new_tokens=48)
    with serving(world) as address:
        found = httpx.post(f"{address}/explore", json={"question": QUESTIONS[0]}, timeout=60).json()
    first, other = found["systems"]
    assert len(first["candidates"]) == len(tiny.TEXTS)
    assert first["selected"] == 2
    assert (first["answer"], first["probability"]) == (answer.text, None)
    assert (other["name"], other["answer"]) == ("other", answer.text)
    assert found["text"] != first["answer"]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/chat/completions", asked("x", model="gpt"), 404, "this server has tiny"),
        ("/v1/chat/completions", {"model": "tiny", "messages": []}, 400, "at least 1 item"),
        ("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "system", "content": "x"}]}, 400, "a user"),
        ("/v1/chat/completions", asked("  "), 400, "user message with text"),
        ("/v1/chat/completions", asked("x", n=2), 400, "n: Input should be 1"),
        ("/v1/chat/completions", asked("x", max_tokens=513), 400, "at most 512 tokens"),
        ("/v1/chat/completions", asked("x" * 4001), 400, "at most 4,000 characters"),
        (
            "/v1/chat/completions",
            {"model": "tiny", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "not image_url",
        ),
        ("/search", {"question": "x", "k": 51}, 400, "k of at most 50"),
        ("/search", {"question": " "}, 400, "got spaces"),
        ("/compress", {"texts": ["x"] * 65}, 400, "at most 64 texts"),
        ("/compress", {"texts": []}, 400, "at least 1 item"),
        ("/compress", {"texts": ["x", " "]}, 400, "texts.1: Value error, expected words"),
        ("/compress", {"texts": [""]}, 400, "at least 1 character"),
        (
            "/v1/chat/completions",
            asked("x") | {"documents": ["x", "\n"]},
            400,
            "documents.1: Value error, expected words",
        ),
        ("/nowhere", {}, 404, ""),
    ],
)
def test_a_bad_request_is_refused_in_one_sentence(
    world: World, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    with serving(world) as address:
        found = httpx.post(f"{address}{path}", json=body)
    assert found.status_code == status, found.text
    assert message in found.text


LONG = "river " * 200
"""More tokens than the model reads, fewer characters than a question may have."""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", asked(LONG)),
        ("/v1/chat/completions", asked(LONG, stream=True)),
        ("/v1/chat/completions", asked("Who left?") | {"documents": [tiny.TEXTS[0], LONG]}),
        ("/search", {"question": LONG}),
        ("/explore", {"question": LONG}),
        ("/compress", {"texts": [tiny.TEXTS[0], LONG]}),
    ],
)
def test_what_would_be_cut_is_refused(world: World, path: str, body: dict[str, Any]) -> None:
    with serving(world) as address:
        found = httpx.post(f"{address}{path}", json=body)
    kind = "a question" if "documents" not in body and "texts" not in body else "texts"
    count = len(world.model.model.tokens.text(LONG))
    assert (found.status_code, found.json()["error"]["type"]) == (400, "invalid_request_error")
    assert f"expected {kind} of at most 128 tokens, got {count}" in found.json()["error"]["message"]
    assert kind == "a question" or "in text 1; split it" in found.text


def test_a_document_of_the_store_is_read_whatever_its_length(world: World) -> None:
    tokens = world.model.model.tokens
    tokens.document_max_tokens = len(tokens.text("Who left?"))
    assert len(tokens.text(tiny.TEXTS[1])) > tokens.document_max_tokens
    (answer,) = world.model.answer(["Who left?"], documents=[[tiny.TEXTS[1]]], store=world.store, k=2, max_new_tokens=6)
    body = asked("Who left?") | {"documents": [tiny.TEXTS[1]]}
    with serving(world) as address:
        found = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60).json()
        packed = httpx.post(f"{address}/compress", json={"texts": [tiny.TEXTS[1]]})
    assert found["choices"][0]["message"]["content"] == answer.text
    assert packed.status_code == 400


def test_half_a_surrogate_pair_is_refused(world: World) -> None:
    with serving(world) as address:
        found = httpx.post(
            f"{address}/compress", content=b'{"texts": ["\\ud800"]}', headers={"content-type": "application/json"}
        )
    assert (found.status_code, "texts.0" in found.text) == (400, True), found.text


def test_what_is_no_json_or_too_large_is_refused_and_the_server_lives_on(world: World) -> None:
    with serving(world, body_bytes=1000) as address:
        broken = httpx.post(f"{address}/search", content=b"{", headers={"content-type": "application/json"})
        assert broken.status_code == 400
        assert httpx.post(f"{address}/search", json={"question": "x" * 2000}).status_code == 413
        assert httpx.post(f"{address}/search", content=b"x" * 9000).status_code == 413  # read to its end
        pieces = (b"x" * 600 for _ in range(5))  # no length is declared
        assert httpx.post(f"{address}/search", content=pieces).status_code == 413
        assert httpx.post(f"{address}/search", json={"question": "x"}).status_code == 200


def test_a_request_that_fails_spoils_no_other_of_its_batch(world: World) -> None:
    with serving(world, wait_seconds=0.3, new_tokens=10**6) as address, ThreadPoolExecutor(2) as pool:
        good = pool.submit(client(address).chat.completions.create, **asked(QUESTIONS[0]))
        bad = pool.submit(client(address).chat.completions.create, **asked("x", max_tokens=10**6))
        with pytest.raises(openai.BadRequestError, match="reads at most"):
            bad.result()
        assert good.result().choices


def test_a_store_that_is_taken_away_is_the_servers_fault(world: World) -> None:
    with serving(world) as address:
        (world.store.folder / "documents.parquet").unlink()
        found = httpx.post(f"{address}/search", json={"question": "Who left?"})
    assert found.status_code == 500
    assert "documents.parquet is missing or damaged" in found.json()["error"]["message"]


def test_a_key_is_asked_for_but_not_for_health(world: World) -> None:
    with serving(world, key="secret") as address:
        with pytest.raises(openai.AuthenticationError, match="expected the server's key"):
            client(address, key="wrong").models.list()
        assert client(address, key="secret").models.list().data
        assert httpx.get(f"{address}/healthz").json()["status"] == "ok"
        assert httpx.get(f"{address}/metrics").status_code == 401


def test_a_page_elsewhere_cannot_reach_a_local_server_under_its_own_name(world: World) -> None:
    with serving(world) as address:
        assert httpx.get(f"{address}/v1/models", headers={"host": "evil.example"}).status_code == 400


def test_beyond_the_queue_requests_are_turned_away_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(world.model, monkeypatch)
    with serving(world, waiting=1, batch=1) as address, ThreadPoolExecutor(2) as pool:
        api = client(address)
        first = pool.submit(api.chat.completions.create, **asked(QUESTIONS[0]))
        assert gate.entered.wait(30)
        second = pool.submit(api.chat.completions.create, **asked(QUESTIONS[1]))
        while httpx.get(f"{address}/healthz").json()["waiting"] < 1:
            time.sleep(0.01)
        with pytest.raises(openai.RateLimitError, match="wait already"):
            api.chat.completions.create(**asked(QUESTIONS[2]))
        gate.open()
        assert first.result().choices
        assert second.result().choices


def test_a_request_that_takes_too_long_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(world.model, monkeypatch)
    with serving(world, timeout_seconds=0.3) as address:
        with pytest.raises(openai.InternalServerError, match=r"no answer within 0.3 seconds") as refused:
            client(address).chat.completions.create(**asked(QUESTIONS[0]))
        assert refused.value.status_code == 504
        with pytest.raises(openai.APIError, match=r"no answer within 0.3 seconds"):
            list(client(address).chat.completions.create(**asked(QUESTIONS[0], stream=True)))
        gate.open()
        monkeypatch.undo()


def test_a_client_that_stalls_is_told_that_it_is_late_and_its_work_ends() -> None:
    async def read() -> tuple[list[str], bool, bool]:
        job = Job("answer", ["Who?"])
        routes = _Routes.__new__(_Routes)
        routes.name, routes.limits = "tiny", Limits(timeout_seconds=0.2)
        got = []
        async for event in routes._streamed(job, "id", usage=False):
            got.append(event)
            if len(got) == 1:
                job.give(Piece("word"))
            elif len(got) == 2:
                going_on = not job.gone.is_set()
                await asyncio.sleep(0.4)  # the sender waits for the client, here beyond the limit
        return got, going_on, job.gone.is_set()

    got, going_on, gone = asyncio.run(read())
    assert ["word" in event for event in got] == [False, True, False]
    assert "no answer within 0.2 seconds" in got[-1]
    assert (going_on, gone) == (True, True)


def test_a_request_whose_client_has_left_is_not_worked_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, searched = Gate(world.model, monkeypatch), list[list[str]]()
    search = world.model.search
    monkeypatch.setattr(
        world.model, "search", lambda questions, **more: searched.append(questions) or search(questions, **more)
    )
    with serving(world, batch=1) as address, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client(address).chat.completions.create, **asked(QUESTIONS[0]))
        assert gate.entered.wait(30)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/search", json={"question": "left"}, timeout=httpx.Timeout(30, read=2))
        end = time.monotonic() + 30
        while "499" not in (told := httpx.get(f"{address}/metrics").text) and time.monotonic() < end:
            time.sleep(0.05)
        assert 'clara_requests_total{route="/search",status="499"} 1.0' in told
        gate.open()
        assert first.result().choices
        assert httpx.post(f"{address}/search", json={"question": "stays"}, timeout=60).status_code == 200
    assert searched == [["stays"]]


def test_a_client_that_leaves_ends_the_writing(world: World) -> None:
    with serving(world, new_tokens=1500) as address:
        body = asked(QUESTIONS[0], max_tokens=1500, stream=True)
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=60) as response:
            next(response.iter_lines())
        started = time.perf_counter()
        assert client(address).chat.completions.create(**asked(QUESTIONS[1])).choices
        assert time.perf_counter() - started < 3


def test_accepted_requests_are_answered_when_the_server_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(world.model, monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        with serving(world, batch=1) as address:
            waiting = [pool.submit(client(address).chat.completions.create, **asked(text)) for text in QUESTIONS[:4]]
            while httpx.get(f"{address}/healthz").json()["waiting"] < 3:
                time.sleep(0.01)
            threading.Timer(0.5, gate.open).start()  # the server is stopping by then
        assert all(each.result().choices for each in waiting)
