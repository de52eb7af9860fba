import random
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from clara.errors import ConfigError
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from clara.training.example_arrays import Shortened
from clara.training.example_file import ExampleFile, drop, on_disk, whole
from clara.training.examples import Example, Lost, held_out, tokenized
from clara.training.sampling import Sampler
from clara.training.stage_run import _require_room
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


def test_what_examples_lost_is_kept_with_them_and_summed(tmp_path: Path) -> None:
    lost = [Lost(), Lost(2, 1, 0), Lost(0, 1, 5), Lost(1, 0, 0)]
    made = [Example(str(n), str(n), ("a",), [1], [2], read=([3], [4]), lost=one) for n, one in enumerate(lost)]
    found = on_disk(tmp_path / "examples", made)
    assert [item.lost for item in found] == lost
    assert found.shortened == Shortened(examples=4, read=8, texts=3, targets=2, pairs=5)


def test_weights_of_tokens_are_kept_with_the_examples_and_worked_out_once(model: ClaraModel, tmp_path: Path) -> None:
    made = tiny.pair_examples(model)[:2]
    weights = on_disk(tmp_path / "examples", made, salience=lambda: torch.tensor([1.0, 0.5])).salience
    assert weights is not None
    assert weights.tolist() == [1.0, 0.5]
    assert on_disk(tmp_path / "examples", made, salience=lambda: pytest.fail("again")).salience is not None
    assert on_disk(tmp_path / "plain", made).salience is None


@pytest.mark.parametrize(
    "name", ["tokens.npy", "texts.npy", "places.npy", "lengths.npy", "groups.npy", "shortened.json", "salience.npy"]
)
def test_a_folder_that_lacks_a_file_is_written_anew(name: str, model: ClaraModel, tmp_path: Path) -> None:
    made = tiny.pair_examples(model)[:2]
    on_disk(tmp_path / "examples", [])
    (tmp_path / "examples" / name).unlink()
    assert not whole(tmp_path / "examples")
    assert list(on_disk(tmp_path / "examples", made)) == made


GROUPS = ["m", "b", "b", "\u00e9", "a10", "m", "a9", "a10", "\U0001f642", "\ue000", "B", "m", "a9", "b"]
"""Names of groups whose order is not that in which they come, nor that of other ways to sort."""


def mixed() -> list[Example]:
    return [
        Example(f"{group}{n}", group, (f"{group} {n % 2}",), [1] * (n % 5), [2] * (n % 3 + 1))
        for n, group in enumerate(GROUPS * 3)
    ]


def former_choice(examples: Sequence[Example], *, count: int, seed: int) -> tuple[list[int], list[int]]:
    """What was held out when every example was read for it, on whose result the recorded runs rest."""
    groups = sorted({example.group for example in examples})
    random.Random(f"{seed}-hold-out").shuffle(groups)
    limit = max(1, min(count, len(examples) // 5))
    held: set[str] = set()
    for group in groups[:-1]:
        if sum(example.group in held for example in examples) >= limit:
            break
        held.add(group)
    validation = [index for index, example in enumerate(examples) if example.group in held]
    return [index for index, example in enumerate(examples) if example.group not in held], validation[:limit]


@pytest.mark.parametrize("count", [1, 2, 5, 99])
@pytest.mark.parametrize("seed", range(8))
def test_the_same_is_held_out_as_when_all_examples_were_read_for_it(seed: int, count: int, tmp_path: Path) -> None:
    made = mixed()
    found = on_disk(tmp_path / "examples", made)
    assert held_out(found.groups, count=count, seed=seed) == former_choice(made, count=count, seed=seed)


@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_their_order_is_that_of_examples_in_memory(seed: int, together: int, tmp_path: Path) -> None:
    made = mixed()
    found = on_disk(tmp_path / "examples", made)
    numbers = former_choice(made, count=5, seed=seed)[0]
    one, other = (
        Sampler(examples, batch_size=5, seed=seed, together=together)
        for examples in (found.chosen(numbers), [made[number] for number in numbers])
    )
    assert [one.step(step) for step in range(1, 20)] == [other.step(step) for step in range(1, 20)]


def test_what_is_asked_of_all_examples_is_asked_of_no_line(
    model: ClaraModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = mixed()
    found = on_disk(tmp_path / "examples", made)
    read: list[int] = []
    line_of = ExampleFile.__getitem__
    monkeypatch.setattr(ExampleFile, "__getitem__", lambda self, index: read.append(index) or line_of(self, index))
    lengths = [len(item.prompt) + len(item.target) for item in made]
    assert found.lengths.tolist() == lengths
    assert found.chosen([7, 2]).lengths.tolist() == [lengths[7], lengths[2]]
    held_out(found.groups, count=5, seed=1)
    Sampler(found, batch_size=5, seed=1)
    for longest in (max(lengths), 5):
        monkeypatch.setattr(LoadedBackbone, "context", longest)
        first = next((item.key for item in made if len(item.prompt) + len(item.target) > longest), None)
        assert read == []
        with (
            nullcontext() if first is None else pytest.raises(ConfigError, match=f"the prompt of {first} with its tar")
        ):
            _require_room(model, found)
    assert len(read) == 1


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
