"""The gates on FLOPs: how much less our path computes than the plain one, on the shapes of SmolLM2-135M.

The model has that one's width, heads and feed-forward size, and 1/15 of its layers and of its vocabulary: every term
of the count is 1/15, so that the ratios are those of the whole model.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from clara.bench import measure, works
from clara.bench.works import Bench
from clara.evaluation.answering import Pool, Task, predictions
from clara.model import random_backbone
from clara.model.backbone import LoadedBackbone
from clara.model.backbone_card import BackboneCard
from clara.model.checkpoint import CheckpointCard, LoadedCheckpoint
from clara.model.clara import ClaraModel, Shape
from clara.model.compression import build_store
from clara.prompts import render
from clara.records import Passage, Question, document_id
from clara.tokens import end_of_turn_id

LAYERS, VOCABULARY = 2, 49152 * 2 // 30
DOCUMENT_TOKENS = 150
"""Mean over documents; they spread as the demo's do, by a standard deviation of 23."""


def language_model() -> LoadedBackbone:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=576, intermediate_size=1536, num_hidden_layers=LAYERS,
        num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True, max_position_embeddings=4096,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    tokenizer = random_backbone.train_tokenizer(VOCABULARY)
    return LoadedBackbone(
        model, tokenizer, end_of_turn_id(tokenizer), BackboneCard(Path("card.json"), Path(), "", "", "")
    )


def passage(number: int, tokens: int) -> Passage:
    text = " ".join(
        random.Random(number).choices(["river", "city", "the", "painter", "north", "founded"], k=tokens - 3)
    )
    return Passage(id=document_id(f"{number}\n{text}"), title=str(number), text=text)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    chance = random.Random(1)
    with pytest.MonkeyPatch.context() as patch:
        # So that prompts, questions and documents are about as many tokens as SmolLM2's tokenizer makes of them.
        words = " river city the painter north founded What who was by of in that left "
        prompts = render("answer_system") + render("answer_user", background="", question="")
        patch.setattr(random_backbone, "SAMPLE", random_backbone.SAMPLE + words * 3 + prompts)
        backbone = language_model()
    model = ClaraModel(backbone, Shape(16, 256, "pooled", 16, 32, 0.0))
    model.add_query_reasoner("compressor")
    card = CheckpointCard(
        stage="joint", shape=model.shape, backbone="", model_hash="", tokenizer_hash="", learned=[], roles=[]
    )
    loaded = LoadedCheckpoint(model.requires_grad_(False).eval(), card, "hash")
    lengths = [max(38, min(250, round(chance.gauss(DOCUMENT_TOKENS, 23)))) for _ in range(120)]
    passages = [passage(number, length) for number, length in enumerate(lengths)]
    questions = [
        Question(
            id=str(number), question="What was founded by the painter" + " of the city" * chance.randint(1, 4) + "?",
            golden_answers=["the painter of the north"], docs=[p.document for p in chance.sample(passages, 20)],
            pos_index=[0],
        )
        for number in range(32)
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("store")
    build_store(
        loaded,
        passages,
        folder / "manifest.json",
        state=folder / "state",
        dtype="float32",
        shard_documents=64,
        batch_tokens=4096,
    )
    return Bench(loaded, language_model(), passages, questions, folder / "manifest.json", answered=3)


def test_our_path_computes_that_much_less(bench: Bench) -> None:
    found = {}
    for work in works.works(bench):
        plain, ours = measure.flops(work.plain), measure.flops(work.ours)
        found[work.name] = (round(plain / ours, 2), round(work.flops_at_least, 2))
    missed = {name: pair for name, pair in found.items() if pair[0] < pair[1]}
    assert not missed, found
    assert [least for _, least in found.values()] == [1.5, 15, 1.9, 8, 25, 0.97]


def test_answers_in_batches_of_32_are_hardly_padded(bench: Bench) -> None:
    chance = random.Random(2)
    words = "who what river city founded painter of the in by that left north".split()
    texts = [" ".join(chance.choices(words, k=max(5, round(chance.gauss(16, 5))))) for _ in range(144)]
    asked = [
        bench.questions[0].model_copy(update={"id": str(number), "question": text}) for number, text in enumerate(texts)
    ]
    tasks = [Task(Pool("nq", "oracle", asked), question, None, None, [0, 1, 2]) for question in asked]
    tokens, real, padded = bench.loaded.model.tokens, 0, 0

    def length(task: Task) -> int:
        return len(tokens.answer_prompt(task.question.question, 3))

    def answer(batch: Sequence[Task]) -> list[str]:
        nonlocal real, padded
        real += sum(map(length, batch))
        padded += max(map(length, batch)) * len(batch)
        return [""] * len(batch)

    predictions("x", tasks, answer, length=length, batch_size=32, done_file=None)
    assert 0 < 1 - real / padded <= 0.04
