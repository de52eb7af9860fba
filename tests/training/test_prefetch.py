import threading
from collections.abc import Callable

import pytest
import torch

from clara.training.prefetch import AheadStore, ahead
from tests import tiny


def test_values_come_in_order_and_are_loaded_ahead_by_another_thread() -> None:
    loaded: list[int] = []
    names: set[str] = set()
    ready = threading.Event()

    def load(key: int) -> int:
        loaded.append(key)
        names.add(threading.current_thread().name)
        if key == 2:
            ready.set()
        return key * key

    values = ahead(load, range(6), count=2)
    assert next(values) == 0
    assert ready.wait(10)  # two more were read while the first was in use
    assert list(values) == [1, 4, 9, 16, 25]
    assert loaded == list(range(6))
    assert threading.current_thread().name not in names


def test_a_fault_of_the_thread_is_raised_where_its_value_is_asked_for() -> None:
    def load(key: int) -> int:
        return 1 // (3 - key)

    values = ahead(load, range(5), count=1)
    assert [next(values) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(values)


def test_what_was_fetched_is_given_from_memory_once(make_model: Callable[..., object]) -> None:
    class Source:
        reads = 0

        def memories(self, documents: object) -> torch.Tensor:
            self.reads += 1
            return torch.full((1,), float(self.reads))

    source = Source()
    store = AheadStore(source)  # type: ignore[arg-type]
    examples = tiny.question_examples(make_model())[:1] * 2  # type: ignore[arg-type]
    store.fetch(examples)
    assert source.reads == 2
    assert [store.memories(examples[0].documents).item() for _ in range(3)] == [1, 2, 3]
    assert source.reads == 3
