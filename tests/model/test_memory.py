from collections.abc import Callable
from math import log

import pytest
import torch
from torch import Tensor

from clara.config.model import RANDOM_FAMILIES
from clara.model.adapters import COMPRESSOR
from clara.model.clara import ClaraModel
from clara.model.memory import SALIENCE_FLOOR, MemoryEncoder, normalised, segment_means, token_salience
from tests import tiny


def means(values: list[float], *, size: int, segments: int, start: int = 0) -> list[float]:
    column = torch.tensor(values, dtype=torch.float32)[None, :, None]
    found = segment_means(column, torch.tensor([start]), torch.tensor([size]), segments)
    return found[0, :, 0].tolist()


def test_segments_are_nearly_equal() -> None:
    assert means([1, 2, 3, 4], size=4, segments=2) == [1.5, 3.5]
    # Five values in two segments: [0, 3) and [2, 5) share the middle one.
    assert means([1, 2, 3, 4, 5], size=5, segments=2) == [2, 4]


def test_a_segment_mean_sees_nothing_before_or_after_the_text() -> None:
    assert means([99, 1, 3, 99, 99], size=2, segments=1, start=1) == [2]


def test_fewer_values_than_segments_are_shared_between_neighbours() -> None:
    assert means([1, 5], size=2, segments=4) == [1, 1, 5, 5]
    assert means([7], size=1, segments=3) == [7, 7, 7]


def test_an_empty_text_gives_zeros() -> None:
    assert means([9, 9], size=0, segments=2) == [0, 0]


def encode(model: ClaraModel, texts: list[str]) -> Tensor:
    with torch.no_grad():
        return model.encode(COMPRESSOR, [model.tokens.to_compress(text) for text in texts]).vectors


def twin(model: ClaraModel, text: str) -> tuple[Tensor, Tensor]:
    """Input embeddings and last hidden states of one text: the plain way, by the whole model."""
    item = model.tokens.to_compress(text)
    encoder = model.roles[COMPRESSOR]
    assert isinstance(encoder, MemoryEncoder)
    table = model.backbone.model.get_input_embeddings()
    vocab = model.backbone.vocab_size
    embedded = torch.stack([table(torch.tensor(i)) if i < vocab else encoder.rows[i - vocab] for i in item.ids])
    with torch.no_grad(), model.adapters.using(COMPRESSOR):
        output = model.backbone.model(inputs_embeds=embedded[None], output_hidden_states=True, use_cache=False)
    text_slice = slice(item.text_start, item.text_start + item.text_length)
    return embedded[text_slice], output.hidden_states[-1][0]


@pytest.mark.parametrize("family", RANDOM_FAMILIES)
def test_plain_memories_are_the_last_states_at_the_memory_tokens(
    family: str, make_model: Callable[..., ClaraModel]
) -> None:
    model = make_model(family, form="plain").eval()
    vectors = encode(model, tiny.TEXTS)
    for text, vector in zip(tiny.TEXTS, vectors, strict=True):
        torch.testing.assert_close(vector, twin(model, text)[1][-4:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", RANDOM_FAMILIES)
def test_pooled_memories_are_segment_means_plus_gated_states_of_the_embeddings_size(
    family: str, make_model: Callable[..., ClaraModel]
) -> None:
    model = make_model(family).eval()
    text = tiny.TEXTS[4]
    embedded, hidden = twin(model, text)
    pooled = segment_means(embedded[None], torch.tensor([0]), torch.tensor([len(embedded)]), 4)[0]
    table = model.backbone.model.get_input_embeddings()
    size = table(torch.arange(model.backbone.vocab_size)).pow(2).mean().sqrt()
    expected = pooled + 0.1 * size * normalised(hidden[-4:])
    torch.testing.assert_close(encode(model, [text])[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("power", "half"), [(4.0, 0.0625), (1.0, 0.5), (0.0, 1.0)])
def test_a_token_weighs_a_power_of_its_idf(power: float, half: float) -> None:
    documents = [[0, 1, 1], [0, 2], [0, 2]]  # (3 + 1) / (seen + 1): idf log 1, log 2, log 4/3, log 4
    everywhere = SALIENCE_FLOOR if power else 1.0
    expected = [everywhere, half, (log(4 / 3) / log(4)) ** power, 1.0]
    assert token_salience(documents, 4, power=power).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("family", RANDOM_FAMILIES)
@pytest.mark.parametrize("form", ["plain", "pooled"])
def test_padding_and_the_order_of_a_batch_change_nothing(
    form: str, family: str, make_model: Callable[..., ClaraModel]
) -> None:
    model = make_model(family, form=form).eval()
    together = encode(model, tiny.TEXTS)
    backwards = encode(model, tiny.TEXTS[::-1]).flip(0)
    alone = torch.cat([encode(model, [text]) for text in tiny.TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, backwards, atol=1e-5, rtol=0)


def test_each_added_row_learns_from_its_own_places_alone(
    make_model: Callable[..., ClaraModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(form="plain")
    added, rows = model.added, model.roles[COMPRESSOR].rows
    inputs = [model.tokens.to_compress(text) for text in tiny.TEXTS]
    weights = torch.randn(len(inputs), max(len(item.ids) for item in inputs), model.backbone.hidden_size)
    seen: list[Tensor] = []
    monkeypatch.setattr(model.backbone, "states", lambda embedded: seen.append(embedded) or embedded)
    model.set_learning([COMPRESSOR])
    model.encode(COMPRESSOR, inputs)
    (seen[0] * weights).sum().backward()  # type: ignore[no-untyped-call]
    for row, id_ in enumerate([added.enc, *added.memory]):
        places = [(number, item.ids.index(id_)) for number, item in enumerate(inputs)]
        assert all(torch.equal(seen[0][place], rows[row]) for place in places)
        torch.testing.assert_close(rows.grad[row], sum(weights[place] for place in places))


def test_a_batch_is_as_wide_as_its_longest_text_and_no_wider(
    model: ClaraModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []
    states = model.backbone.states
    monkeypatch.setattr(model.backbone, "states", lambda given: widths.append(given.shape[1]) or states(given))
    encode(model, tiny.TEXTS)
    encode(model, ["Who?"])
    prompts = [model.tokens.answer_prompt("Who?", None), model.tokens.answer_prompt("Where is the city?", None)]
    targets = [model.tokens.target("north", max_tokens=9)] * 2
    with torch.no_grad():
        model.losses(prompts, targets, None)
    longest = max(len(model.tokens.to_compress(text).ids) for text in tiny.TEXTS)
    assert widths == [longest, len(model.tokens.to_compress("Who?").ids), len(prompts[1]) + len(targets[1])]


def test_an_empty_text_has_memories(model: ClaraModel) -> None:
    assert encode(model.eval(), [""]).isfinite().all()


def test_text_mean_leaves_out_the_frame(make_model: Callable[..., ClaraModel]) -> None:
    model = make_model(form="plain").eval()
    item = model.tokens.to_compress(tiny.TEXTS[1])
    with torch.no_grad():
        found = model.encode(COMPRESSOR, [item])
    hidden = twin(model, tiny.TEXTS[1])[1]
    expected = hidden[item.text_start : item.text_start + item.text_length].mean(0)
    torch.testing.assert_close(found.text_mean[0], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.memory_mean[0], hidden[-4:].mean(0), atol=1e-5, rtol=1e-5)


def test_means_of_half_precision_states_are_taken_in_float32(
    make_model: Callable[..., ClaraModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(form="plain").eval()
    item = model.tokens.to_compress(tiny.TEXTS[1])
    states = 5 + torch.randn(1, len(item.ids), 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    monkeypatch.setattr(model.backbone, "states", lambda embedded: states)
    found = model.encode(COMPRESSOR, [item])
    text = states[0, item.text_start : item.text_start + item.text_length]
    torch.testing.assert_close(found.text_mean[0], text.float().mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.memory_mean[0], states[0, -4:].float().mean(0), atol=1e-5, rtol=0)


def test_rows_start_as_large_as_the_embeddings_that_the_body_receives(make_model: Callable[..., ClaraModel]) -> None:
    for family in ("llama", "gemma"):  # Gemma multiplies what it looks up by √dim
        model = make_model(family)
        rows = torch.cat([role.rows for role in model.roles.values()]).detach()  # type: ignore[misc]
        ratio = rows.pow(2).mean().sqrt() / model.backbone.embedding_scale
        assert 0.8 < float(ratio) < 1.25
