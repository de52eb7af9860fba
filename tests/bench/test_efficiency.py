"""What an answer costs: the parts that do not depend on the clock, and that nothing is left out."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from clara.bench import efficiency
from clara.evaluation.answering import Pool
from clara.model import checkpoint
from clara.model.clara import ClaraModel
from clara.model.store import MemoryStore
from tests import tiny


def test_questions_are_taken_from_the_pools_in_turn() -> None:
    first, second = Pool("nq", "oracle", tiny.questions()), Pool("x", "oracle", [tiny.question(7, docs=[0], gold=[0])])
    assert [asked.id for asked in efficiency.choose([first, second], 3)] == ["q0", "q7", "q1"]


def test_the_index_of_text_is_no_part_of_a_search(
    model: ClaraModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(efficiency.Bm25):
        def __init__(self, documents: Sequence[str], *, k1: float, b: float) -> None:
            time.sleep(0.3)
            super().__init__(documents, k1=k1, b=b)

    monkeypatch.setattr(efficiency, "Bm25", Slow)
    model.add_query_reasoner("compressor")
    loaded = checkpoint.load(tiny.save(model, tmp_path, stage="joint"), dtype="float32")
    store, bare = MemoryStore(tiny.store(loaded, tmp_path)), tiny.fresh(model.backbone)
    found = efficiency.measure(
        loaded.model, bare, store, tiny.questions()[:1], top_k=2, new_tokens=2, k1=0.9, b=0.4
    )  # fmt: skip
    assert 0 < found["ways"]["text"]["search_seconds"] < 0.3


def test_both_ways_are_measured_on_the_same_questions(model: ClaraModel, tmp_path: Path) -> None:
    model.add_query_reasoner("compressor")
    loaded = checkpoint.load(tiny.save(model, tmp_path, stage="joint"), dtype="float32")
    store = MemoryStore(tiny.store(loaded, tmp_path))
    asked = [tiny.questions()[0]]
    found = efficiency.measure(
        loaded.model, tiny.fresh(model.backbone), store, asked, top_k=2, new_tokens=4, k1=0.9, b=0.4
    )
    memories, text = found["ways"]["memories"], found["ways"]["text"]
    assert memories["prompt_tokens"] == len(loaded.model.tokens.answer_prompt(asked[0].question, 2))
    assert text["prompt_tokens"] > memories["prompt_tokens"]
    config = model.backbone.model.config
    width = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    for cost in (memories, text):
        # the prompt and all tokens but the last are read; float32 keys and values of every layer
        assert cost["cache_bytes"] == width * (cost["prompt_tokens"] + 3)
        assert cost["answer_seconds"] == pytest.approx(cost["first_token_seconds"] + cost["decode_seconds"], rel=1e-3)
        assert cost["tokens_per_second"] == pytest.approx(3 / cost["decode_seconds"], rel=1e-3)
    assert memories["compress_seconds"] > 0 == text["compress_seconds"]
    assert found["stored_bytes_per_document"] == 4 * model.backbone.hidden_size * 4
    assert found["device"] == ("cpu" if not torch.cuda.is_available() else torch.cuda.get_device_name())
