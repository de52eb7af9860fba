"""Energy of GPUs: counters read and told apart, shared cards counted once."""

import sys
from types import SimpleNamespace

import pytest

from clara import energy, environment


class Cards:
    """NVML of a machine whose cards' counters go up by 500 J a reading; the second card has none."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.millijoules = 7_000_000
        self.open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetUUID(self, card: int) -> str:
        return f"GPU-{card:04d}"

    def nvmlDeviceGetTotalEnergyConsumption(self, card: int) -> int:
        if card == 1:
            raise self.NVMLError("not supported")
        self.millijoules += 500_000
        return self.millijoules


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    found = Cards()
    monkeypatch.setitem(sys.modules, "pynvml", found)
    environment.energy_before.cache_clear()
    return found


def test_counters_are_read_in_joules_of_the_cards_that_count(cards: Cards) -> None:
    found = energy.read()
    assert {uuid: joules for uuid, (_, joules) in found.items()} == {"0000": 7500.0, "0002": 8000.0}
    assert cards.open == 0


def test_a_machine_without_nvml_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.read() == {}
    assert energy.used([]) is None


def test_a_driver_that_fails_costs_no_result(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise cards.NVMLError("driver gone")

    for name in ("nvmlDeviceGetCount", "nvmlShutdown"):
        with monkeypatch.context() as patched:
            patched.setattr(cards, name, fail)
            assert energy.read() == {}


def test_a_record_has_the_energy_of_the_cards_that_the_step_held(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_name=lambda: "H100",
        max_memory_allocated=lambda: 0,
        device_count=lambda: 1,
        get_device_properties=lambda number: SimpleNamespace(uuid="0002"),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: 5, cuda=cuda))
    environment.energy_before()
    (span,) = environment.describe()["energy"].values()
    assert span[2:] == [8000.0, 9000.0]
    assert span[0] <= span[1]
    cuda.get_device_properties = lambda number: SimpleNamespace(uuid="a slice of a card")
    assert "energy" not in environment.describe()
    cuda.is_available = lambda: False
    assert "energy" not in environment.describe()


def test_steps_that_share_a_card_are_counted_once() -> None:
    first, second = {"a": [0.0, 10.0, 100.0, 300.0]}, {"a": [5.0, 20.0, 200.0, 450.0]}
    later, other = {"a": [30.0, 40.0, 500.0, 510.0]}, {"b": [0.0, 10.0, 0.0, 40.0]}
    assert energy.used([later, second, first, other]) == 350 + 10 + 40


def test_a_counter_that_went_back_is_left_out() -> None:
    assert energy.used([{"a": [0.0, 10.0, 900.0, 20.0]}, {"a": [20.0, 30.0, 20.0, 60.0]}]) == 40


def test_a_driver_loaded_anew_between_steps_that_overlap_begins_a_new_span() -> None:
    assert energy.used([{"a": [0.0, 10.0, 900.0, 950.0]}, {"a": [9.0, 20.0, 5.0, 60.0]}]) == 50 + 55


def test_a_step_that_was_read_once_tells_nothing() -> None:
    assert energy.spans({"a": (0.0, 1.0)}, {"b": (1.0, 2.0)}) == {}
