import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
import torch
from torch import Tensor

from clara.config.model import RANDOM_FAMILIES
from clara.errors import CheckpointError, ResourceError
from clara.model.adapters import COMPRESSOR, GENERATOR, NO_ADAPTER, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.training.objectives import CompressionObjective, Objective, Totals
from tests import tiny
from tests.training.test_objectives import joint

IDS = torch.tensor([[5, 9, 30, 200, 7]])


def logits(model: ClaraModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.backbone.model(input_ids=IDS).logits
    return found


def test_a_new_adapter_changes_nothing_and_a_stirred_one_does(model: ClaraModel) -> None:
    model.eval()
    bare = logits(model)
    with model.adapters.using(GENERATOR):
        assert not torch.allclose(logits(model), bare)
    model.reset_generator(seed=1)
    with model.adapters.using(GENERATOR):
        torch.testing.assert_close(logits(model), bare)


def test_using_nests_and_restores_even_after_an_error(model: ClaraModel) -> None:
    model.eval()
    adapters = model.adapters
    bare = logits(model)
    with adapters.using(COMPRESSOR):
        outer = logits(model)
        with adapters.using(GENERATOR):
            assert not torch.equal(logits(model), outer)
        assert torch.equal(logits(model), outer)
        with pytest.raises(ZeroDivisionError), adapters.using(GENERATOR):
            raise ZeroDivisionError
        assert torch.equal(logits(model), outer)
        with adapters.using(NO_ADAPTER):
            assert torch.equal(logits(model), bare)
    assert adapters.active == NO_ADAPTER
    assert torch.equal(logits(model), bare)


def test_another_thread_is_refused_while_an_adapter_is_at_work_or_waits_its_turn(model: ClaraModel) -> None:
    adapters = model.adapters

    def used(name: str) -> str:
        with adapters.using(name):
            return adapters.active

    def in_turn(name: str) -> str:
        with adapters.in_turn(name):
            return adapters.active

    with ThreadPoolExecutor(1) as pool:
        for block in (adapters.using(GENERATOR), adapters.in_turn(GENERATOR), adapters.merged(GENERATOR)):
            with block:
                at_work = adapters.active
                with pytest.raises(ResourceError, match=f"another thread is at work with {at_work} of this model"):
                    pool.submit(used, COMPRESSOR).result(30)
                waiting = pool.submit(in_turn, COMPRESSOR)
                assert wait([waiting], timeout=0.05).not_done
                assert adapters.active == at_work
            assert waiting.result(30) == COMPRESSOR
        assert pool.submit(used, COMPRESSOR).result(30) == COMPRESSOR
    assert adapters.active == NO_ADAPTER


def test_switching_stops_no_one_from_learning(model: ClaraModel) -> None:
    learning = model.set_learning([COMPRESSOR])
    with model.adapters.using(GENERATOR):
        assert all(parameter.requires_grad for parameter in learning)
    assert not any(parameter.requires_grad for parameter in model.adapters.parameters(GENERATOR))


def test_an_unknown_adapter_is_refused_with_the_known_ones(model: ClaraModel) -> None:
    with pytest.raises(CheckpointError, match="no adapter judge; this model has compressor, generator"):
        model.adapters.using("judge").__enter__()


@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_a_merged_adapter_says_the_same_and_leaves_no_trace(family: str, make_model: Callable[..., ClaraModel]) -> None:
    model = make_model(family).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with model.adapters.using(GENERATOR):
        wanted = logits(model)
    with model.adapters.merged(GENERATOR):
        torch.testing.assert_close(logits(model), wanted, atol=1e-4, rtol=0)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_merged_adapter_is_not_added_twice_and_no_other_joins_it(model: ClaraModel) -> None:
    model.eval()
    item = [model.tokens.to_compress(tiny.TEXTS[1])]
    with torch.no_grad():
        wanted = model.encode(COMPRESSOR, item).vectors
        with model.adapters.merged(COMPRESSOR):
            torch.testing.assert_close(model.encode(COMPRESSOR, item).vectors, wanted, atol=1e-4, rtol=0)
            with pytest.raises(CheckpointError, match=r"compressor is merged .* before using generator"):
                model.adapters.using(GENERATOR).__enter__()
        assert torch.equal(model.encode(COMPRESSOR, item).vectors, wanted)


def test_of_a_model_on_a_device_the_original_weights_wait_on_the_host(
    model: ClaraModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's meta device stands for a GPU, on which no original is left; reading from it gives zeros."""
    shapes = {tuple(weight.shape) for weight in model.backbone.body.layers.parameters() if weight.dim() == 2}

    def plain() -> int:
        return sum(type(each) is Tensor and each.is_meta and tuple(each.shape) in shapes for each in gc.get_objects())

    model.to("meta")
    monkeypatch.setattr(Tensor, "cpu", lambda self: torch.zeros(self.shape, dtype=self.dtype))
    before = plain()
    with model.adapters.merged(GENERATOR):
        assert plain() == before
    assert {weight.device.type for weight in model.backbone.body.parameters()} == {"meta"}


@pytest.mark.parametrize(("family", "dtype"), [("llama", torch.float32), ("phi3", torch.bfloat16)])
def test_a_folded_copy_says_what_merging_does_to_the_bit_and_other_adapters_stay(
    family: str, dtype: torch.dtype, make_model: Callable[..., ClaraModel]
) -> None:
    model = make_model(family).eval().to(dtype)
    item, adapters = [model.tokens.to_compress(tiny.TEXTS[1])], model.adapters
    bare = logits(model)
    with adapters.using(GENERATOR):
        unfolded = logits(model)
    with adapters.merged(GENERATOR):
        wanted = logits(model)
    with torch.no_grad():
        memory = model.encode(COMPRESSOR, item).vectors
        adapters.keep_folded(GENERATOR)
        for _ in range(2):
            with adapters.in_turn(GENERATOR):
                assert torch.equal(logits(model), wanted)
                with adapters.using(COMPRESSOR):
                    assert torch.equal(model.encode(COMPRESSOR, item).vectors, memory)
                with adapters.merged(GENERATOR), adapters.using(GENERATOR):
                    assert torch.equal(logits(model), wanted)
                assert torch.equal(logits(model), wanted)
            assert torch.equal(logits(model), bare)
    assert not torch.equal(unfolded, wanted), "rounding tells the copy from the adapter"


def test_an_adapter_that_is_filled_anew_has_no_folded_copy_of_what_it_was(model: ClaraModel) -> None:
    adapters = model.eval().adapters
    adapters.keep_folded(GENERATOR)
    adapters.load(GENERATOR, adapters.state(COMPRESSOR))
    with adapters.using(COMPRESSOR):
        wanted = logits(model)
    with adapters.using(GENERATOR):
        assert torch.equal(logits(model), wanted)


def test_weights_are_restored_when_merged_work_fails(model: ClaraModel) -> None:
    bare = logits(model.eval())
    with pytest.raises(ZeroDivisionError), model.adapters.merged(GENERATOR):
        raise ZeroDivisionError
    assert torch.equal(logits(model), bare)


def test_a_copied_reasoner_equals_the_compressor_and_shares_nothing(model: ClaraModel) -> None:
    compressor: Any = model.roles[COMPRESSOR]
    compressor.gate.data.fill_(0.7)  # as training leaves it, not as it starts
    model.set_salience(tiny.TEXTS)
    model.add_query_reasoner("compressor")
    item = [model.tokens.to_compress(tiny.TEXTS[1])]
    model.eval()
    with torch.no_grad():
        assert torch.equal(model.encode(QUERY_REASONER, item).vectors, model.encode(COMPRESSOR, item).vectors)
    own = {parameter.data_ptr() for parameter in model.role_parameters(QUERY_REASONER)}
    assert not own & {parameter.data_ptr() for parameter in model.role_parameters(COMPRESSOR)}


def test_a_random_reasoner_is_that_of_its_seed(make_model: Callable[..., ClaraModel]) -> None:
    states = []
    for seed in (1, 1, 2):
        model = make_model()
        torch.manual_seed(len(states))  # the global state must not matter
        model.add_query_reasoner("random", seed=seed)
        states.append(torch.cat([parameter.flatten() for parameter in model.role_parameters(QUERY_REASONER)]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_state_that_does_not_fit_is_refused_by_name(model: ClaraModel) -> None:
    state = model.adapters.state(GENERATOR)
    first = next(iter(state))
    with pytest.raises(CheckpointError, match=f"1 matrices differ, first {first}"):
        model.adapters.load(GENERATOR, {key: value for key, value in state.items() if key != first})
    with pytest.raises(CheckpointError, match=f"{first}: expected shape"):
        model.adapters.load(GENERATOR, {**state, first: state[first][:1]})


def test_the_head_and_the_embeddings_are_never_adapted(make_model: Callable[..., ClaraModel]) -> None:
    for family in ("llama", "mistral"):
        names = make_model(family).adapters.state(GENERATOR)
        assert not any("lm_head" in name or "embed" in name for name in names)
        assert len(names) == 2 * 7 * 2  # A and B of seven linear layers in each of two


def gradients(model: ClaraModel, stage: str, *, checkpointed: bool) -> list[Tensor | None]:
    """Gradients of one step of `stage`; in joint training two adapters are switched between, a third is there."""
    objective: Objective = CompressionObjective(model, mse_weight=0.1)
    examples, learns = tiny.pair_examples(model)[:3], [COMPRESSOR, GENERATOR]
    if stage == "joint":
        objective, examples, learns = joint(model), tiny.question_examples(model), [QUERY_REASONER, GENERATOR]
    if checkpointed:
        model.checkpoint_layers()
    parameters = model.set_learning(learns)
    model.train()
    torch.manual_seed(4)
    objective(examples, Totals.of(examples), progress=0.0, seed=0).loss.backward()  # type: ignore[no-untyped-call]
    return [parameter.grad for parameter in parameters]


@pytest.mark.parametrize("family", RANDOM_FAMILIES)
@pytest.mark.parametrize("stage", ["pretraining", "joint"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_with_checkpointed_layers_equal_those_without(
    dropout: float, stage: str, family: str, make_model: Callable[..., ClaraModel]
) -> None:
    plain, recomputed = (
        gradients(make_model(family, dropout=dropout), stage, checkpointed=flag) for flag in (False, True)
    )
    assert all(gradient is not None and gradient.any() for gradient in plain)
    for one, other in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(other, one, atol=1e-6, rtol=0)


def test_checkpointed_layers_really_run_twice(model: ClaraModel) -> None:
    model.checkpoint_layers()
    model.set_learning([COMPRESSOR, GENERATOR])
    model.train()
    calls: list[str] = []
    layer = model.backbone.body.layers[0].mlp
    layer.register_forward_pre_hook(lambda *_: calls.append(model.adapters.active))
    examples = tiny.pair_examples(model)[:1]
    loss = CompressionObjective(model, mse_weight=0.0)(examples, Totals.of(examples), progress=0.0, seed=0).loss
    loss.backward()  # type: ignore[no-untyped-call]
    assert calls == [COMPRESSOR, GENERATOR, GENERATOR, COMPRESSOR]


def kept_bytes(model: ClaraModel) -> int:
    """Bytes that the forward pass of one step keeps for the backward pass, parameters not counted."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    examples = tiny.pair_examples(model)[:8]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        CompressionObjective(model, mse_weight=0.1)(examples, Totals.of(examples), progress=0.0, seed=0)
    return sum(kept.values())


def test_checkpointed_layers_keep_a_small_part_of_what_others_keep(make_model: Callable[..., ClaraModel]) -> None:
    found = []
    for checkpointed in (False, True):
        model = make_model()
        if checkpointed:
            model.checkpoint_layers()
        model.set_learning([COMPRESSOR, GENERATOR])
        model.train()
        found.append(kept_bytes(model))
    assert found[1] < found[0] / 5  # 9.6 MB and 1.1 MB; two layers of 64


def test_roles_that_do_not_learn_drop_nothing_while_others_train(make_model: Callable[..., ClaraModel]) -> None:
    model = make_model(dropout=0.5)
    item = [model.tokens.to_compress(tiny.TEXTS[1])]
    model.set_learning([GENERATOR])
    model.eval()
    with torch.no_grad():
        wanted = model.encode(COMPRESSOR, item).vectors
        model.train()
        assert torch.equal(model.encode(COMPRESSOR, item).vectors, wanted)
        model.set_learning([COMPRESSOR])
        model.train()
        assert not torch.equal(model.encode(COMPRESSOR, item).vectors, wanted)
