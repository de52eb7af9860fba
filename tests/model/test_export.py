import copy
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from clara.config.model import RANDOM_FAMILIES
from clara.errors import CheckpointError, ConfigError, ResourceError
from clara.files import read_json
from clara.model import backbone, backbone_folder, checkpoint
from clara.model import export as exporting
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.export import export
from tests import tiny

Backbones = Callable[[str], LoadedBackbone]


def plain(folder: Path) -> Any:
    automatic: Any = AutoModelForCausalLM
    return automatic.from_pretrained(folder).eval()


def logits(model: Any, embedded: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(inputs_embeds=embedded).logits
    return found


@pytest.mark.parametrize("tied", ["as the family", "otherwise"])
@pytest.mark.parametrize("family", RANDOM_FAMILIES)
def test_a_merged_generator_says_what_the_adapter_says(
    family: str, tied: str, backbones: Backbones, tmp_path: Path
) -> None:
    loaded = backbones(family) if tied == "as the family" else tiny.tied_otherwise(family, tmp_path / "backbone")
    model = tiny.model(loaded).eval()
    card = tiny.save(model, tmp_path / "checkpoint")
    export(card, GENERATOR, tmp_path / "plain")
    ids = torch.tensor([model.tokens.answer_prompt("Who?", 2)])
    memories = torch.randn(2, 4, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        embedded = model.generator.embed(model.backbone, ids, memories, model.added)
    bare = logits(model.backbone.model, embedded)
    with model.adapters.using(GENERATOR):
        wanted = logits(model.backbone.model, embedded)
    found = logits(plain(tmp_path / "plain"), embedded)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert (bare - wanted).abs().max() > 1e-2
    own = load_file(tmp_path / "plain" / "clara" / "own.safetensors")
    assert torch.equal(own["rows"], model.generator.rows.detach())


@pytest.mark.parametrize("role", [COMPRESSOR, QUERY_REASONER])
@pytest.mark.parametrize("family", RANDOM_FAMILIES)
def test_a_merged_compressor_and_its_own_rows_give_the_memories(
    family: str, role: str, make_model: Callable[..., Any], tmp_path: Path
) -> None:
    model = make_model(family)
    model.add_query_reasoner("random")
    tiny.stir(model, seed=4)
    model.eval()
    export(tiny.save(model, tmp_path / "checkpoint", stage="joint"), role, tmp_path / "plain")
    own, said = load_file(tmp_path / "plain/clara/own.safetensors"), read_json(tmp_path / "plain/clara/card.json")
    item = model.tokens.to_compress(tiny.TEXTS[1])
    with torch.no_grad():
        wanted = model.encode(role, [item])
    merged = plain(tmp_path / "plain")
    look_up, vocab = merged.get_input_embeddings(), model.backbone.vocab_size  # Gemma's scales what it looks up
    with torch.no_grad():
        embedded = torch.stack([own["rows"][i - vocab] if i >= vocab else look_up(torch.tensor(i)) for i in item.ids])
        states = merged.model(inputs_embeds=embedded[None]).last_hidden_state[0, -said["num_memory"] :]
    torch.testing.assert_close(states.mean(0), wanted.memory_mean[0], atol=1e-4, rtol=0)
    assert (said["role"], said["form"]) == (role, "pooled")
    assert {"rows", "gate", "salience"} == own.keys()


def test_an_exported_model_is_a_backbone_with_its_template_and_ends_its_turns(model: Any, tmp_path: Path) -> None:
    model.eval()
    export(tiny.save(model, tmp_path / "checkpoint"), GENERATOR, tmp_path / "plain")
    card = backbone_folder.prepare(
        str(tmp_path / "plain"), tmp_path / "card.json", seed=0, revision=None, trust_remote_code=False
    )
    again = backbone.load(card, dtype="float32")
    assert again.end_of_turn == model.backbone.end_of_turn == plain(tmp_path / "plain").generation_config.eos_token_id
    assert again.tokenizer.chat_template == model.backbone.tokenizer.chat_template
    assert plain(tmp_path / "plain").config.use_cache


def test_lower_precision_rounds_the_merged_weights_once(model: Any, tmp_path: Path) -> None:
    card = tiny.save(model.eval(), tmp_path / "checkpoint")
    for dtype in ("float32", "bfloat16"):
        export(card, GENERATOR, tmp_path / dtype, dtype=dtype)
    exact, rounded = (plain(tmp_path / dtype).state_dict() for dtype in ("float32", "bfloat16"))
    assert all(torch.equal(value.bfloat16(), rounded[name]) for name, value in exact.items())


def test_what_cannot_be_exported_is_refused_by_name(model: Any, tmp_path: Path) -> None:
    card = tiny.save(copy.copy(model), tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=r"has no query_reasoner; it has compressor, generator"):
        export(card, QUERY_REASONER, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is not empty; name a new folder"):
        export(card, GENERATOR, tmp_path / "plain")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="file is a file or is not empty"):
        export(card, GENERATOR, tmp_path / "file")
    with pytest.raises(ConfigError, match="dtype = int8 is no precision of weights"):
        export(card, GENERATOR, tmp_path / "other", dtype="int8")
    with pytest.raises(ResourceError, match=r"cannot write .*other: Not a directory"):
        export(card, GENERATOR, tmp_path / "file" / "other")
    assert checkpoint.read_card(card).roles == [COMPRESSOR, GENERATOR]


def test_an_export_that_fails_leaves_nothing(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    card = tiny.save(copy.copy(model), tmp_path / "checkpoint")
    monkeypatch.setattr(exporting, "save_file", full)
    with pytest.raises(ResourceError, match=r"cannot write .*plain: No space left"):
        export(card, GENERATOR, tmp_path / "plain")
    assert not list(tmp_path.glob("*plain*"))
