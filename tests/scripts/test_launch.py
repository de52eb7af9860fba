"""One process for each GPU that the job was given; the others' place comes from SLURM."""

import sys

import pytest

from clara.slurm import Rendezvous
from workflow_scripts import launch

ALONE = Rendezvous(1, 0, "localhost", 0)
PROGRAM = ["pretrain.py", "--ratio", "4"]


@pytest.mark.parametrize("gpus", [0, 1])
def test_with_one_gpu_or_none_the_program_runs_as_it_is(gpus: int) -> None:
    assert launch.command_for(PROGRAM, ALONE, gpus=gpus) == [sys.executable, *PROGRAM]


def test_each_gpu_gets_a_process() -> None:
    command = launch.command_for(PROGRAM, ALONE, gpus=2)
    assert "--num_processes=2" in command
    assert "--num_machines=1" in command
    assert command[-3:] == PROGRAM


def test_tasks_meet_at_the_first_node() -> None:
    command = launch.command_for(PROGRAM, Rendezvous(2, 1, "node7", 20042), gpus=4)
    expected = "--num_processes=8 --num_machines=2 --machine_rank=1 --main_process_ip=node7 --main_process_port=20042"
    assert set(expected.split()) <= set(command)


def test_gpus_count_in_a_job_only() -> None:
    assert launch.visible_gpus({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "7"}) == 2
    assert launch.visible_gpus({"CUDA_VISIBLE_DEVICES": "0,1"}) == 0
    assert launch.visible_gpus({"CUDA_VISIBLE_DEVICES": "", "SLURM_JOB_ID": "7"}) == 0
