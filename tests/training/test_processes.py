"""Training in two processes, as `accelerate launch` starts them on CPUs."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from clara.errors import CheckpointError, ResourceError
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.training import processes
from clara.training.objectives import CompressionObjective
from clara.training.processes import (
    any_process,
    await_main,
    by_main,
    join_launch,
    least_and_most,
    wait_for_all,
    wait_on_hosts,
)
from clara.training.question_examples import instruction_examples
from tests import tiny
from tests.training.counted import Second
from tests.training.test_joint import ranking
from tests.training.test_loop import one_step, weights
from tests.training.test_objectives import joint
from tests.training.test_stages import join, pretrain, tune

Make = Callable[..., ClaraModel]
STAGES = ("pretraining", "instruction", "joint", "marginal", "ranking")
WHOLE_STAGES = ("pretraining", "instruction", "joint")
FOUR_STEPS = {"steps": 4, "save_every": 2, "batch_size": 3, "micro_batch_size": 1, "learning_rate": 1e-3}
MIDDLE = "step-000002"
LAUNCH = "--multi_gpu --num_machines 1 --num_processes 2 --mixed_precision no --dynamo_backend no".split()
"""`multi_gpu` starts a process each, with GPUs or without; `--cpu` would want MPI."""


def step_of(stage: str, model: ClaraModel) -> ClaraModel:
    """`model` after one step of a stage over three examples, one at a time."""
    compression = CompressionObjective(model, mse_weight=0.1)
    match stage:
        case "pretraining":
            one_step(model, compression, tiny.pair_examples(model)[:3], [COMPRESSOR, GENERATOR], 1)
        case "instruction":
            options = {"top_k": 2, "max_target_tokens": 12, "seed": 1}
            examples = list(instruction_examples(tiny.questions(), model.tokens, **options))[:3]
            one_step(model, compression, examples, [COMPRESSOR, GENERATOR], 1)
        case "joint":
            one_step(model, joint(model), tiny.question_examples(model)[:3], [QUERY_REASONER, GENERATOR], 1)
        case "marginal":
            objective, examples = joint(model, selection="marginal"), tiny.question_examples(model, top_k=1)[:3]
            one_step(model, objective, examples, [QUERY_REASONER, GENERATOR], 1)
        case "ranking":
            one_step(model, ranking(model), tiny.question_examples(model)[:3], [QUERY_REASONER], 1)
    return model


def whole_stage(stage: str, folder: Path, target: Path) -> None:
    """A stage from its settings to its checkpoint below `target`; goes on where `target` holds a state."""
    start = folder / "start" / "card.json"
    match stage:
        case "pretraining":
            pretrain(folder / "backbone" / "card.json", target, optimization=FOUR_STEPS)
        case "instruction":
            tune(start, target, optimization=FOUR_STEPS)
        case "joint":
            join(start, target, manifest=folder / "store" / "manifest.json", optimization=FOUR_STEPS)


def written(stage: str, folder: Path) -> Path:
    """Where `whole_stage` leaves its checkpoint."""
    return folder / {"pretraining": "pretrained", "instruction": "tuned", "joint": "joint"}[stage]


class Launches(NamedTuple):
    folder: Path
    killed: "subprocess.CompletedProcess[str]"
    again: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def two(backbones: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Launches:
    """What two processes left, the launch of which the second was killed, and the one after it."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(backbones("llama").card.path.parent, folder / "backbone")
    tiny.store(checkpoint.load(tiny.save(tiny.model(backbones("llama")), folder / "start"), dtype="float32"), folder)

    def launch(*arguments: str) -> "subprocess.CompletedProcess[str]":
        script = str(Path(__file__).with_name("two_processes.py"))
        command = [sys.executable, "-m", "accelerate.commands.launch", *LAUNCH, script, str(folder), *arguments]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    killed = launch()
    for stage in WHOLE_STAGES:
        shutil.copytree(folder / stage / "whole" / "state" / MIDDLE, folder / stage / "resumed" / "state" / MIDDLE)
    return Launches(folder, killed, launch("again"))


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_make_the_update_of_one(stage: str, two: Launches, make_model: Make) -> None:
    untouched = make_model()
    alone = weights(step_of(stage, make_model()))
    found = load_file(two.folder / f"{stage}.safetensors")
    assert found.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)
    assert any(not torch.equal(value, found[name]) for name, value in weights(untouched).items()) or stage == "ranking"


def test_fewer_examples_than_processes_are_refused(two: Launches) -> None:
    assert "batch_size = 1 leaves some of 2 processes without examples" in (two.folder / "refusal.txt").read_text()


def test_processes_that_find_different_states_do_not_train(two: Launches) -> None:
    for place, step in enumerate((6, 0)):
        absent, other = (two.folder / f"apart-{place}.txt").read_text().splitlines()
        assert f"different states in {two.folder}" in absent
        assert f"(this one has that of step {step}, hash" in absent
        assert "all together have those of steps 0 to 6, 0 being none)" in absent
        assert "all together have those of steps 6 to 6, 0 being none)" in other


def test_the_least_and_the_most_of_a_number_are_found_between_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    large = 2**60 - 1

    def other_process_has_these(value: torch.Tensor, op: Any, group: object) -> None:
        assert op == torch.distributed.ReduceOp.MAX
        value.copy_(torch.maximum(value, torch.tensor([[4, -4], [large - 1, 1 - large]])))

    monkeypatch.setattr(processes, "_hosts", lambda: None)
    monkeypatch.setattr(torch.distributed, "all_reduce", other_process_has_these)
    assert least_and_most([2, large], Second()) == [(2, 4), (large - 1, large)]  # type: ignore[arg-type]


def test_a_process_that_finds_no_others_does_not_train_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    join_launch()  # alone; accelerate keeps the place that it found first
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ResourceError, match="says WORLD_SIZE=2, but this process trains among 1"):
        join_launch()


@pytest.mark.parametrize("stage", WHOLE_STAGES)
def test_a_stage_is_written_once_and_with_the_history_of_one_process(stage: str, two: Launches, tmp_path: Path) -> None:
    whole_stage(stage, two.folder, tmp_path)
    found, alone = (
        [json.loads(line) for line in (written(stage, folder) / "history.jsonl").read_text().splitlines()]
        for folder in (two.folder / stage / "whole", tmp_path)
    )
    assert [row.pop("split") for row in found] == [row.pop("split") for row in alone]
    for one, other in zip(found, alone, strict=True):
        assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("stage", WHOLE_STAGES)
def test_two_processes_go_on_with_a_stage_in_its_middle_to_the_same_bits(stage: str, two: Launches) -> None:
    assert two.again.stderr.count("goes on after step 2") == len(WHOLE_STAGES) + 1
    whole, resumed = (written(stage, two.folder / stage / run) for run in ("whole", "resumed"))
    for name in ("adapters.safetensors", "history.jsonl"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_processes_stop_together_when_one_is_told_to_and_go_on_to_the_same_bits(two: Launches) -> None:
    codes = sorted((two.folder / "codes.txt").read_text().split())
    assert codes == ["0:143:True", "1:143:True"]  # and no process before the state is saved
    whole, resumed = load_file(two.folder / "whole.safetensors"), load_file(two.folder / "stopped.safetensors")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_killed_process_ends_the_launch_with_a_sentence(two: Launches) -> None:
    assert two.killed.returncode != 0
    assert "error: process 0 of 2 lost another one, which was killed or failed" in two.killed.stderr
    assert "launch again to go on from the last saved state" in two.killed.stderr
    assert (two.folder / "stopped.safetensors").exists(), two.killed.stderr[-3000:]  # nothing failed before the kill


def test_a_process_lost_at_the_end_is_named_as_well() -> None:
    class Alone:
        process_index, num_processes, device = 1, 2, torch.device("cpu")

        def reduce(self, value: torch.Tensor, reduction: str) -> torch.Tensor:
            raise RuntimeError("Connection closed by peer")

    with pytest.raises(ResourceError, match="process 1 of 2 lost another one, which was killed or failed"):
        wait_for_all(Alone())  # type: ignore[arg-type]


def test_whoever_waits_for_a_save_hears_of_a_lost_process_between_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Left:
        process_index, num_processes, device = 1, 2, torch.device("meta")

    def closed(value: torch.Tensor, group: object) -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(processes, "_hosts", lambda: None)
    monkeypatch.setattr(torch.distributed, "all_reduce", closed)
    with pytest.raises(ResourceError, match="process 1 of 2 lost another one, which was killed or failed"):
        wait_on_hosts(Left())  # type: ignore[arg-type]


def test_a_process_waits_for_the_main_one_as_long_as_that_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.01)
    beat, made = tmp_path / "lease.json", tmp_path / "made"
    beat.touch()

    def main_process() -> None:
        for tick in range(15):  # a second and a half, thrice as long as a silent one is waited for
            time.sleep(0.1)
            os.utime(beat, ns=(tick, tick))
        made.touch()

    at_work = threading.Thread(target=main_process)
    at_work.start()
    await_main(made.exists, Second(), beat=beat)  # type: ignore[arg-type]
    assert made.exists()
    at_work.join()
    made.unlink()
    for touched in (True, False):  # left behind by one that was killed, or removed by one that failed
        beat.touch() if touched else beat.unlink()
        with pytest.raises(ResourceError, match="process 1 of 2 lost another one"):
            await_main(made.exists, Second(), beat=beat)  # type: ignore[arg-type]


@pytest.mark.parametrize("fails", [False, True])
def test_long_work_is_the_main_processs_and_the_others_wait_for_it(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads stand for two processes: each exchange waits for both, and adds what they bring."""
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.01)
    meeting, brought, done = threading.Barrier(2, timeout=60), [0.0, 0.0], list[str]()

    def exchanged(flag: bool, launch: Any) -> bool:
        brought[launch.process_index] = flag
        meeting.wait()
        found = any(brought)
        meeting.wait()
        return found

    class First(Second):
        process_index, is_main_process = 0, True

    def work() -> None:
        time.sleep(0.3)
        if fails:
            raise CheckpointError("harmed")
        done.append("work")

    def second() -> None:
        try:
            by_main(lambda: done.append("twice"), Second())  # type: ignore[arg-type]
            done.append("second")
        except ResourceError as error:
            done.append(str(error)[:34])

    monkeypatch.setattr(processes, "any_process", exchanged)
    other = threading.Thread(target=second)
    other.start()
    with pytest.raises(CheckpointError, match="harmed") if fails else nullcontext():
        by_main(work, First())  # type: ignore[arg-type]
    other.join()
    assert done == (["process 1 of 2 lost another one, w"] if fails else ["work", "second"])


def test_whether_to_stop_is_asked_between_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnDevice:
        process_index, num_processes, device = 0, 2, torch.device("meta")

    def other_process_says_yes(value: torch.Tensor, group: object) -> None:
        assert value.device.type == "cpu"
        value += 1

    monkeypatch.setattr(processes, "_hosts", lambda: None)
    monkeypatch.setattr(torch.distributed, "all_reduce", other_process_says_yes)
    assert any_process(False, OnDevice())  # type: ignore[arg-type]
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda value, group: None)
    assert not any_process(False, OnDevice())  # type: ignore[arg-type]


def test_a_launch_after_a_kill_goes_on_to_the_same_bits(two: Launches) -> None:
    assert two.again.returncode == 0, two.again.stderr[-3000:]
    assert "goes on after step 2" in two.again.stderr
    whole, resumed = load_file(two.folder / "whole.safetensors"), load_file(two.folder / "killed.safetensors")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
