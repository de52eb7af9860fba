from collections.abc import Callable

import pytest
import torch

from clara.errors import CheckpointError
from clara.model.adapters import COMPRESSOR
from clara.model.clara import ClaraModel
from clara.model.encoding import batches_by_length, encode_texts, enough_tokens
from tests import tiny


def test_batches_hold_every_text_once_longest_first_within_their_tokens() -> None:
    lengths = [3, 9, 5, 5, 9, 1]
    batches = list(batches_by_length(lengths, 18))
    assert batches == [[1, 4], [2, 3, 0], [5]]
    assert list(batches_by_length([30], 18)) == [[0]]  # one text is never cut
    assert list(batches_by_length([], 18)) == []


def test_a_batch_ends_before_much_shorter_texts_once_it_is_large_enough() -> None:
    lengths = [100, 100, 80, 60]
    assert list(batches_by_length(lengths, 1000, enough=150)) == [[0, 1], [2, 3]]
    assert list(batches_by_length(lengths, 1000, enough=300)) == [[0, 1, 2], [3]]
    assert (
        enough_tokens(torch.device("cuda")) > enough_tokens(torch.device("cpu")) == enough_tokens(torch.device("xpu"))
    )


def test_the_order_is_that_of_the_texts_and_batches_change_nothing(model: ClaraModel) -> None:
    inputs = [model.tokens.to_compress(text) for text in tiny.TEXTS]
    found = encode_texts(model, inputs, batch_tokens=64)
    alone = torch.cat([encode_texts(model, [item], batch_tokens=64) for item in inputs])
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=0)


def test_a_frozen_compressor_gives_the_same_on_every_pass_even_of_a_model_in_training(
    make_model: Callable[..., ClaraModel],
) -> None:
    model = make_model(dropout=0.5)
    model.set_learning([COMPRESSOR])
    inputs = [model.tokens.to_compress(text) for text in tiny.TEXTS]
    model.train()
    first = encode_texts(model, inputs, batch_tokens=128)
    model.train()
    assert torch.equal(encode_texts(model, inputs, batch_tokens=128), first)
    assert model.training  # as it was before


def test_memories_that_are_no_numbers_are_refused(make_model: Callable[..., ClaraModel]) -> None:
    model = make_model()
    with torch.no_grad():
        next(iter(model.role_parameters(COMPRESSOR))).fill_(torch.nan)
    with pytest.raises(CheckpointError, match="no numbers"):
        encode_texts(model, [model.tokens.to_compress("Aro")], batch_tokens=64)
