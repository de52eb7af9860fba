"""What `test_loop.py` runs in two processes: a step of two objectives, a run that one process is told to stop."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator
from safetensors.torch import save_file

from clara.errors import ConfigError
from clara.model import backbone
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.training.examples import Example
from clara.training.objectives import CompressionObjective, Outcome, Totals
from tests import tiny
from tests.training.test_loop import one_step, run, weights
from tests.training.test_objectives import joint


def main(folder: Path) -> None:
    """Writes the results to `folder`."""
    accelerator = Accelerator(cpu=True)
    loaded = backbone.load(backbone.read_card(folder / "backbone" / "card.json"), dtype="float32")
    for stage in ("pretraining", "joint"):
        model = tiny.model(loaded)
        if stage == "joint":
            one_step(model, joint(model), tiny.question_examples(model)[:3], [QUERY_REASONER, GENERATOR], 1)
        else:
            examples = tiny.pair_examples(model)[:3]
            one_step(model, CompressionObjective(model, mse_weight=0.1), examples, [COMPRESSOR, GENERATOR], 1)
        if accelerator.is_main_process:
            save_file(weights(model), folder / f"{stage}.safetensors")
    model = tiny.model(loaded)
    try:
        run(model, folder / "none", tiny.plan(batch_size=1, micro_batch_size=1))
    except ConfigError as error:
        (folder / "refusal.txt").write_text(str(error))
    stop(tiny.model(loaded), folder, accelerator)


def stop(model: object, folder: Path, accelerator: Accelerator) -> None:
    """Trains until the second process, and it alone, is terminated in its first step."""
    inner = CompressionObjective(model, mse_weight=0.1)  # type: ignore[arg-type]
    steps = set()

    def objective(examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        if inner.model.training:
            steps.add(progress)
            if accelerator.process_index == 1:
                os.kill(os.getpid(), signal.SIGTERM)
        return inner(examples, totals, progress=progress, seed=seed)

    try:
        run(model, folder / "state", tiny.plan(), objective=objective)  # type: ignore[arg-type]
        code = 0
    except SystemExit as error:
        code = int(str(error.code))
    with (folder / "codes.txt").open("a") as file:
        file.write(f"{accelerator.process_index}:{code}:{len(steps)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
