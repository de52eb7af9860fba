from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import softmax
from transformers import masking_utils

from clara.model.attention import NAME, attend, one_text_a_row, settle
from clara.model.clara import ClaraModel


def plainly(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Each head by itself, by the definition."""
    share = query.shape[1] // key.shape[1]
    heads = []
    for head in range(query.shape[1]):
        scores = query[:, head] @ key[:, head // share].transpose(1, 2) * 0.3
        heads.append(softmax(scores.masked_fill(~mask[:, 0], -torch.inf), dim=-1) @ value[:, head // share])
    return torch.stack(heads, dim=2)


@pytest.mark.parametrize("positions", [1, 5])
@pytest.mark.parametrize("padded", [True, False])
def test_it_is_attention_by_its_definition(positions: int, padded: bool) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 6, positions, 8)
    key, value = torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    mask = torch.ones(positions, 5, dtype=torch.bool).tril(5 - positions).expand(2, 1, positions, 5).clone()
    if padded:
        mask[1, :, -1, :2] = False
    found, _ = attend(None, query, key, value, mask if padded else None, 0.3)
    torch.testing.assert_close(found, plainly(query, key, value, mask), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padded", [True, False])
def test_learned_through_it_is_the_same_with_the_same_gradients(padded: bool) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, 5, 8, requires_grad=True) for heads in (6, 2, 2))
    mask = torch.ones(5, 5, dtype=torch.bool).tril().expand(2, 1, 5, 5).clone()
    if padded:
        mask[1, :, 1:, 0] = False
    weights = torch.randn(2, 5, 6, 8)
    found, _ = attend(None, query, key, value, mask if padded else None, 0.3)
    expected = plainly(query, key, value, mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    ours = torch.autograd.grad((found * weights).sum(), [query, key, value])
    theirs = torch.autograd.grad((expected * weights).sum(), [query, key, value])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_that_rows_hold_one_text_is_said_for_the_own_thread_alone() -> None:
    packed = torch.tensor([[0, 1, 2, 0, 1]])

    def found() -> bool:
        return masking_utils.find_packed_sequence_indices(packed) is not None

    with ThreadPoolExecutor(1) as pool:
        with one_text_a_row(), one_text_a_row():
            assert not found()
            assert pool.submit(found).result(30)
        assert found()


def test_a_model_s_own_dropout_of_weights_is_kept() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 50, 8, requires_grad=True) for _ in range(3))
    found, _ = attend(None, query, key, value, None, 0.3, dropout=0.5)
    assert (found[0, 0] == 0).all(dim=-1).any()  # of the first position's only weight


@torch.no_grad()
def test_a_model_says_the_same_through_it(model: ClaraModel) -> None:
    language_model = model.backbone.model
    ids, mask = torch.tensor([[0, 0, 5, 6, 7], [8, 9, 10, 11, 12]]), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    language_model.set_attn_implementation("eager")
    usual = language_model(ids, attention_mask=mask).logits
    settle(language_model)
    assert language_model.config._attn_implementation == NAME
    first = language_model(ids[:, :-1], attention_mask=mask[:, :-1], use_cache=True)
    last = language_model(ids[:, -1:], attention_mask=mask, past_key_values=first.past_key_values).logits
    found = torch.cat([first.logits, last], dim=1)
    torch.testing.assert_close(found[mask.bool()], usual[mask.bool()], rtol=1e-4, atol=1e-5)


def test_a_model_on_a_cpu_has_it_from_the_start(model: ClaraModel) -> None:
    assert model.backbone.model.config._attn_implementation == NAME


def test_a_model_whose_attention_caps_its_scores_keeps_its_own(
    model: ClaraModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = model.backbone.model.config
    model.backbone.model.set_attn_implementation("eager")
    monkeypatch.setattr(config, "attn_logit_softcapping", 30.0, raising=False)
    settle(model.backbone.model)
    assert config._attn_implementation == "eager"


def test_on_a_gpu_attention_makes_no_plan_for_each_length(monkeypatch: pytest.MonkeyPatch, model: ClaraModel) -> None:
    said: list[bool] = []
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", said.append)
    settle(model.backbone.model)
    assert said == []
    on_gpu = SimpleNamespace(device=torch.device("cuda"), config=model.backbone.model.config)
    settle(on_gpu)
    assert said == [False]
