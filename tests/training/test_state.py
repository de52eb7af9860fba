import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from clara.errors import ResourceError
from clara.training import optim, state
from clara.training.state import TrainingState


def made(step: int) -> TrainingState:
    parameters = {"0": torch.full((2,), float(step))}
    moments = {"0.exp_avg": torch.zeros(2), "0.exp_avg_sq": torch.ones(2)}
    return TrainingState(step, "run", parameters, moments, [{"step": step, "loss": 0.1 + step}])


def test_a_saved_state_comes_back_exactly_and_two_are_kept(tmp_path: Path) -> None:
    for step in (2, 10, 100):
        state.save(tmp_path, made(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-000100"]
    found = state.newest(tmp_path)
    assert found is not None
    assert (found.step, found.identity, found.history) == (100, "run", [{"step": 100, "loss": 100.1}])
    assert torch.equal(found.parameters["0"], torch.full((2,), 100.0))
    assert torch.equal(found.moments["0.exp_avg_sq"], torch.ones(2))


def test_a_step_with_a_seventh_digit_is_newer(tmp_path: Path) -> None:
    for step in (999_998, 999_999, 1_000_000):
        state.save(tmp_path, made(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-1000000", "step-999999"]
    found = state.newest(tmp_path)
    assert found is not None
    assert found.step == 1_000_000


@pytest.mark.parametrize("name", ["parameters.safetensors", "moments.safetensors", "card.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped in the header", "flipped in a value", "missing"])
def test_a_damaged_newest_state_is_passed_over(name: str, damage: str, tmp_path: Path) -> None:
    state.save(tmp_path, made(1))
    state.save(tmp_path, made(2))
    file = tmp_path / "step-000002" / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        place = 20 if damage == "flipped in the header" else len(content) - 1
        flipped = content[:place] + bytes([content[place] ^ 128]) + content[place + 1 :]
        file.write_bytes(content[:10] if damage == "cut" else flipped)
    found = state.newest(tmp_path)
    assert found is not None
    assert found.step == 1


def test_nothing_saved_and_half_saved_states_are_none(tmp_path: Path) -> None:
    assert state.newest(tmp_path / "nowhere") is None
    (tmp_path / ".step-000003.part").mkdir()
    assert state.newest(tmp_path) is None
    state.save(tmp_path, made(3))
    assert not (tmp_path / ".step-000003.part").exists()


def test_a_step_saved_again_replaces_the_first(tmp_path: Path) -> None:
    state.save(tmp_path, made(3))
    state.save(tmp_path, made(3))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000003"]


def test_a_state_that_finds_no_room_leaves_those_before_it(tmp_path: Path) -> None:
    state.save(tmp_path, made(1))
    large = TrainingState(2, "run", {"0": torch.zeros(100_000)}, {}, [])
    with no_file_above(10_000), pytest.raises(ResourceError, match=r"cannot write .*step-000002: File too large; free"):
        state.save(tmp_path, large)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
    found = state.newest(tmp_path)
    assert found is not None
    assert found.step == 1


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """What a full disk does, without filling one: the system refuses to let a file grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_restored_optimizer_goes_on_as_if_never_stopped() -> None:
    def step(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, number: int) -> None:
        parameter.grad = torch.tensor([0.3, -1.0]) * number
        optimizer.step()

    straight = nn.Parameter(torch.ones(2))
    optimizer = optim.build([straight], learning_rate=0.1, weight_decay=0.1)
    for number in (1, 2):
        step(straight, optimizer, number)
    resumed = nn.Parameter(straight.detach().clone())
    other = optim.build([resumed], learning_rate=0.1, weight_decay=0.1)
    state.restore_adam(other, {k: v.clone() for k, v in state.adam_moments(optimizer).items()}, step=2)
    step(straight, optimizer, 3)
    step(resumed, other, 3)
    assert torch.equal(straight, resumed)
