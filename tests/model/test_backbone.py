import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from clara import machine
from clara.config.model import RANDOM_FAMILIES
from clara.errors import CheckpointError, ConfigError, DataError, ResourceError
from clara.files import sha256_file, write_json
from clara.model import backbone, random_backbone
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.backbone import LoadedBackbone
from clara.model.backbone_card import BackboneCard, read_backbone_card, require_unharmed
from clara.model.backbone_folder import prepare
from clara.model.clara import ClaraModel
from clara.model.generator import generate
from clara.training.objectives import CompressionObjective, Totals
from tests import tiny

REFUSAL = "{% if message.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
NO_SYSTEM = random_backbone.CHAT_TEMPLATE.replace("{{ '<|start|>'", REFUSAL + "{{ '<|start|>'", 1)
WRITINGS: dict[str, dict[str, Any]] = {
    "template": {},
    "no system role": {"chat_template": NO_SYSTEM},
    "no template": {"chat_template": None},
    "no bos": {"bos_token": None},
}


@pytest.mark.parametrize("writing", [*WRITINGS, "tied otherwise"])
@pytest.mark.parametrize("family", RANDOM_FAMILIES)
def test_every_family_compresses_learns_and_answers(
    family: str, writing: str, backbones: Callable[[str], LoadedBackbone], tmp_path: Path
) -> None:
    loaded = tiny.tied_otherwise(family, tmp_path) if writing == "tied otherwise" else tiny.fresh(backbones(family))
    for name, value in WRITINGS.get(writing, {}).items():
        setattr(loaded.tokenizer, name, value)
    model = tiny.model(loaded)
    parameters = model.set_learning([COMPRESSOR, GENERATOR])
    examples = tiny.pair_examples(model)[:2]
    loss = CompressionObjective(model, mse_weight=0.1)(examples, Totals.of(examples), progress=0.0, seed=0).loss
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)
    model.eval()
    with torch.no_grad(), model.adapters.using(GENERATOR):
        memories = model.encode(COMPRESSOR, [model.tokens.to_compress(examples[0].documents[0])]).vectors
        prompts = [examples[0].prompt]
        written = generate(model.backbone, model.generator, prompts, memories, model.added, max_new_tokens=2)
    assert len(written) == 1


@pytest.mark.parametrize("family", RANDOM_FAMILIES)
def test_logits_of_last_states_are_the_models_own(family: str, make_model: Callable[..., ClaraModel]) -> None:
    loaded = make_model(family).eval().backbone
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        torch.testing.assert_close(loaded.logits(loaded.body(ids).last_hidden_state[0]), loaded.model(ids).logits[0])


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("gemma2", {"final_logit_softcapping": 0.5}),
        ("cohere", {"logit_scale": 0.25}),
        ("granite", {"logits_scaling": 8.0}),
    ],
)
def test_heads_that_scale_or_cap_their_logits_are_followed(family: str, sizes: dict[str, float]) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        family, vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, **sizes,
    )  # fmt: skip
    automatic: Any = AutoModelForCausalLM
    model = automatic.from_config(config).eval()
    for parameter in model.parameters():
        parameter.data *= 5  # large enough that a cap bites
    loaded = LoadedBackbone(model, None, 2, BackboneCard(Path(), Path(), "", "", ""))
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        torch.testing.assert_close(loaded.logits(loaded.body(ids).last_hidden_state[0]), model(ids).logits[0])


def test_tied_and_untied_heads_are_both_among_the_families(backbones: Callable[[str], LoadedBackbone]) -> None:
    tied = {family: backbones(family).model.config.tie_word_embeddings for family in RANDOM_FAMILIES}
    assert set(tied.values()) == {True, False}


def test_a_random_model_is_that_of_its_seed(tmp_path: Path) -> None:
    cards = []
    for number, seed in enumerate((1, 1, 2)):
        card = tmp_path / str(number) / "card.json"
        cards.append(prepare("random:llama", card, seed=seed, revision=None, trust_remote_code=False))
    assert cards[0].model_hash == cards[1].model_hash != cards[2].model_hash
    assert cards[0].tokenizer_hash == cards[2].tokenizer_hash


def test_a_disk_too_small_for_a_model_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(family: str, folder: Path, *, seed: int) -> None:
        (folder / "config.json").write_text("{}")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(random_backbone, "build", full)
    with pytest.raises(ResourceError, match=r"cannot write .*/model: No space left on device; free or unlock the disk"):
        prepare("random:llama", tmp_path / "card.json", seed=1, revision=None, trust_remote_code=False)
    assert list(tmp_path.iterdir()) == []


def test_a_models_own_generation_settings_do_not_reach_greedy_answers(tmp_path: Path) -> None:
    card = tiny.prepare("mistral", tmp_path)
    answers = []
    for own in ({}, {"do_sample": True, "temperature": 5.0, "repetition_penalty": 30.0, "suppress_tokens": [1]}):
        (card.folder / "generation_config.json").write_text(json.dumps(own))
        model = tiny.model(backbone.load(card, dtype="float32")).eval()
        prompt = [model.tokens.answer_prompt("Who left?", None)]
        answers += generate(model.backbone, None, prompt, None, model.added, max_new_tokens=8)
    assert answers[0] == answers[1] != ""


def test_a_folder_is_used_where_it_lies(tmp_path: Path) -> None:
    made = tiny.prepare("llama", tmp_path / "first")
    beside = tmp_path / "second" / "weights"
    shutil.copytree(made.folder, beside)
    card = prepare(str(beside), tmp_path / "second" / "card.json", seed=0, revision=None, trust_remote_code=False)
    assert card.folder == beside
    assert card.model_hash == made.model_hash
    assert not (tmp_path / "second" / "model").exists()


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("random:gpt5", ConfigError, "the families are llama, mistral"),
        ("./nowhere", ConfigError, "neither a model folder nor a GGUF file"),
        ("/nowhere/model.gguf", ConfigError, "does not exist"),
    ],
)
def test_unusable_sources_are_refused(source: str, kind: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=message):
        prepare(source, tmp_path / "card.json", seed=0, revision=None, trust_remote_code=False)
    assert not (tmp_path / "card.json").exists()


def test_a_damaged_gguf_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(CheckpointError, match="cannot be read as a GGUF model"):
        prepare(str(tmp_path / "m.gguf"), tmp_path / "card.json", seed=0, revision=None, trust_remote_code=False)


def test_a_hub_model_that_cannot_be_fetched_is_a_matter_of_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def offline(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ResourceError, match=r"Hub model some/model could not be fetched \(ConnectionError\)"):
        prepare("some/model", tmp_path / "card.json", seed=0, revision=None, trust_remote_code=False)


def test_incomplete_folders_are_refused(tmp_path: Path) -> None:
    folder = tiny.prepare("llama", tmp_path).folder
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        (folder / name).unlink()
        with pytest.raises(CheckpointError, match=r"complete model folder"):
            prepare(str(folder), tmp_path / "other.json", seed=0, revision=None, trust_remote_code=False)


def test_cards_of_another_kind_and_lost_files_are_refused(tmp_path: Path) -> None:
    card = tiny.prepare("llama", tmp_path)
    (card.folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has lost model\.safetensors"):
        read_backbone_card(card.path)
    (tmp_path / "odd.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="is no backbone card"):
        read_backbone_card(tmp_path / "odd.json")
    with pytest.raises(DataError, match="does not exist"):
        read_backbone_card(tmp_path / "none.json")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
)
def test_a_backbone_whose_files_changed_is_refused_where_steps_load_it(name: str, tmp_path: Path) -> None:
    card = tiny.prepare("llama", tmp_path)
    require_unharmed(card)
    content = bytearray((card.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (card.folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not as it was prepared, .*; delete .*card\.json"):
        backbone.load(card, dtype="float32", verified=True)


def test_a_card_that_is_not_as_its_record_says_is_refused_too(tmp_path: Path) -> None:
    card = tiny.prepare("llama", tmp_path)
    record = {"command": ["prepare_backbone.py"], "inputs": {}, "outputs": {card.path.name: sha256_file(card.path)}}
    before, seconds = card.path.read_bytes(), card.path.stat().st_mtime
    write_json(card.path.parent / "provenance" / "card.json", record)
    require_unharmed(card)
    card.path.write_bytes(before.replace(b"random:", b"randon:"))  # of no use to the steps that load it
    os.utime(card.path, (seconds, seconds))
    with pytest.raises(CheckpointError, match=r"delete .*card\.json and run prepare_backbone again"):
        require_unharmed(card)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_without_instructions_for_it_half_precision_is_computed_in_float32(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tiny.prepare("llama", tmp_path)
    monkeypatch.setattr(machine, "arithmetic", lambda asked: asked)
    narrow = backbone.load(card, dtype=dtype)
    assert narrow.dtype == getattr(torch, dtype)
    assert "no instructions" not in capsys.readouterr().err
    monkeypatch.setattr(machine, "arithmetic", lambda asked: "float32")
    wide = backbone.load(card, dtype=dtype)
    assert wide.dtype == torch.float32
    assert f"no instructions for {dtype}: computing in float32" in capsys.readouterr().err
    # Its weights are those of the type that was asked for, whatever the arithmetic.
    for ours, asked in zip(wide.model.parameters(), narrow.model.parameters(), strict=True):
        assert torch.equal(ours, asked.float())
    backbone.load(card, dtype="float32")
    assert "no instructions" not in capsys.readouterr().err
