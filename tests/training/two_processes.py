"""What `test_processes.py` runs in two processes by `accelerate launch`: steps of all stages, and runs cut short.

`python two_processes.py FOLDER` ends with the second process killed; `… FOLDER again` goes on from there.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from accelerate import Accelerator
from safetensors.torch import save_file

from clara import program
from clara.errors import ConfigError, ResourceError
from clara.model import backbone
from clara.model.backbone import LoadedBackbone
from clara.model.backbone_card import read_backbone_card
from clara.model.clara import ClaraModel
from clara.training import state
from clara.training.processes import join_launch, wait_for_all
from tests import tiny
from tests.training.test_loop import Interrupting, run, weights
from tests.training.test_processes import STAGES, WHOLE_STAGES, step_of, whole_stage

PLAN = tiny.plan(batch_size=3, save_every=2)  # two examples for one process, one for the other


def main(folder: Path) -> None:
    """Writes the results to `folder`; does not end well, because its second process is killed."""
    accelerator, loaded = begin(folder)
    for stage in STAGES:
        save(step_of(stage, tiny.model(loaded)), folder / f"{stage}.safetensors", accelerator)
    try:
        run(tiny.model(loaded), folder / "none", tiny.plan(batch_size=1, micro_batch_size=1))
    except ConfigError as error:
        (folder / "refusal.txt").write_text(str(error))
    for stage in WHOLE_STAGES:
        whole_stage(stage, folder, folder / stage / "whole")
    whole = tiny.model(loaded)
    run(whole, folder / "whole-state", PLAN)
    save(whole, folder / "whole.safetensors", accelerator)
    find_others(loaded, folder, accelerator)
    save_state = state.save
    state.save = lambda *given: (time.sleep(1), save_state(*given))  # as of a large model
    stopped = stop_second(tiny.model(loaded), folder / "stopped-state", signal.SIGTERM, accelerator)
    state.save = save_state
    saved = (folder / "stopped-state" / "step-000003").exists()
    with (folder / "codes.txt").open("a") as file:
        file.write(f"{accelerator.process_index}:{stopped}:{saved}\n")
    resumed = tiny.model(loaded)
    run(resumed, folder / "stopped-state", PLAN)
    save(resumed, folder / "stopped.safetensors", accelerator)
    stop_second(tiny.model(loaded), folder / "killed-state", signal.SIGKILL, accelerator)


def again(folder: Path) -> None:
    """Goes on with the run whose second process was killed, and with each stage after its second step."""
    accelerator, loaded = begin(folder)
    for stage in WHOLE_STAGES:
        whole_stage(stage, folder, folder / stage / "resumed")
    resumed = tiny.model(loaded)
    run(resumed, folder / "killed-state", PLAN)
    save(resumed, folder / "killed.safetensors", accelerator)


def begin(folder: Path) -> tuple[Accelerator, LoadedBackbone]:
    return join_launch(), backbone.load(read_backbone_card(folder / "backbone" / "card.json"), dtype="float32")


def find_others(loaded: LoadedBackbone, folder: Path, accelerator: Accelerator) -> None:
    """Begins where the second process finds no state, and where it finds the same step of another run."""
    wait_for_all(accelerator)  # the first process may still be saving
    place = accelerator.process_index
    shutil.copytree(folder / "whole-state", folder / f"apart-{place}" / "state")
    card = folder / "apart-1" / "state" / "step-000006" / "card.json"
    if place == 1:
        card.write_text(card.read_text().replace('"loss": ', '"loss": 1'))
    for state_folder in (folder / ("whole-state" if place == 0 else "nowhere"), folder / f"apart-{place}" / "state"):
        try:
            run(tiny.model(loaded), state_folder, PLAN)
        except ResourceError as error:
            with (folder / f"apart-{place}.txt").open("a") as file:
                file.write(f"{error}\n")


def save(model: ClaraModel, path: Path, accelerator: Accelerator) -> None:
    if accelerator.is_main_process:
        save_file(weights(model), path)


def stop_second(model: ClaraModel, state: Path, how: signal.Signals, accelerator: Accelerator) -> int:
    """Trains until the second process, and it alone, gets a signal in its third step; gives the exit status."""
    second = accelerator.process_index == 1
    act: Callable[[], None] = lambda: os.kill(os.getpid(), how)  # noqa: E731
    try:
        run(model, state, PLAN, objective=Interrupting(model, 3, act if second else lambda: None))
    except SystemExit as error:
        return int(str(error.code))
    return 0


if __name__ == "__main__":
    program.run(lambda: (again if sys.argv[2:] else main)(Path(sys.argv[1])))
