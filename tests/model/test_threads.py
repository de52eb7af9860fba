"""Numbers depend on a setting's threads, not on those that a profile gives the job."""

import functools
from collections.abc import Iterator

import pytest
import torch

from clara.model import backbone, threads
from tests import tiny


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_sum_is_the_same_whatever_threads_the_job_was_given() -> None:
    values = torch.randn(1000, 1536, generator=torch.Generator().manual_seed(0))

    def under(given: int, chosen: int | None) -> float:
        torch.set_num_threads(given)
        threads.use(chosen)
        return float(values.sum())

    assert under(1, 1) == under(8, 1) == under(3, 1)
    assert under(8, None) != under(8, 1), "threads round this sum alike: the test shows nothing"


def test_loading_a_model_sets_them_where_the_settings_say(tmp_path_factory: pytest.TempPathFactory) -> None:
    load = functools.partial(backbone.load, tiny.prepare("llama", tmp_path_factory.mktemp("backbone")), dtype="float32")
    torch.set_num_threads(2)
    load()
    assert torch.get_num_threads() == 2
    load(cpu_threads=3)
    assert torch.get_num_threads() == 3
