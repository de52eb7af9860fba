"""Answers by vLLM behind the server: what joins late, leaves early or fails; and vLLM itself, where it runs."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from torch import Tensor

from clara.errors import ConfigError, ResourceError
from clara.evaluation.answerable import Calibration
from clara.model import checkpoint, vllm_door
from clara.model.answers import UNKNOWN
from clara.model.store import MemoryStore
from clara.model.vllm_writer import Step
from clara.server.continuous import Continuous, writer_of
from clara.serving import Clara, load
from tests import tiny
from tests.evaluation.test_writers import louder
from tests.server.conftest import World, client, serving
from tests.server.test_app import QUESTIONS, asked


class ByTransformers:
    """Stands in for vLLM: the same greedy answers, a token of each under way a step."""

    def __init__(self, world: World) -> None:
        self.model = world.model.model
        self.left: dict[str, list[int]] = {}
        self.limits: dict[str, int] = {}
        self.most = 0
        self.dropped: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.lone_steps: int | None = None
        """How many steps a text may take alone before it waits for another to join; None: any number."""
        self.broken = False

    def add(self, key: str, prompt: Tensor, *, max_new_tokens: int) -> None:
        if len(prompt) + max_new_tokens > 400:
            raise ConfigError("a prompt of many tokens exceeds vllm's context")
        end = self.model.backbone.end_of_turn
        with torch.inference_mode(), self.model.adapters.using("generator"):
            found = self.model.backbone.model.generate(
                inputs_embeds=prompt[None], max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=end,
                pad_token_id=end,
            )  # fmt: skip
        self.left[key], self.limits[key] = found[0].tolist(), max_new_tokens
        self.most = max(self.most, len(self.left))

    def step(self) -> list[Step]:
        assert self.gate.wait(30)
        assert self.left, "there is something to do"
        if self.broken:
            raise ResourceError("vllm broke down: no memory")
        if self.lone_steps is not None and len(self.left) == 1:
            if self.lone_steps == 0:
                time.sleep(0.001)
                return []
            self.lone_steps -= 1
        steps = []
        for key, ids in list(self.left.items()):
            token, last = ids.pop(0), not ids
            ended_itself = token == self.model.backbone.end_of_turn
            steps.append(Step(key, [] if ended_itself else [token], last, last and not ended_itself))
            if last:
                del self.left[key]
        return steps

    def drop(self, keys: list[str]) -> None:
        self.dropped += keys
        for key in keys:
            del self.left[key]


@pytest.fixture
def writer(world: World) -> Iterator[ByTransformers]:
    made = ByTransformers(world)
    yield made
    assert not made.left, "nothing stays behind"


def texts(address: str, questions: list[str], **more: Any) -> list[str | None]:
    with ThreadPoolExecutor(len(questions)) as pool:
        api = client(address)
        found = list(pool.map(lambda question: api.chat.completions.create(**asked(question, **more)), questions))
    return [each.choices[0].message.content for each in found]


def test_answers_are_those_of_the_model_and_written_together(world: World, writer: ByTransformers) -> None:
    plain = world.model.answer(QUESTIONS, store=world.store, k=2, max_new_tokens=6)
    writer.gate.clear()
    with serving(world, writer=writer) as address:
        threading.Timer(1.0, writer.gate.set).start()
        assert texts(address, QUESTIONS) == [each.text for each in plain]
        chunks = list(client(address).chat.completions.create(**asked(QUESTIONS[0], stream=True)))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain[0].text
        assert httpx.post(f"{address}/search", json={"question": "Who left?", "k": 1}).status_code == 200
    assert writer.most > 1


def test_a_late_request_joins_those_under_way_and_ends_before_them(world: World, writer: ByTransformers) -> None:
    with serving(world, writer=writer) as address:
        api = client(address)
        body = {**asked(QUESTIONS[0], max_tokens=300, stream=True), "k": 1}
        writer.lone_steps = 20
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=60) as slow:
            lines = slow.iter_lines()
            next(lines)
            assert api.chat.completions.create(**asked(QUESTIONS[1], max_tokens=2)).choices
            under_way = bool(writer.left)
            writer.lone_steps = None
            rest = list(lines)
    assert under_way, "the long answer is not waited for"
    assert rest[-2] == "data: [DONE]"


def test_an_answer_that_nobody_waits_for_is_dropped(world: World, writer: ByTransformers) -> None:
    with serving(world, writer=writer) as address:
        body = asked(QUESTIONS[0], max_tokens=300, stream=True)
        writer.gate.clear()
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=60) as response:
            next(response.iter_lines())
        writer.gate.set()
        assert texts(address, QUESTIONS[1:2])
    assert len(writer.dropped) <= 1  # it may have been over by then


def test_what_cannot_be_written_is_told_and_the_server_lives_on(world: World, writer: ByTransformers) -> None:
    with serving(world, writer=writer) as address:
        with pytest.raises(openai.BadRequestError, match="exceeds vllm's context"):
            client(address).chat.completions.create(**asked(QUESTIONS[0], max_tokens=400))
        writer.broken = True
        with pytest.raises(openai.InternalServerError, match="vllm broke down: no memory"):
            client(address).chat.completions.create(**asked(QUESTIONS[0]))
        end = time.monotonic() + 30
        while writer.left and time.monotonic() < end:  # the client is told first
            time.sleep(0.01)
        assert not writer.left, "the engine is told too"
        health = httpx.get(f"{address}/healthz")
        assert (health.status_code, health.json()["status"]) == (503, "failed")
        assert (health.json()["engine"], health.json()["thread"]) == ("failed", "ok")
        writer.broken = False
        assert texts(address, QUESTIONS[:1])
        assert httpx.get(f"{address}/healthz").json()["status"] == "ok"


def test_an_engine_that_cannot_drop_ends_no_other_answer(
    world: World, writer: ByTransformers, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain,) = world.model.answer(QUESTIONS[1:2], store=world.store, k=2, max_new_tokens=6)

    def dead(keys: list[str]) -> None:
        writer.dropped += keys
        raise RuntimeError("the engine is dead")

    monkeypatch.setattr(writer, "drop", dead)
    with serving(world, writer=writer) as address:
        writer.gate.clear()
        body = {**asked(QUESTIONS[0], max_tokens=300, stream=True), "k": 1}
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=60) as response:
            lines = response.iter_lines()  # kept: with it goes the connection
            next(lines)
            while not writer.left:
                time.sleep(0.01)
        time.sleep(0.3)  # until the server has seen it go
        writer.gate.set()
        assert texts(address, QUESTIONS[1:2]) == [plain.text]
        assert httpx.get(f"{address}/healthz").json()["thread"] == "ok"
        assert writer.dropped
        writer.left.clear()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_model_thread_ends_who_waits_is_told_and_health_says_so(
    world: World, writer: ByTransformers, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = threading.Event()

    def ended(self: Continuous) -> None:
        entered.set()
        assert writer.gate.wait(30)
        raise SystemError("a fault of ours")

    monkeypatch.setattr(Continuous, "_advance", ended)
    with serving(world, writer=writer, batch=1) as address, ThreadPoolExecutor(2) as pool:
        writer.gate.clear()
        api = client(address)
        waiting = [pool.submit(api.chat.completions.create, **asked(question)) for question in QUESTIONS[:2]]
        assert entered.wait(30)
        while httpx.get(f"{address}/healthz").json()["waiting"] < 1:
            time.sleep(0.01)
        writer.gate.set()
        for each in waiting:
            with pytest.raises(openai.InternalServerError, match=r"model thread ended \(SystemError\); restart it"):
                each.result(30)
        health = httpx.get(f"{address}/healthz")
        assert (health.status_code, health.json()["thread"]) == (503, "ended")
        with pytest.raises(openai.InternalServerError, match="model thread ended") as refused:
            api.chat.completions.create(**asked(QUESTIONS[0]))
        assert refused.value.status_code == 503
        writer.left.clear()


def test_an_answer_that_a_client_waits_for_whole_is_dropped_when_it_leaves(
    world: World, writer: ByTransformers
) -> None:
    with serving(world, writer=writer) as address:
        writer.lone_steps = 3  # then it takes for ever
        body = {**asked(QUESTIONS[0], max_tokens=300), "k": 1}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/chat/completions", json=body, timeout=httpx.Timeout(30, read=1))
        end = time.monotonic() + 10
        while not writer.dropped and time.monotonic() < end:
            time.sleep(0.01)
        assert writer.dropped, "its place is free again"
        told = httpx.get(f"{address}/metrics").text
    assert 'clara_requests_total{route="/v1/chat/completions",status="499"} 1.0' in told


def test_what_the_store_does_not_know_is_not_written(world: World, writer: ByTransformers) -> None:
    (plain,) = world.model.answer(QUESTIONS[:1], store=world.store, k=2, max_new_tokens=6)
    never = tiny.between(world.model.compressor_hash, [plain.scores[0], plain.scores[0] + 1])
    careful = World(Clara(world.model.loaded, Calibration(**never)), world.store)
    with serving(careful, writer=writer) as address:
        assert texts(address, QUESTIONS[:1]) == [UNKNOWN]
    assert writer.most == 0


def test_vllm_by_name_is_refused_where_it_cannot_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_door, "obstacle", lambda folder: "the package vllm is not installed")
    with pytest.raises(ConfigError, match="--engine = vllm cannot run here"), writer_of(world.model.model, "vllm"):
        pass
    with writer_of(world.model.model, "auto") as chosen:
        assert chosen is None


def by_vllm(folder: Path, manifest: Path) -> list[str | None]:
    """What a server with vLLM answers to all questions at once."""
    world = World(load(folder), MemoryStore(manifest))
    with writer_of(world.model.model, "vllm") as real, serving(world, writer=real) as address:
        return texts(address, QUESTIONS)


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")  # vLLM and what it imports warn of their own affairs
def test_a_server_with_vllm_answers_as_the_model_does(tmp_path: Path) -> None:
    model = tiny.model(louder("llama", tmp_path), document_max_tokens=128)
    reason = vllm_door.obstacle(model.backbone.card.folder)
    if reason is not None:
        pytest.skip(reason)
    model.add_query_reasoner("compressor")
    tiny.save(model, tmp_path / "joint", stage="joint")
    loaded = load(tmp_path / "joint")
    manifest = tiny.store(checkpoint.load(tmp_path / "joint" / "card.json", dtype="float32"), tmp_path)
    plain = loaded.answer(QUESTIONS, store=MemoryStore(manifest), k=2, max_new_tokens=6)
    # In a process of its own: on import vLLM looks into every loaded module, and not all of a test run's bear that.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        assert processes.submit(by_vllm, tmp_path / "joint", manifest).result() == [each.text for each in plain]
