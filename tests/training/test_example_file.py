from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clara.model.clara import ClaraModel
from clara.training.example_file import ExampleFile, drop, on_disk, whole
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


def test_the_files_are_those_that_numpy_saves(model: ClaraModel, tmp_path: Path) -> None:
    import numpy

    folder = tmp_path / "examples"
    on_disk(folder, tiny.pair_examples(model))
    for name in ("tokens.npy", "texts.npy"):
        numpy.save(tmp_path / name, numpy.load(folder / name))
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_weights_of_tokens_are_kept_with_the_examples_and_worked_out_once(model: ClaraModel, tmp_path: Path) -> None:
    made = tiny.pair_examples(model)[:2]
    weights = on_disk(tmp_path / "examples", made, salience=lambda: torch.tensor([1.0, 0.5])).salience
    assert weights is not None
    assert weights.tolist() == [1.0, 0.5]
    assert on_disk(tmp_path / "examples", made, salience=lambda: pytest.fail("again")).salience is not None
    assert on_disk(tmp_path / "plain", made).salience is None


@pytest.mark.parametrize("name", ["tokens.npy", "texts.npy", "places.npy", "salience.npy"])
def test_a_folder_that_lacks_a_file_is_written_anew(name: str, model: ClaraModel, tmp_path: Path) -> None:
    made = tiny.pair_examples(model)[:2]
    on_disk(tmp_path / "examples", [])
    (tmp_path / "examples" / name).unlink()
    assert not whole(tmp_path / "examples")
    assert list(on_disk(tmp_path / "examples", made)) == made


def test_all_examples_of_a_state_are_dropped_and_nothing_else(model: ClaraModel, tmp_path: Path) -> None:
    on_disk(tmp_path / "examples-1", tiny.pair_examples(model)[:2])
    (tmp_path / ".examples-2.0a1b2c3d-1-0a1b2c3d.part").mkdir()
    (tmp_path / "step-000001").mkdir()
    drop(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


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
