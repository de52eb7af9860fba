"""Threads of a computation on a CPU: a setting, because each number of them splits and rounds sums its own way."""

import torch


def use(number: int | None) -> None:
    """From now on torch computes with so many threads, whatever the job was given; on a GPU all stays as it is.

    Left to itself torch takes MKL_NUM_THREADS or OMP_NUM_THREADS, which Snakemake sets to what a profile gives a rule.

    Args:
        number: null changes nothing: commands that a person types take what the machine has.
    """
    if number is not None and not torch.cuda.is_available():
        torch.set_num_threads(number)
