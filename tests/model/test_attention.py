import pytest
import torch
from torch.nn.functional import softmax

from clara.model.attention import NAME, attend, for_answers
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


@torch.no_grad()
def test_a_model_says_the_same_through_it(model: ClaraModel) -> None:
    language_model = model.backbone.model
    ids, mask = torch.tensor([[0, 0, 5, 6, 7], [8, 9, 10, 11, 12]]), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    usual = language_model(ids, attention_mask=mask).logits
    with for_answers(language_model):
        assert language_model.config._attn_implementation == NAME
        first = language_model(ids[:, :-1], attention_mask=mask[:, :-1], use_cache=True)
        last = language_model(ids[:, -1:], attention_mask=mask, past_key_values=first.past_key_values).logits
    found = torch.cat([first.logits, last], dim=1)
    torch.testing.assert_close(found[mask.bool()], usual[mask.bool()], rtol=1e-4, atol=1e-5)


def test_the_setting_comes_back_even_after_an_error(model: ClaraModel) -> None:
    before = model.backbone.model.config._attn_implementation
    with pytest.raises(ZeroDivisionError), for_answers(model.backbone.model):
        raise ZeroDivisionError
    assert model.backbone.model.config._attn_implementation == before


def test_a_model_whose_attention_caps_its_scores_keeps_its_own(
    model: ClaraModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = model.backbone.model.config
    monkeypatch.setattr(config, "attn_logit_softcapping", 30.0, raising=False)
    with for_answers(model.backbone.model):
        assert config._attn_implementation != NAME
