"""Chats in the form of templates with a system role, without one, and of tokenizers without a template."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from clara.model.model_folder import read_tokenizer
from clara.synthesis.chat import ChatForm
from clara.synthesis.engine import Message, Request, Sampling
from clara.synthesis.engine_generate import GenerateLoop
from clara.synthesis.engine_transformers import TransformersEngine
from tests.synthesis.test_engines import answers
from tests.test_tokens import ALTERNATING, NO_SYSTEM, SILENT

TEMPLATES = [NO_SYSTEM, ALTERNATING, SILENT, None]
CHAT = (
    Message("system", "the river"),
    Message("user", "Who built it"),
    Message("assistant", "Oslo"),
    Message("user", "the green glass is old " * 20 + "\n\nWhen"),
)


def with_template(folder: Path, template: str | None, target: Path) -> Path:
    """A copy of a model's folder with another chat template, or none."""
    shutil.copytree(folder, target)
    (target / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer: Any = read_tokenizer(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(target)
    assert read_tokenizer(target).chat_template == template
    return target


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_system_turn_begins_the_first_turn_of_the_user_where_it_has_no_place(
    template: str | None, tiny_model: Path
) -> None:
    tokenizer: Any = read_tokenizer(tiny_model)
    tokenizer.chat_template = template
    text = " ".join(tokenizer.decode(ChatForm(tokenizer).ids(CHAT)).split())
    assert "the river Who built it" in text
    assert text.index("Oslo") < text.index("the green glass")
    assert text.count("the river") == 1


def test_a_template_with_a_system_role_keeps_its_turn(tiny_model: Path) -> None:
    tokenizer: Any = read_tokenizer(tiny_model)
    ids = ChatForm(tokenizer).ids(CHAT)
    messages = [message._asdict() for message in CHAT]
    assert ids == tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert "system the river" in tokenizer.decode(ids)


@pytest.mark.parametrize("template", [ALTERNATING, None])
def test_engines_answer_without_a_system_role_and_without_a_template(
    template: str | None, tiny_model: Path, tmp_path: Path
) -> None:
    folder = with_template(tiny_model, template, tmp_path / "model")
    shared = CHAT[-1].content.index("\n\n")
    asked = [
        Request((*CHAT[:3], CHAT[3]._replace(content=CHAT[3].content + more)), Sampling(0.0, 1.0, 6, 0), shared=shared)
        for more in ("", " was it built")
    ]
    plain = answers(GenerateLoop(folder, dtype="float32"), *asked)
    assert answers(TransformersEngine(folder, dtype="float32", identity="x"), *asked) == plain
    assert plain[0].prompt_tokens > 100
