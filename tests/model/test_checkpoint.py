import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clara.config.model import RANDOM_FAMILIES
from clara.errors import CheckpointError, DataError
from clara.files import sha256_file
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from tests import tiny

Make = Callable[..., ClaraModel]


def change_card(card: Path, **values: object) -> None:
    card.write_text(json.dumps({**json.loads(card.read_text()), **values}))


def rewrite(card: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, card.parent / checkpoint.WEIGHTS)
    change_card(card, weights_hash=sha256_file(card.parent / checkpoint.WEIGHTS))


@pytest.mark.parametrize("form", ["plain", "pooled"])
@pytest.mark.parametrize("roles", [2, 3])
@pytest.mark.parametrize("family", RANDOM_FAMILIES)
def test_a_reloaded_model_says_the_same(family: str, form: str, roles: int, make_model: Make, tmp_path: Path) -> None:
    model = make_model(family, form=form)
    if roles == 3:
        model.add_query_reasoner("random")
        tiny.stir(model, seed=8)
    card = tiny.save(model, tmp_path)
    loaded = checkpoint.load(card, dtype="float32")
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert not loaded.model.training
    model.eval()
    inputs = [model.tokens.to_compress(text) for text in tiny.TEXTS]
    prompt, target = model.tokens.answer_prompt("Who?", 6), model.tokens.target("Aro", max_tokens=8)
    with torch.no_grad():
        for role in (COMPRESSOR, QUERY_REASONER)[: roles - 1]:
            vectors = model.encode(role, inputs).vectors
            assert torch.equal(loaded.model.encode(role, inputs).vectors, vectors)
        assert torch.equal(
            loaded.model.losses([prompt], [target], vectors).sums, model.losses([prompt], [target], vectors).sums
        )


def test_the_file_holds_every_role_and_little_else(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    model.add_query_reasoner("compressor")
    card = tiny.save(model, tmp_path, stage="joint")
    names = set(load_file(tmp_path / checkpoint.WEIGHTS))
    for role in (COMPRESSOR, QUERY_REASONER, GENERATOR):
        assert f"{role}.own.rows" in names
        assert sum(name.startswith(f"{role}.adapter.") for name in names) == 28
    assert {f"{COMPRESSOR}.own.gate", f"{QUERY_REASONER}.own.gate"} <= names
    parameters = sum(p.numel() for role in model.roles for p in model.role_parameters(role))
    assert (tmp_path / checkpoint.WEIGHTS).stat().st_size <= 1.2 * 4 * parameters
    said = checkpoint.read_card(card)
    assert (said.stage, said.roles) == ("joint", [COMPRESSOR, GENERATOR, QUERY_REASONER])
    assert said.shape == model.shape


def test_a_checkpoint_says_the_power_of_its_weights_and_one_that_does_not_has_the_fourth(
    make_model: Make, tmp_path: Path
) -> None:
    card = tiny.save(make_model(idf_power=1.0), tmp_path)
    assert checkpoint.load(card, dtype="float32").model.shape.idf_power == 1.0
    shape = json.loads(card.read_text())["shape"]
    assert shape.pop("idf_power") == 1.0
    change_card(card, shape=shape)
    assert checkpoint.load(card, dtype="float32").model.shape.idf_power == 4.0


def test_saving_twice_gives_the_same_bytes(make_model: Make, tmp_path: Path) -> None:
    for name in ("a", "b"):
        tiny.save(make_model(), tmp_path / name)
    assert (tmp_path / "a" / checkpoint.WEIGHTS).read_bytes() == (tmp_path / "b" / checkpoint.WEIGHTS).read_bytes()


def test_the_compressors_hash_follows_the_compressor_alone(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    hashes = [checkpoint.load(tiny.save(model, tmp_path / "a"), dtype="float32").compressor_hash]
    model.reset_generator(seed=5)
    model.add_query_reasoner("random")
    hashes.append(checkpoint.load(tiny.save(model, tmp_path / "b"), dtype="float32").compressor_hash)
    compressor = model.roles[COMPRESSOR]
    compressor.gate.data += 1e-3  # type: ignore[union-attr,operator]
    hashes.append(checkpoint.load(tiny.save(model, tmp_path / "c"), dtype="float32").compressor_hash)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("key", ["model_hash", "tokenizer_hash"])
def test_another_backbone_is_refused(key: str, model: ClaraModel, tmp_path: Path) -> None:
    card = tiny.save(model, tmp_path)
    change_card(card, **{key: "0" * 64})
    with pytest.raises(CheckpointError, match=r"trained on a backbone whose (weights|tokenizer) hash is 000000000000"):
        checkpoint.load(card, dtype="float32")


def test_damaged_and_missing_weights_are_refused(model: ClaraModel, tmp_path: Path) -> None:
    card = tiny.save(model, tmp_path)
    weights = tmp_path / checkpoint.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"adapters\.safetensors is damaged"):
        checkpoint.load(card, dtype="float32")
    weights.unlink()
    with pytest.raises(CheckpointError, match="is missing; run the stage pretraining again"):
        checkpoint.load(card, dtype="float32")


def test_missing_extra_and_misshapen_tensors_are_refused_by_name(model: ClaraModel, tmp_path: Path) -> None:
    card = tiny.save(model, tmp_path)
    tensors = load_file(tmp_path / checkpoint.WEIGHTS)
    rewrite(card, {key: value for key, value in tensors.items() if key != "generator.own.rows"})
    with pytest.raises(CheckpointError, match=r"1 differ, first generator\.own\.rows"):
        checkpoint.load(card, dtype="float32")
    rewrite(card, {**tensors, "judge.own.rows": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"1 differ, first judge\.own\.rows"):
        checkpoint.load(card, dtype="float32")
    rewrite(card, {**tensors, "compressor.own.rows": torch.zeros(2, 64)})
    with pytest.raises(CheckpointError, match=r"says num_memory 4 and rank 4, but its weights have 1 and \[4\]"):
        checkpoint.load(card, dtype="float32")


def test_other_files_are_no_cards(model: ClaraModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        checkpoint.read_card(tmp_path / "card.json")
    with pytest.raises(CheckpointError, match="is no checkpoint card"):
        checkpoint.read_card(model.backbone.card.path)
    card = tiny.save(model, tmp_path)
    change_card(card, schema=99)
    with pytest.raises(CheckpointError, match="has schema 99, this version reads 1"):
        checkpoint.read_card(card)


def test_resetting_the_generator_is_repeatable_and_keeps_the_others(make_model: Make) -> None:
    model = make_model()
    before = model.adapters.state(COMPRESSOR)
    model.reset_generator(seed=1)
    first = model.adapters.state(GENERATOR)
    assert all(value.eq(0).all() == key.endswith(".B") for key, value in first.items())
    model.reset_generator(seed=1)
    assert all(torch.equal(value, first[key]) for key, value in model.adapters.state(GENERATOR).items())
    assert all(torch.equal(value, before[key]) for key, value in model.adapters.state(COMPRESSOR).items())
