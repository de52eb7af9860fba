from collections.abc import Iterator
from pathlib import Path

import pytest

from clara.model.clara import ClaraModel
from clara.training.example_file import ExampleFile, on_disk
from clara.training.examples import Example, tokenized
from tests import tiny


def test_examples_on_disk_are_what_was_written_with_their_texts_as_ids(model: ClaraModel, tmp_path: Path) -> None:
    made = [*tiny.pair_examples(model)[:3], *tiny.question_examples(model)]
    found = on_disk(tmp_path / "examples", tokenized(made, model.tokens, read="documents"))
    assert list(found) == list(tokenized(made, model.tokens, read="documents"))
    assert found[4].read == tuple(model.tokens.text(text) for text in made[4].documents)
    assert [item.key for item in found.chosen([5, 0])] == [made[5].key, made[0].key]
    assert [item.key for item in found[1:3]] == [made[1].key, made[2].key]


def test_what_is_on_disk_is_not_made_again(model: ClaraModel, tmp_path: Path) -> None:
    made = tiny.pair_examples(model)[:2]
    on_disk(tmp_path / "examples", made)

    def never() -> Iterator[Example]:
        raise AssertionError
        yield

    assert list(on_disk(tmp_path / "examples", never())) == made


def test_a_kill_while_they_are_written_leaves_no_examples(model: ClaraModel, tmp_path: Path) -> None:
    def half() -> Iterator[Example]:
        yield tiny.pair_examples(model)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_disk(tmp_path / "examples", half())
    assert len(on_disk(tmp_path / "examples", tiny.pair_examples(model))) == len(tiny.pair_examples(model))


def test_ids_give_the_compressor_what_the_text_gives(model: ClaraModel) -> None:
    (example,) = tokenized(tiny.question_examples(model)[:1], model.tokens, read="documents")
    assert example.to_compress(model.tokens) == [model.tokens.to_compress(text) for text in example.documents]
    (asked,) = tokenized([example], model.tokens, read="question")
    assert asked.to_ask(model.tokens) == model.tokens.to_compress(example.question)


def test_the_file_is_mapped_and_not_read(model: ClaraModel, tmp_path: Path) -> None:
    import numpy

    found: ExampleFile = on_disk(tmp_path / "examples", tiny.pair_examples(model))
    assert isinstance(found._tokens, numpy.memmap)
    assert isinstance(found._texts, numpy.memmap)
