"""What the diagnostics find in memories whose content is known."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clara.evaluation.diagnostics import diagnose, lens_words, nearest_tokens, training_end
from clara.evaluation.results import Diagnostics
from clara.model.clara import ClaraModel
from tests import tiny

HISTORY = [
    {"step": 0, "split": "validation", "loss": 5.0},
    {"step": 1, "split": "train", "loss": 4.9, "grad_norm": 5.0, "grad_norm_generator": 9.0},
    {"step": 2, "split": "train", "loss": 4.5, "grad_norm": 5.0, "grad_norm_generator": 3.0, "grad_norm_compressor": 4},
    {"step": 2, "split": "validation", "loss": 4.25},
]


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in HISTORY))
    return path


def tokens_of(model: ClaraModel, text: str) -> list[int]:
    ids: list[int] = model.backbone.tokenizer.encode(text, add_special_tokens=False)
    return ids


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_memory_that_is_a_tokens_embedding_is_nearest_to_it(
    family: str, make_model: Callable[..., ClaraModel]
) -> None:
    model = make_model(family).eval()
    ids = tokens_of(model, " city painter")[:2]
    table = model.backbone.model.get_input_embeddings().weight.detach()
    memory = 3 * table[ids]
    table[5] = 50 * table[ids].sum(0)  # a long vector between both, whose products are greater and cosines are not
    names = [model.backbone.tokenizer.decode([token]).strip() for token in ids]
    assert [row[0] for row in nearest_tokens(model, memory)] == names


def test_the_lens_reads_words_through_the_head_and_leaves_out_what_is_none(
    make_model: Callable[..., ClaraModel],
) -> None:
    model = make_model("mistral").eval()
    head = model.backbone.model.get_output_embeddings().weight.detach()
    wanted, point = tokens_of(model, "city")[0], tokens_of(model, ".")[0]
    memory = 50 * torch.stack([head[wanted], head[point], head[model.backbone.tokenizer.eos_token_id]])
    words = lens_words(model, memory)
    assert words[0] == model.backbone.tokenizer.decode([wanted]).strip()
    assert "." not in words
    assert "<|end|>" not in words
    assert len(words) == len(set(words)) == 12


def test_the_end_of_a_training_is_its_last_losses_and_norms(history: Path) -> None:
    found = training_end(history)
    assert found["validation_loss"] == {"first": 5.0, "last": 4.25}
    assert found["gradient_norms"] == {"generator": 3.0, "compressor": 4}
    assert found["steps"] == 2


def test_a_checkpoint_from_elsewhere_has_no_history() -> None:
    assert training_end(None) == {"steps": 0, "validation_loss": None, "gradient_norms": {}}


def test_query_words_are_found_where_there_is_a_query_reasoner(model: ClaraModel, history: Path) -> None:
    model.eval()
    before = Diagnostics.model_validate(diagnose(model, tiny.questions(), history))
    assert before.questions == []
    assert [near.document for near in before.documents] == [tiny.TEXTS[0], tiny.TEXTS[1]]
    assert all(len(near.nearest) == 4 for near in before.documents)  # memories
    model.add_query_reasoner("compressor")
    after = Diagnostics.model_validate(diagnose(model, tiny.questions(), history))
    assert [lens.question for lens in after.questions] == [question.question for question in tiny.questions()[:2]]
    for lens in after.questions:
        assert lens.words
        assert all(word.lower() not in lens.question.lower() for word in lens.new)
        assert set(lens.new) <= set(lens.words)


def test_words_are_read_of_all_questions_that_are_named_once_each(model: ClaraModel, history: Path) -> None:
    model.eval()
    model.add_query_reasoner("compressor")
    asked = [question.question for question in tiny.questions()]
    found = Diagnostics.model_validate(diagnose(model, tiny.questions(), history, asked=[*asked, *asked]))
    assert [lens.question for lens in found.questions] == asked
    first = Diagnostics.model_validate(diagnose(model, tiny.questions(), history)).questions[0]
    assert found.questions[0] == first
    assert len(found.documents) == 2


def test_pooled_memories_of_untouched_embeddings_lie_near_words_of_their_document(
    make_model: Callable[..., ClaraModel], history: Path
) -> None:
    model = make_model(num_memory=16).eval()
    for module in model.roles.values():
        if getattr(module, "gate", None) is not None:
            module.gate.data.zero_()  # type: ignore[union-attr,operator]
    assert diagnose(model, tiny.questions(), history)["share_named"] > 0.9
