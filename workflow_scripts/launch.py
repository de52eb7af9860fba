"""Runs a training program on all GPUs of its job, and on all nodes when `srun` starts it there once a node.

    python workflow_scripts/launch.py workflow_scripts/pretrain.py --settings "$SETTINGS" …
    srun --ntasks-per-node=1 python workflow_scripts/launch.py workflow_scripts/pretrain.py --settings "$SETTINGS" …

Files are those of the program. In a job with several GPUs accelerate starts one process for each, and tasks of
one `srun` meet at the job's first node; everywhere else the program takes this process's place. The number of GPUs
changes no setting: `batch_size` is that of all together.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from clara import gpus, program
from clara.slurm import Rendezvous, rendezvous


def main(argv: list[str] | None = None) -> None:
    """Becomes the program, or accelerate that starts it."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0].startswith("-"):
        program.parser(__doc__).parse_args(arguments or ["--help"])
    several = int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_STEP_NODELIST" in os.environ
    place = rendezvous(os.environ) if several else Rendezvous(1, 0, "localhost", 0)
    command = command_for(arguments, place, gpus=visible_gpus(os.environ))
    os.execv(command[0], command)


def command_for(arguments: Sequence[str], place: Rendezvous, *, gpus: int) -> list[str]:
    """The command that runs the program on `gpus` processors a task, in this task's place among the others."""
    processes = place.machines * max(1, gpus)
    if processes == 1:
        return [sys.executable, *arguments]
    flags = {
        "num_processes": processes,
        "num_machines": place.machines,
        "machine_rank": place.rank,
        "main_process_ip": place.address,
        "main_process_port": place.port,
        "mixed_precision": "no",  # the programs set their own
        "dynamo_backend": "no",
    }
    options = [f"--{name}={value}" for name, value in flags.items()]
    return [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *options, *arguments]


def visible_gpus(variables: Mapping[str, str]) -> int:
    """How many GPUs a SLURM job was given or this process has leased; another visible one may be another job's."""
    own = "SLURM_JOB_ID" in variables or gpus.HELD in variables
    given = variables.get("CUDA_VISIBLE_DEVICES", "") if own else ""
    return len([name for name in given.split(",") if name.strip()])


if __name__ == "__main__":
    program.run(main)
