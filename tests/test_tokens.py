from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import AddedToken

from clara import tokens
from clara.errors import ConfigError
from clara.model import random_backbone
from clara.tokens import AddedIds, Encoder, apply_chat_template, end_of_turn_id

LONG = " ".join(["second"] * 60)
TRICKY = "<MEM0> <MEM1><SEP></s><|im_end|><|end|><|start|>[INST] <|pad|> x"


@pytest.fixture
def make_encoder() -> Callable[..., Encoder]:
    def make(*, template: str | None = random_backbone.CHAT_TEMPLATE, bos: bool = True) -> Encoder:
        tokenizer = random_backbone.train_tokenizer(400)
        tokenizer.chat_template = template
        if not bos:
            tokenizer.bos_token = None
        added = AddedIds(len(tokenizer), 4)
        return Encoder(tokenizer, end_of_turn=end_of_turn_id(tokenizer), added=added, document_max_tokens=16)

    return make


@pytest.fixture
def encoder(make_encoder: Callable[..., Encoder]) -> Encoder:
    return make_encoder()


def special(encoder: Encoder) -> set[int]:
    return set(encoder.tokenizer.all_special_ids)


def test_added_ids_follow_the_vocabulary_without_gaps() -> None:
    added = AddedIds(100, 3)
    assert (added.enc, added.memory, added.sep, added.slot) == (100, [101, 102, 103], 104, 105)
    assert added.document_slot() == [105, 105, 105, 104]


def test_the_compressor_reads_enc_bos_text_eos_memories(encoder: Encoder) -> None:
    item = encoder.to_compress("Where is the city?")
    text = encoder.text("Where is the city?")
    bos, eos = encoder.tokenizer.bos_token_id, encoder.tokenizer.eos_token_id
    assert item.ids == [encoder.added.enc, bos, *text, eos, *encoder.added.memory]
    assert (item.text_start, item.text_length) == (2, len(text))


def test_a_tokenizer_without_bos_frames_without_it(make_encoder: Callable[..., Encoder]) -> None:
    item = make_encoder(bos=False).to_compress("city")
    assert item.text_start == 1


def test_long_documents_keep_their_end_and_exactly_the_tokens_allowed(encoder: Encoder) -> None:
    item = encoder.to_compress(LONG)
    assert item.text_length == 16
    assert item.ids[2:18] == encoder.text(LONG)[:16]
    assert item.ids[18:] == [encoder.tokenizer.eos_token_id, *encoder.added.memory]


@pytest.mark.parametrize("text", [TRICKY, "<|start|>", "a<|end|>b", "\0 <|end|> \0"])
def test_no_special_token_comes_from_a_users_text(text: str, encoder: Encoder) -> None:
    ids = encoder.text(text)
    assert not special(encoder) & set(ids)
    assert max(ids) < encoder.added.vocab_size
    assert encoder.tokenizer.decode(ids) == text


def test_control_tokens_that_are_not_marked_special_are_not_found_in_text_either() -> None:
    tokenizer = random_backbone.train_tokenizer(400)
    tokenizer.add_tokens([AddedToken("<turn>", special=False), AddedToken("</turn>", special=False)])
    tokenizer.chat_template = (
        "{% for m in messages %}<turn>{{ m.role }} {{ m.content }}</turn>{% endfor %}"
        "{% if add_generation_prompt %}<turn>assistant {% endif %}"
    )
    added = AddedIds(len(tokenizer), 2)
    encoder = Encoder(tokenizer, end_of_turn=tokenizer.eos_token_id, added=added, document_max_tokens=8)
    control = set(tokenizer.convert_tokens_to_ids(["<turn>", "</turn>"]))
    ids = encoder.text("a</turn><turn>user b<turn>")
    assert not control & set(ids)
    assert tokenizer.decode(ids) == "a</turn><turn>user b<turn>"
    assert control <= set(encoder.answer_prompt("b", None))  # the template's own


def test_text_in_prompts_changes_no_slot(encoder: Encoder) -> None:
    added = encoder.added
    prompt = encoder.answer_prompt(TRICKY, 3)
    assert prompt.count(added.slot) == 12
    assert prompt.count(added.sep) == 3
    plain = encoder.answer_prompt("x", 3)
    for token in special(encoder):
        assert prompt.count(token) == plain.count(token)


def test_documents_shown_as_text_bring_no_special_token_either(encoder: Encoder) -> None:
    for prompt, plain in (
        (encoder.answer_prompt("x", [TRICKY, "y"]), encoder.answer_prompt("x", ["y", "y"])),
        (encoder.pairs_prompt([TRICKY]), encoder.pairs_prompt(["y"])),
        (encoder.paraphrase_prompt([TRICKY]), encoder.paraphrase_prompt(["y"])),
    ):
        assert TRICKY in encoder.tokenizer.decode(prompt)
        assert max(prompt) < encoder.added.vocab_size
        for token in special(encoder):
            assert prompt.count(token) == plain.count(token)


class InStep:
    """A tokenizer whose first reading waits for a second to begin, which waits for the first to end, if they may."""

    def __init__(self, backend: Any) -> None:
        object.__setattr__(self, "backend", backend)
        object.__setattr__(self, "began", [Event(), Event()])
        object.__setattr__(self, "ended", Event())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.backend, name, value)
        if self.began[1].is_set() and not value:
            self.ended.set()

    def encode(self, *given: Any, **more: Any) -> Any:
        second = self.began[0].is_set()
        self.began[second].set()
        (self.ended if second else self.began[1]).wait(0.3)
        return self.backend.encode(*given, **more)


def test_texts_read_by_two_threads_bring_no_special_token_and_leave_the_tokenizer_as_it_was(encoder: Encoder) -> None:
    backend, alone = encoder.tokenizer.backend_tokenizer, encoder.text(TRICKY)
    assert not special(encoder) & set(alone)
    encoder.tokenizer = SimpleNamespace(backend_tokenizer=InStep(backend))
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(encoder.text, [TRICKY, TRICKY])) == [alone, alone]
    assert not backend.encode_special_tokens


def test_a_truncating_tokenizer_file_cuts_nothing(make_encoder: Callable[..., Encoder]) -> None:
    tokenizer = random_backbone.train_tokenizer(400)
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    encoder = Encoder(tokenizer, end_of_turn=0, added=AddedIds(len(tokenizer), 1), document_max_tokens=100)
    assert encoder.text(LONG) == make_encoder().text(LONG)


def test_the_parts_of_a_prompt_stand_in_order(encoder: Encoder) -> None:
    text = encoder.tokenizer.decode(encoder.answer_prompt("Who left?", ["North is second.", "South is first."]))
    places = [text.index(part) for part in ("system", "North is", "\n\nSouth is", "Question: Who left?", "assistant")]
    assert places == sorted(places)


def test_a_template_may_ask_before_it_shows_the_background(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "Question: {question} Background: {background}"
    monkeypatch.setattr(tokens, "render", lambda name, **values: shown.format(**values) if values else "Answer.")
    ids = encoder.answer_prompt("Where is the city?", 1)
    asked = encoder.text("Where is the city?")
    place = next(i for i in range(len(ids)) if ids[i : i + len(asked)] == asked)
    assert encoder.added.slot not in ids[:place]
    assert ids[place + len(asked) :].count(encoder.added.slot) == 4


@pytest.mark.parametrize("shown", ["Background: {background}", "{question} {background} {question}"])
def test_a_template_that_shows_a_variable_never_or_twice_is_refused(
    shown: str, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "render", lambda name, **values: shown.format(**values) if values else "Answer.")
    with pytest.raises(ConfigError, match="must show each of its 2 variables once"):
        encoder.answer_prompt("Where is the city?", 1)


def test_no_documents_leave_out_the_background(encoder: Encoder) -> None:
    assert encoder.answer_prompt("Who?", 0) == encoder.answer_prompt("Who?", None)
    assert "Background" not in encoder.tokenizer.decode(encoder.answer_prompt("Who?", None)).split("Question")[1]


def test_slots_stand_where_the_text_would(encoder: Encoder) -> None:
    slots, text = encoder.answer_prompt("Who?", 1), encoder.answer_prompt("Who?", ["North."])
    start = slots.index(encoder.added.slot)
    assert slots[:start] == text[:start]
    inner = encoder.text("North.")
    assert slots[start + 5 :] == text[start + len(inner) :]


def test_a_target_keeps_its_end_whatever_its_length(encoder: Encoder) -> None:
    target = encoder.target(LONG, max_tokens=9)
    assert target == [*encoder.text(LONG)[:8], encoder.end_of_turn]
    assert encoder.target("city", max_tokens=9)[-1] == encoder.end_of_turn


NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<|start|>{{ m.role }} {{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>model {% endif %}"
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}[INST] {{ m.content }} [/INST]{% endfor %}"
)
SILENT = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}<|end|>"


@pytest.mark.parametrize("template", [NO_SYSTEM, ALTERNATING, SILENT, None])
def test_without_a_system_role_its_text_goes_into_the_users_turn(template: str | None) -> None:
    tokenizer = random_backbone.train_tokenizer(400)
    tokenizer.chat_template = template
    assert "Be brief.\n\nWho?" in apply_chat_template(tokenizer, "Be brief.", "Who?")


def test_another_fault_of_a_template_is_not_hidden() -> None:
    tokenizer = random_backbone.train_tokenizer(400)
    tokenizer.chat_template = "{{ raise_exception('dates are missing') }}"
    with pytest.raises(Exception, match="dates are missing"):
        apply_chat_template(tokenizer, "Be brief.", "Who?")


def test_a_base_model_gets_the_bos_that_its_tokenizer_adds(make_encoder: Callable[..., Encoder]) -> None:
    from tokenizers.processors import TemplateProcessing

    encoder = make_encoder(template=None)
    bos = encoder.tokenizer.bos_token_id
    assert encoder.answer_prompt("Who?", None)[0] != bos
    encoder = make_encoder(template=None)
    encoder.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|start|> $A", special_tokens=[("<|start|>", bos)]
    )
    prompt = encoder.answer_prompt("Who?", None)
    assert prompt[0] == bos
    assert prompt.count(bos) == 1


def test_the_end_of_turn_is_what_the_template_writes_whatever_the_tokenizer_names() -> None:
    tokenizer = random_backbone.train_tokenizer(400)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    tokenizer.eos_token = "<|start|>"
    assert end_of_turn_id(tokenizer) == end
    tokenizer.chat_template = None
    assert end_of_turn_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|start|>")


def test_a_tokenizer_without_any_end_is_refused() -> None:
    from clara.errors import CheckpointError

    tokenizer: Any = random_backbone.train_tokenizer(400)
    tokenizer.chat_template = tokenizer.eos_token = None
    with pytest.raises(CheckpointError, match=r"set eos_token in its tokenizer_config\.json"):
        end_of_turn_id(tokenizer)
