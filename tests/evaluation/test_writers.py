"""Answers by vLLM are those by transformers; where vLLM cannot run, the settings say so or fall back."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from clara.config.evaluation import Generation
from clara.errors import ConfigError
from clara.evaluation import writers
from clara.model import backbone, backbone_folder, checkpoint, vllm_door, vllm_writer
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from tests import tiny

FAMILIES = ("llama", "qwen2", "phi3")


def generation(engine: Any, **changes: Any) -> Generation:
    return Generation(**{"max_new_tokens": 12, "batch_size": 3, "engine": engine, **changes})


def answers(card: Path, engine: str) -> tuple[list[str], list[str]]:
    """Answers from memories, among prompts of unequal length, and the backbone's own from nothing."""
    model = checkpoint.load(card, dtype="float32", inference=True).model
    documents = [model.tokens.to_compress(text) for text in tiny.TEXTS]
    with torch.inference_mode():
        memories = model.encode("compressor", documents).vectors
    counts = [2, 1, 3]
    prompts = [
        model.tokens.answer_prompt(f"Where is {n * 'the city of '}Aro?", count) for n, count in enumerate(counts)
    ]
    with writers.from_memories(model, generation(engine), card.parent / "scratch") as writer:
        ours = writer.write(prompts, memories)
    plain = [model.tokens.answer_prompt(f"Who is {n}?", ["Aro is a city."]) for n in range(3)]
    bare = backbone.load(model.backbone.card, dtype="float32")
    with writers.from_text(bare, generation(engine)) as writer:
        return ours, writer.write(plain, None)


def louder(family: str, folder: Path) -> LoadedBackbone:
    """A random model whose layers say much: an untrained one else repeats its last token, whatever came before."""
    first = backbone.load(tiny.prepare(family, folder / f"{family}-first"), dtype="float32")
    for weight in first.body.layers.parameters():
        weight.data *= 4
    first.model.save_pretrained(folder / f"{family}-weights")
    first.tokenizer.save_pretrained(folder / f"{family}-weights")
    card = folder / f"{family}-backbone" / "card.json"
    source = str(folder / f"{family}-weights")
    return backbone.load(
        backbone_folder.prepare(source, card, seed=0, revision=None, trust_remote_code=False), dtype="float32"
    )


def by_vllm(cards: list[Path]) -> list[tuple[list[str], list[str]]]:
    return [answers(card, "vllm") for card in cards]


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")  # vLLM and what it imports warn of their own affairs
def test_vllm_writes_from_memories_what_transformers_writes(tmp_path: Path) -> None:
    cards = [tiny.save(tiny.model(louder(family, tmp_path)), tmp_path / family, stage="joint") for family in FAMILIES]
    reason = vllm_door.obstacle(tmp_path / "llama-weights")
    if reason is not None:
        pytest.skip(reason)
    wanted = [answers(card, "transformers") for card in cards]
    # In a process of its own: on import vLLM looks into every loaded module, and not all of a test run's bear that.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        found = processes.submit(by_vllm, cards).result()
    assert found == wanted
    assert all(len(set(texts)) > 1 for pair in wanted for texts in pair)
    assert not [path for card in cards for path in (card.parent / "scratch").iterdir()]


def test_vllm_by_name_is_refused_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vllm_door, "obstacle", lambda folder: "the package vllm is not installed")
    with pytest.raises(ConfigError, match="engine = vllm cannot run here: the package vllm is not installed; install"):
        writers.engine_of("vllm", tmp_path)


@pytest.mark.parametrize(
    ("engine", "gpu", "reason", "chosen"),
    [
        ("auto", False, None, "transformers"),
        ("auto", True, None, "vllm"),
        ("auto", True, "no device", "transformers"),
        ("transformers", True, None, "transformers"),
        ("vllm", False, None, "vllm"),
    ],
)
def test_the_setting_chooses_the_engine(
    engine: Any, gpu: bool, reason: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vllm_door, "obstacle", lambda folder: reason)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert writers.engine_of(engine, tmp_path) == chosen


def test_a_fault_in_between_leaves_neither_a_folder_nor_a_changed_model(
    make_model: Callable[..., ClaraModel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vllm_door, "obstacle", lambda folder: None)
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    class Broken:
        def __init__(self, folder: Path, **_: Any) -> None:
            assert (folder / "config.json").exists()
            assert any(folder.glob("*.safetensors"))
            raise RuntimeError("broken")

    monkeypatch.setattr(vllm_writer, "VllmWriter", Broken)
    prompt = model.tokens.answer_prompt("Who?", None)

    def write() -> None:
        with writers.from_memories(model, generation("vllm"), tmp_path) as writer:
            assert writer.batch_size == writers.VLLM_BATCH
            writer.write([prompt], None)

    with pytest.raises(RuntimeError, match="broken"):
        write()
    assert not list(tmp_path.iterdir())
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
