"""Disks that are full or may only be read, under a run: small tmpfs, which only root can mount."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.workflow.faults import TRAINED, below, weights
from tests.workflow.harm import SAME, Outcome, checkout, judged, run


@contextmanager
def small_disk(here: Path, name: str, options: str) -> Iterator[Path]:
    """A folder of the checkout on a file system of its own."""
    (here / name).mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(here / name)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield here
    finally:
        subprocess.run(["umount", str(here / name)], check=True)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount: root may, but not in every container."""
    probe = folder / "probe"
    try:
        with small_disk(folder, probe.name, "size=100k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        probe.rmdir()


PASSAGES = "corpus/passages.parquet"
DISKS = {
    "results on a disk of 200 KB": ("results", "size=200k", "backbone/card.json"),
    "results on a disk of 600 KB": ("results", "size=600k", TRAINED),
    "states on a disk of 400 KB": ("state", "size=400k", TRAINED),
    "logs on a full disk": ("logs", "size=4k", TRAINED),
    "read-only results": ("results", "size=200m,ro", PASSAGES),
    "read-only states": ("state", "size=200m,ro", TRAINED),
}
"""Harm → the folder that lies on a bad disk, how that is mounted, and what is made. What pretraining stands on takes
560 KB, its own results 130 more; its log takes 700 bytes."""


def disks(folder: Path, finished: Path, reference: dict[str, bytes], harms: Iterable[str] = DISKS) -> Iterator[Outcome]:
    """Full disks and such that may only be read, each then mended and the run started again.

    Where states or logs lie there, pretraining is made again in a copy of the finished run; else all from the start.
    """
    for harm in harms:
        name, bad, target = DISKS[harm]
        if name == "results":
            here = checkout(folder / "disk")
        else:
            here = Path(shutil.copytree(finished, folder / "disk"))
            shutil.rmtree(here / below("pretraining"))
            shutil.rmtree(here / "state")
            shutil.rmtree(here / "logs")
        made = [target, *weights(reference)] if target == TRAINED else [target]
        wanted = {path: (finished / below(path)).read_bytes() for path in made}
        with small_disk(here, name, bad):
            if name == "logs":
                (here / name / "filler").write_bytes(bytes(4096))
            first = judged(harm, here, run(here, targets=[below(target)]), wanted)
            # A log that does not fit its disk ends no run: the system's words are on the screen.
            unfelt = first.result == SAME and "No space left on device" not in (here / "run.txt").read_text()
            yield first._replace(result="NOT FELT") if unfelt else first
            subprocess.run(["mount", "-o", "remount,rw,size=200m", str(here / name)], check=True)
            yield judged(f"{harm}, mended", here, run(here, targets=[below(target)]), wanted)
        shutil.rmtree(here)
    yield from crowded(folder, finished, reference)


def crowded(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """All of a run on one disk that is nearly full, what programs make and what Snakemake itself keeps; then with room.

    What the run says is written elsewhere, as to a terminal.
    """
    harm, here = "1.5 MB of disk for all of a run", folder / "disk"
    here.mkdir()
    wanted = {path: (finished / below(path)).read_bytes() for path in [TRAINED, *weights(reference)]}
    with small_disk(here, "", "size=100m"):
        checkout(here)
        (here / "run.txt").symlink_to(folder / "crowded.txt")
        filler = here / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(here).free - 1_500_000))
        first = judged(harm, here, run(here, targets=[below(TRAINED)]), wanted)
        yield first._replace(result="NOT FELT") if first.result == SAME else first
        filler.unlink()
        yield judged(f"{harm}, mended", here, run(here, targets=[below(TRAINED)]), wanted)
    here.rmdir()
