import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

import clara
from clara import machine
from clara.config.model import RANDOM_FAMILIES
from clara.errors import CheckpointError, DataError
from clara.losses import alignment_losses, token_losses
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.released import import_released, released_input, released_logits, released_prompt
from clara.model.released_files import INPUT_TABLE, Released, read_released
from tests.model.released_writer import World, write

DOCUMENTS = ["The city was founded in 1887.", "She left in 2003.", "A painter of the north and the south. " * 2]
QUESTION = "Where is the city?"
UP = "model.layers.0.mlp.up_proj.lora_A.weight"


@pytest.fixture(scope="module")
def fixture_folder() -> Path:
    folder = Path(os.environ.get("CLARA_FIXTURES", "")) / "official-format"
    if "CLARA_FIXTURES" not in os.environ or not folder.exists():
        pytest.skip("CLARA_FIXTURES names no folder with official-format/")
    return folder


@pytest.fixture(scope="module")
def expected(fixture_folder: Path) -> dict[str, Any]:
    numbers = json.loads((fixture_folder / "expected.json").read_text())
    return numbers | load_file(fixture_folder / "expected.safetensors")


@pytest.fixture(scope="module")
def official(fixture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> clara.Clara:
    target = tmp_path_factory.mktemp("official")
    import_released(fixture_folder / "checkpoint", target)
    return clara.load(target)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write(tmp_path_factory.mktemp("mistral"))


@pytest.fixture(scope="module")
def imported(world: World, tmp_path_factory: pytest.TempPathFactory) -> clara.Clara:
    target = tmp_path_factory.mktemp("imported")
    import_released(world.source, target)
    return clara.load(target)


def logits_after(model: clara.Clara, released: Released, prompt: str, memories: Tensor) -> Tensor:
    """Logits `[positions, extended]` of a prompt in the released implementation's writing."""
    inner = model.model
    with torch.no_grad(), inner.adapters.using(GENERATOR):
        ids = torch.tensor([released_prompt(inner, prompt)])
        embedded = inner.generator.embed(inner.backbone, ids, memories, inner.added)
        hidden = inner.backbone.body(inputs_embeds=embedded, use_cache=False).last_hidden_state[0]
        return released_logits(released, inner.backbone, hidden)


def test_document_and_query_memories_are_those_of_the_released_implementation(
    official: clara.Clara, expected: dict[str, Any]
) -> None:
    assert (official.compress(expected["documents"]) - expected["doc_embeddings"]).abs().max() < 1e-4
    assert (official.reason(expected["questions"]) - expected["query_embeddings"]).abs().max() < 1e-4


def test_scores_and_selection_are_those_of_the_released_implementation(
    official: clara.Clara, expected: dict[str, Any]
) -> None:
    documents, queries = official.compress(expected["documents"]), official.reason(expected["questions"])
    for number, pool in enumerate(expected["candidates"]):
        scores = official.score(queries[number][None], documents[pool])
        assert (scores[0] - expected["scores"][number]).abs().max() < 1e-5
        assert official.select(scores, expected["top_k"])[0].tolist() == expected["topk"][number].tolist()


def test_logits_after_answer_prompts_are_those_of_the_released_implementation(
    official: clara.Clara, expected: dict[str, Any], fixture_folder: Path
) -> None:
    released = read_released(fixture_folder / "checkpoint")
    documents = official.compress(expected["documents"])
    for number, prompt in enumerate(expected["answer_prompts"]):
        chosen = [expected["candidates"][number][place] for place in expected["topk"][number].tolist()]
        logits = logits_after(official, released, prompt, documents[chosen])[-1]
        assert (logits - expected["first_answer_logits"][number]).abs().max() < 1e-3


def test_cross_entropy_and_alignment_are_those_of_the_released_implementation(
    official: clara.Clara, expected: dict[str, Any], fixture_folder: Path
) -> None:
    released = read_released(fixture_folder / "checkpoint")
    start = expected["stage1_prompt_tokens"]
    text, model = expected["stage1_text"], official.model
    logits = logits_after(official, released, text, official.compress(expected["documents"][:1]))
    targets = torch.tensor(released_prompt(model, text)[start:])
    assert float(token_losses(logits[start - 1 : -1], targets).mean()) == pytest.approx(expected["stage1_ce"], abs=1e-4)
    inputs = [released_input(model, text) for text in expected["documents"]]
    with torch.no_grad():
        memories = model.encode(COMPRESSOR, inputs)
    alignment = alignment_losses(memories.text_mean, memories.memory_mean)
    assert float(alignment[0]) == pytest.approx(expected["stage1_mse_first_document"], abs=1e-4)
    assert float(alignment.mean()) == pytest.approx(expected["mse_all_documents"], abs=1e-4)


@pytest.mark.parametrize("family", [family for family in RANDOM_FAMILIES if family != "gemma"])
def test_any_family_gives_what_left_padding_and_resized_vocabulary_give(family: str, tmp_path: Path) -> None:
    world = write(tmp_path, family=family)
    import_released(world.source, tmp_path / "ours")
    imported = clara.load(tmp_path / "ours")
    documents = imported.compress(DOCUMENTS)
    for vectors, text in zip(documents, DOCUMENTS, strict=True):
        torch.testing.assert_close(vectors, world.memories("encoder_adapter", text, padded_to=60), atol=1e-4, rtol=0)
    query = world.memories("query_reasoner_adapter", QUESTION, padded_to=60)
    torch.testing.assert_close(imported.reason([QUESTION])[0], query, atol=1e-4, rtol=0)
    slot = "".join(f"<MEM{number}>" for number in range(4)) + "<SEP>"
    prompt = f"Notes: {slot}{slot} Who?"
    ours = logits_after(imported, read_released(world.source), prompt, documents[:2])[-1]
    torch.testing.assert_close(ours, world.logits(prompt, documents[:2]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("length", "ratio", "num_memory"), [(32, 32, 1), (32, 4, 8), (64, 10, 6)])
def test_the_number_of_memory_tokens_follows_length_and_rate(
    tmp_path: Path, length: int, ratio: int, num_memory: int
) -> None:
    world = write(tmp_path, family="llama", length=length, ratio=ratio)
    card = import_released(world.source, tmp_path / "ours")
    vectors = clara.load(tmp_path / "ours").compress(DOCUMENTS[:1])[0]
    assert card.shape.num_memory == len(vectors) == num_memory
    torch.testing.assert_close(
        vectors, world.memories("encoder_adapter", DOCUMENTS[0], padded_to=40), atol=1e-4, rtol=0
    )


def test_another_top_k_is_kept_in_the_settings(tmp_path: Path) -> None:
    import_released(write(tmp_path, generation_top_k=7).source, tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "settings.json").read_text())["joint"]["top_k"] == 7


@pytest.mark.parametrize(("theirs", "ours"), [("stage1", "pretraining"), ("stage1_2", "instruction")])
def test_a_checkpoint_of_an_earlier_stage_keeps_its_generator(tmp_path: Path, theirs: str, ours: str) -> None:
    world = write(tmp_path, stage=theirs)
    assert import_released(world.source, tmp_path / "ours").stage == ours
    model = clara.load(tmp_path / "ours").model
    assert not model.has_query_reasoner
    state = model.adapters.state(GENERATOR)
    assert all(
        torch.equal(weight, world.adapters["decoder_adapter"][f"{key[:-2]}.lora_{key[-1]}.weight"])
        for key, weight in state.items()
    )


def test_an_import_written_twice_has_the_same_weights(world: World, tmp_path: Path) -> None:
    one, two = import_released(world.source, tmp_path), import_released(world.source, tmp_path)
    assert one.weights_hash == two.weights_hash


def test_a_prepared_backbone_is_taken_as_it_is(world: World, tmp_path: Path) -> None:
    import_released(world.source, tmp_path / "one")
    card = import_released(world.source, tmp_path / "two", base=str(tmp_path / "one" / "backbone"))
    assert card.backbone == "../one/backbone/card.json"
    assert not (tmp_path / "two" / "backbone").exists()


def change_adapters(source: Path, change: Any) -> None:
    adapters = torch.load(source / "adapters.pth", weights_only=True)
    change(adapters)
    torch.save(adapters, source / "adapters.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("decoder_adapter"), "lacks decoder_adapter, which a checkpoint of joint has"),
        (lambda a: a.pop("query_reasoner_adapter"), "lacks query_reasoner_adapter"),
        (lambda a: a.update(style_adapter=a["decoder_adapter"]), "holds style_adapter, which a checkpoint of joint"),
        (lambda a: a["encoder_adapter"].update(scale=torch.ones(1)), "holds scale, which is no LoRA matrix"),
        (
            lambda a: a["encoder_adapter"].update({"norm.lora_A.weight": torch.ones(4, 4)}),
            r"holds norm\.lora_A\.weight, which is no LoRA matrix of a layer",
        ),
        (lambda a: a.update(decoder_adapter={}), "decoder_adapter holds no LoRA matrix"),
        (lambda a: a["decoder_adapter"][UP].fill_(torch.nan), f"decoder_adapter, {UP} holds numbers that are not fin"),
        (
            lambda a: a["decoder_adapter"].update({UP: torch.ones(4, 32, dtype=torch.int64)}),
            r"up_proj\.lora_A\.weight holds torch\.int64, expected plain floating-point numbers",
        ),
        (
            lambda a: a["encoder_adapter"].pop("model.layers.1.mlp.up_proj.lora_A.weight"),
            r"adapter compressor does not fit .* model\.layers\.1\.mlp\.up_proj\.A",
        ),
        (
            lambda a: a["decoder_adapter"].update({INPUT_TABLE: 2 * a["decoder_adapter"][INPUT_TABLE]}),
            r"decoder_adapter: its copy of model\.embed_tokens\.weight differs",
        ),
    ],
)
def test_adapters_that_are_missing_extra_or_strange_are_refused_by_name(
    tmp_path: Path, change: Any, message: str
) -> None:
    world = write(tmp_path)
    change_adapters(world.source, change)
    with pytest.raises(CheckpointError, match=message):
        import_released(world.source, tmp_path / "ours")
    assert not (tmp_path / "ours" / "card.json").exists()


def test_added_tokens_without_numbers_are_refused(tmp_path: Path) -> None:
    world = write(tmp_path)
    for file in ("adapters.pth", "decoder_first_last_layers.pth"):
        content = torch.load(world.source / file, weights_only=True)
        for tensors in (content, *content.values()):
            if isinstance(tensors, dict):
                tensors.pop("lm_head.weight", None)
                if INPUT_TABLE in tensors:
                    tensors[INPUT_TABLE][-1] = torch.inf
        torch.save(content, world.source / file)
    with pytest.raises(
        CheckpointError, match=r"layers\.pth, model\.embed_tokens\.weight holds numbers that are not fin"
    ):
        read_released(world.source)


def test_a_checkpoint_that_was_trained_is_not_written_over(world: World, tmp_path: Path) -> None:
    import_released(world.source, tmp_path)
    (tmp_path / "settings.json").write_text('{"joint": {"top_k": 2}}')
    before = (tmp_path / "adapters.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match="holds a checkpoint that was not imported; name another folder"):
        import_released(world.source, tmp_path)
    assert (tmp_path / "adapters.safetensors").read_bytes() == before


def test_a_query_reasoner_in_an_earlier_stage_is_refused(tmp_path: Path) -> None:
    world = write(tmp_path, training_stage="stage1_2")
    with pytest.raises(CheckpointError, match="holds query_reasoner_adapter, which a checkpoint of instruction does"):
        import_released(world.source, tmp_path / "ours")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ({"hidden": 48}, "hidden size 32, the model 48"),
        ({"layers": 3}, "2 layers, the model 3"),
        ({"vocab": 350}, "that is a vocabulary of 400 and 4 \\+ 3 added tokens, the model's vocabulary is 350"),
        ({"seed": 2}, "the input embeddings of the base vocabulary differ"),
    ],
)
def test_another_base_model_is_refused_by_what_differs(
    world: World, tmp_path: Path, build: dict[str, int], message: str
) -> None:
    from clara.model import random_backbone

    random_backbone.build("mistral", tmp_path / "other", **{"seed": 1, "hidden": 32, "vocab": 400, **build})
    with pytest.raises(CheckpointError, match=message):
        import_released(world.source, tmp_path / "ours", base=str(tmp_path / "other"))


def changed_base(world: World, folder: Path, change: Callable[[Any], object]) -> str:
    """A copy of the base whose model went through `change`."""
    model = AutoModelForCausalLM.from_pretrained(world.base, dtype=torch.float32)
    change(model)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((world.base / name).read_bytes())
    return str(folder)


def test_a_base_with_another_head_is_refused(world: World, tmp_path: Path) -> None:
    base = changed_base(world, tmp_path / "other", lambda model: model.get_output_embeddings().weight.data.mul_(1.1))
    with pytest.raises(CheckpointError, match="the output embeddings of the base vocabulary differ"):
        import_released(world.source, tmp_path / "ours", base=base)


def test_a_base_that_scales_its_embeddings_is_refused(tmp_path: Path) -> None:
    world = write(tmp_path, family="gemma")
    with pytest.raises(CheckpointError, match="scales the embeddings that it looks up, of which the released format"):
        import_released(world.source, tmp_path / "ours")


def test_a_checkpoint_without_the_head_that_its_base_has_is_refused(tmp_path: Path) -> None:
    world = write(tmp_path)
    for file in ("adapters.pth", "decoder_first_last_layers.pth"):
        content = torch.load(world.source / file, weights_only=True)
        for tensors in (content, *content.values()):
            if isinstance(tensors, dict):
                tensors.pop("lm_head.weight", None)
        torch.save(content, world.source / file)
    with pytest.raises(CheckpointError, match=r"has a head of its own, the checkpoint has no lm_head\.weight"):
        import_released(world.source, tmp_path / "ours")


def test_a_base_whose_turns_end_otherwise_than_its_texts_is_refused(world: World, tmp_path: Path) -> None:
    base = Path(changed_base(world, tmp_path / "other", lambda model: None))
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<|pad|>"}))
    with pytest.raises(CheckpointError, match="closed by the tokenizer's EOS, with which the chat template ends no"):
        import_released(world.source, tmp_path / "ours", base=str(base))


def test_a_base_whose_table_has_spare_rows_is_taken(world: World, imported: clara.Clara, tmp_path: Path) -> None:
    base = changed_base(world, tmp_path / "other", lambda model: model.resize_token_embeddings(448))
    import_released(world.source, tmp_path / "ours", base=base)
    model = clara.load(tmp_path / "ours")
    torch.testing.assert_close(model.compress(DOCUMENTS), imported.compress(DOCUMENTS), atol=1e-6, rtol=0)
    torch.testing.assert_close(model.reason([QUESTION]), imported.reason([QUESTION]), atol=1e-6, rtol=0)


def test_half_precision_checkpoints_are_read_in_the_precision_of_their_base(tmp_path: Path) -> None:
    world = write(tmp_path)
    for file in ("adapters.pth", "decoder_first_last_layers.pth"):
        content = torch.load(world.source / file, weights_only=True)
        for tensors in (content, *content.values()):
            if isinstance(tensors, dict):
                tensors.update({key: value.bfloat16() for key, value in tensors.items() if torch.is_tensor(value)})
        torch.save(content, world.source / file)
    base = changed_base(world, tmp_path / "half", lambda model: model.bfloat16())
    import_released(world.source, tmp_path / "ours", base=base)
    assert clara.load(tmp_path / "ours").model.backbone.dtype == getattr(torch, machine.arithmetic("bfloat16"))
    for parameter in world.model.parameters():  # the same rounded weights, with exact arithmetic
        parameter.data = parameter.data.bfloat16().float()
    world.adapters = {
        name: {key: weight.bfloat16().float() for key, weight in adapter.items()}
        for name, adapter in world.adapters.items()
    }
    vectors = clara.load(tmp_path / "ours", dtype="float32").compress(DOCUMENTS[:1])[0]
    expected = world.memories("encoder_adapter", DOCUMENTS[0], padded_to=60)
    torch.testing.assert_close(vectors, expected, atol=1e-4, rtol=0)


def test_a_vocabulary_that_fits_no_rate_is_refused(tmp_path: Path) -> None:
    world = write(tmp_path, compr_rate=16)
    with pytest.raises(CheckpointError, match=r"407 rows, that is a vocabulary of 402 and 2 \+ 3 added tokens"):
        import_released(world.source, tmp_path / "ours")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_stage": "stage2_reasoning"}, "training_stage is 'stage2_reasoning', expected stage1, stage1_2"),
        ({"different_mem_tokens": False}, "different_mem_tokens is False, only True"),
        ({"compr_model_name": "bert"}, "compr_model_name is 'bert', only None"),
        ({"compr_rate": 64}, "doc_max_length 32 // compr_rate 64 leaves no memory token"),
        ({"decoder_model_name": "./nowhere"}, "base model ./nowhere was neither found here nor fetched; .* --base"),
    ],
)
def test_a_configuration_of_another_kind_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    world = write(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        import_released(world.source, tmp_path / "ours")


def test_a_rank_that_the_adapters_do_not_have_is_refused_before_room_is_made_for_it(tmp_path: Path) -> None:
    world = write(tmp_path, lora_r=1_000_000_000)
    with pytest.raises(
        CheckpointError, match=r"has shape \[4, 32\], which is not of lora_r 1000000000 in .*config\.json"
    ):
        import_released(world.source, tmp_path / "ours")


def test_a_missing_file_and_a_foreign_folder_are_refused(tmp_path: Path) -> None:
    world = write(tmp_path)
    (world.source / "decoder_first_last_layers.pth").unlink()
    with pytest.raises(
        CheckpointError, match=r"decoder_first_last_layers\.pth does not exist; the released format has"
    ):
        read_released(world.source)
    with pytest.raises(CheckpointError, match=r"lacks training_stage, doc_max_length, .* in the released CLaRa format"):
        read_released(world.base)
    with pytest.raises(DataError, match=r"config\.json does not exist"):
        read_released(tmp_path / "nothing")


class _Touches:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    world, trace = write(tmp_path), tmp_path / "ran"
    torch.save({"encoder_adapter": _Touches(trace)}, world.source / "adapters.pth")
    with pytest.raises(CheckpointError, match=r"adapters\.pth is damaged or holds more than tensors"):
        read_released(world.source)
    assert not trace.exists()
    pickle.loads(pickle.dumps(_Touches(trace)))
    assert trace.exists()  # it would have


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    world = write(tmp_path)
    whole = (world.source / "adapters.pth").read_bytes()
    (world.source / "adapters.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"adapters\.pth is damaged"):
        read_released(world.source)


def test_literal_tokens_are_parsed_in_released_prompts_only(imported: clara.Clara) -> None:
    model = imported.model
    prompt = released_prompt(model, "a <MEM0><MEM3><SEP> b")
    assert [token for token in prompt if token >= model.added.vocab_size] == [
        model.added.slot,
        model.added.slot,
        model.added.sep,
    ]
    assert max(model.tokens.text("a <MEM0><MEM3><SEP> b")) < model.added.vocab_size
