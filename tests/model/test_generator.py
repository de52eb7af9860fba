from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clara.config.model import RANDOM_FAMILIES
from clara.errors import CheckpointError, ConfigError
from clara.losses import alignment_losses, token_losses
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.clara import ClaraModel
from clara.model.generator import generate
from clara.model.streaming import stream
from clara.model.vllm_writer import prompt_vectors
from tests import tiny

ANSWERS = ["north", "In 1887, by 12 people.", "x"]


def embed(model: ClaraModel, ids: list[int], memories: list[Tensor]) -> Tensor:
    """Input embeddings `[1, tokens, dim]`, token by token."""
    added, waiting = model.added, list(memories)
    table = model.backbone.model.get_input_embeddings()
    rows = []
    for token in ids:
        if token == added.slot:
            rows.append(waiting.pop(0))
        elif token == added.sep:
            rows.append(model.generator.rows[0])
        else:
            rows.append(table(torch.tensor(token)))
    assert not waiting
    return torch.stack(rows)[None]


class Numbers:
    """Decodes to the ids themselves, so that answers of a random model can be told apart."""

    def __init__(self, end: int) -> None:
        self.end = end

    def batch_decode(self, rows: Tensor, skip_special_tokens: bool) -> list[str]:
        return [" ".join(str(token) for token in row if token != self.end) for row in rows.tolist()]


class Spaced:
    def batch_decode(self, rows: Tensor, skip_special_tokens: bool) -> list[str]:
        assert skip_special_tokens
        return [" Aro \n"] * len(rows)


def memories_for(model: ClaraModel, count: int) -> Tensor:
    with torch.no_grad():
        return model.encode(COMPRESSOR, [model.tokens.to_compress(text) for text in tiny.TEXTS[:count]]).vectors


def inputs(model: ClaraModel, kind: str) -> tuple[list[list[int]], Tensor | None, list[list[Tensor]]]:
    """Prompts, memories, and the memory vectors of each prompt."""
    counts = {"memories": [2, 1, 0], "text": [0, 0, 0], "none": [0, 0, 0]}[kind]
    found = memories_for(model, sum(counts)) if kind == "memories" else None
    backgrounds: dict[str, list[int | list[str] | None]] = {
        "memories": [2, 1, None],
        "text": [tiny.TEXTS[:2], tiny.TEXTS[2:3], None],
        "none": [None, None, None],
    }
    documents = backgrounds[kind]
    prompts = [model.tokens.answer_prompt(f"Who left? {'again ' * n}", part) for n, part in enumerate(documents)]
    split = [list(part.flatten(0, 1)) for part in found.split(counts)] if found is not None else [[], [], []]
    return prompts, found, split


@pytest.mark.parametrize("family", RANDOM_FAMILIES)
@pytest.mark.parametrize("kind", ["memories", "text", "none"])
def test_losses_equal_those_of_whole_logits_one_by_one(
    kind: str, family: str, make_model: Callable[..., ClaraModel]
) -> None:
    model = make_model(family).eval()
    prompts, memories, split = inputs(model, kind)
    targets = [model.tokens.target(answer, max_tokens=20) for answer in ANSWERS]
    with torch.no_grad():
        found = model.losses(prompts, targets, memories)
        for number, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
            with model.adapters.using(GENERATOR):
                logits = model.backbone.model(inputs_embeds=embed(model, prompt + target, split[number])).logits[0]
            log_p = logits[len(prompt) - 1 : -1].log_softmax(-1)
            wanted = -sum(log_p[place, token] for place, token in enumerate(target))
            torch.testing.assert_close(found.sums[number], wanted, atol=1e-4, rtol=1e-5)
            assert found.counts[number] == len(target)


@pytest.mark.parametrize("family", RANDOM_FAMILIES)
@pytest.mark.parametrize("kind", ["memories", "text", "none"])
def test_answers_equal_those_of_a_step_by_step_greedy_writer(
    kind: str, family: str, make_model: Callable[..., ClaraModel]
) -> None:
    model = make_model(family).eval()
    model.backbone.tokenizer = Numbers(model.backbone.end_of_turn)
    for weight in model.backbone.body.layers.parameters():
        weight.data *= 8  # an untrained model else repeats its last token, whatever came before
    prompts, memories, split = inputs(model, kind)
    with torch.no_grad(), model.adapters.using(GENERATOR):
        texts = generate(model.backbone, model.generator, prompts, memories, model.added, max_new_tokens=6)
        for prompt, own, text in zip(prompts, split, texts, strict=True):
            written: list[int] = []
            while len(written) < 6:
                token = int(
                    model.backbone.model(inputs_embeds=embed(model, prompt + written, own)).logits[0, -1].argmax()
                )
                if token == model.backbone.end_of_turn:
                    break
                written.append(token)
            assert text == " ".join(map(str, written))
    assert len(set(texts)) > 1


def test_an_answer_ends_where_the_turn_ends(model: ClaraModel) -> None:
    model.eval()
    model.backbone.tokenizer = Numbers(model.backbone.end_of_turn)
    prompts = [model.tokens.answer_prompt("Who?", None)]
    with torch.no_grad():
        first = int(model.backbone.model(torch.tensor(prompts)).logits[0, -1].argmax())
    assert generate(model.backbone, None, prompts, None, model.added, max_new_tokens=5)[0].startswith(str(first))
    model.backbone.end_of_turn = model.backbone.tokenizer.end = first
    assert generate(model.backbone, None, prompts, None, model.added, max_new_tokens=5) == [""]


def test_white_space_around_an_answer_is_removed(model: ClaraModel) -> None:
    model.eval()
    model.backbone.tokenizer = Spaced()
    prompts = [model.tokens.answer_prompt("Who?", None)]
    assert generate(model.backbone, None, prompts, None, model.added, max_new_tokens=1) == ["Aro"]


@pytest.mark.parametrize("given", [None, 1, 3])
def test_slots_that_do_not_match_the_memories_are_refused(given: int | None, model: ClaraModel) -> None:
    prompt, target = model.tokens.answer_prompt("Who?", 2), model.tokens.target("x", max_tokens=4)
    memories = None if given is None else torch.zeros(given, 4, 64)
    came = 0 if given is None else 4 * given
    with pytest.raises(CheckpointError, match=f"places for 8 memory vectors, but {came} came"):
        model.losses([prompt], [target], memories)
    with pytest.raises(CheckpointError, match=f"places for 8 memory vectors, but {came} came"):
        generate(model.backbone, model.generator, [prompt], memories, model.added, max_new_tokens=1)
    with pytest.raises(CheckpointError, match=f"places for 8 memory vectors, but {came} came"):
        stream(
            model.backbone, model.generator, [prompt], memories, model.added, max_new_tokens=[1],
            on_text=lambda row, text: None, stopped=lambda row: False,
        )  # fmt: skip
    with pytest.raises(CheckpointError, match=f"places for 8 memory vectors, but {came} came"):
        prompt_vectors(model, [prompt], memories)


def test_memories_without_a_place_for_them_are_refused(model: ClaraModel) -> None:
    ids = torch.tensor([model.tokens.answer_prompt("Who?", None)])
    with pytest.raises(CheckpointError, match="places for 0 memory vectors, but 4 came"):
        model.generator.embed(model.backbone, ids, torch.zeros(1, 4, 64), model.added)


def test_what_exceeds_the_models_context_is_refused_by_its_length(model: ClaraModel) -> None:
    prompt, target = model.tokens.answer_prompt("Who?", None), model.tokens.target("x", max_tokens=4)
    full = len(prompt) + len(target)
    model.backbone.model.config.max_position_embeddings = full
    model.losses([prompt], [target], None)
    said = f"at most {full}; lower top_k"
    with pytest.raises(ConfigError, match=f"prompt of a batch takes {full + 1} tokens, but the .* {said}"):
        model.losses([prompt], [[5, *target]], None)
    with pytest.raises(ConfigError, match=rf"longest prompt with 9 tokens of answer takes {len(prompt) + 9} .* {said}"):
        generate(model.backbone, None, [prompt], None, model.added, max_new_tokens=9)
    model.backbone.model.config.max_position_embeddings = 20
    with pytest.raises(ConfigError, match=r"the longest text or prompt of a batch takes \d+ tokens"):
        memories_for(model, 2)


def test_a_loss_is_the_same_in_another_batch(model: ClaraModel) -> None:
    model.eval()
    prompts, _, _ = inputs(model, "text")
    targets = [model.tokens.target(answer, max_tokens=20) for answer in ANSWERS]
    with torch.no_grad():
        together = model.losses(prompts, targets, None).sums
        backwards = model.losses(prompts[::-1], targets[::-1], None).sums.flip(0)
    torch.testing.assert_close(together, backwards, atol=1e-4, rtol=0)


def test_token_losses_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [1.0, 3.0]])
    expected = [0.693147, 2.126928]  # log 2; log(1 + e²)
    assert token_losses(logits, torch.tensor([0, 0])).tolist() == pytest.approx(expected, abs=1e-5)


def test_alignment_losses_by_hand_reach_both_sides_in_float32() -> None:
    document = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    memory = torch.tensor([[0.0, 4.0], [0.0, 0.0]], requires_grad=True)
    found = alignment_losses(document, memory)
    assert found.tolist() == [2.5, 0.0]  # (1 + 4) / 2
    found.sum().backward()
    assert document.grad is not None
    assert memory.grad is not None
    assert document.grad[0].tolist() == [1.0, -2.0]
    assert torch.equal(memory.grad, -document.grad)
    assert alignment_losses(document.bfloat16(), memory.bfloat16()).dtype == torch.float32
