"""Starts and ends a real SLURM on this one machine: controller, node and users at once, for tests of `--profile slurm`.

    python tests/cluster/single_node.py start     as root; Debian's slurm-wlm and munge must be there
    python tests/cluster/single_node.py stop      ends its jobs and daemons, and deletes its folder

Nothing is installed, no systemd or cgroup is needed, and nothing listens beyond loopback. The node declares more
processors and memory than a laptop has, and two GPUs that are links to /dev/null: a job gets the number of one, for
itself, and no GPU. The partition `urgent` preempts `gpu`. The settings lie in FOLDER; /etc/slurm links there, because
the executor plugin's job step removes SLURM_CONF from the environment.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FOLDER = Path("/var/lib/clara-single-node")
LINK = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
GPUS = 2

CONFIGURATION = """
ClusterName=single
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none

# A requeued job waits until its old credential has expired; two minutes would be usual.
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge

# By process group: linuxproc loses children whose parent died. Memory is polled, and a job above its request killed.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
DefMemPerCPU=512
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
OverTimeLimit=0

# Without an accounting database the states of ended jobs come from squeue, for an hour; `sacct -c` reads the file.
AccountingStorageType=accounting_storage/none
MinJobAge=3600
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.log

NodeName={host} NodeAddr=127.0.0.1 CPUs=64 Boards=1 SocketsPerBoard=1 CoresPerSocket=64 ThreadsPerCore=1 \
RealMemory=512000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES PriorityTier=1 PreemptMode=OFF State=UP
PartitionName=gpu Nodes={host} PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=urgent Nodes={host} PriorityTier=10 PreemptMode=OFF State=UP
"""


def missing() -> str:
    """Why a cluster cannot be started here; the empty text when it can."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"SLURM is not installed ({', '.join(absent)}); on Debian: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "a SLURM of its own can be started by root only"
    if LINK.exists() and LINK.resolve().parent != FOLDER:
        return f"{LINK} belongs to another cluster"
    return ""


def start() -> None:
    """Starts munged, slurmctld and slurmd, and returns when the node takes jobs."""
    if reason := missing():
        raise SystemExit(reason)
    stop()
    configure()
    munge = {name: f"{FOLDER}/munge.{name}" for name in ("key", "socket", "seed")}
    command = ["munged", *(f"--{flag}-file={munge[flag]}" for flag in ("key", "seed")), f"--socket={munge['socket']}"]
    launch([*command, f"--pid-file={FOLDER}/munged.pid", f"--log-file={FOLDER}/munged.log"])
    launch(["slurmctld", "-f", f"{FOLDER}/slurm.conf"])
    wait_until(lambda: "is UP" in output("scontrol", "ping"), "the controller")
    launch(["slurmd", "-f", f"{FOLDER}/slurm.conf"])
    wait_until(lambda: output("sinfo", "-h", "-o", "%T").strip() == "idle", "the node")


def configure() -> None:
    """Writes the key, the settings and the links that stand for GPUs."""
    for name in ("controller", "node", "gpus"):
        (FOLDER / name).mkdir(parents=True)
    FOLDER.chmod(0o755)
    key = FOLDER / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    for number in range(GPUS):
        (FOLDER / "gpus" / f"gpu{number}").symlink_to("/dev/null")
    host = os.uname().nodename.split(".")[0]
    (FOLDER / "slurm.conf").write_text(CONFIGURATION.format(folder=FOLDER, host=host, gpus=GPUS))
    (FOLDER / "gres.conf").write_text(f"NodeName={host} Name=gpu File={FOLDER}/gpus/gpu[0-{GPUS - 1}]\n")
    LINK.parent.mkdir(parents=True, exist_ok=True)
    LINK.symlink_to(FOLDER / "slurm.conf")


def stop() -> None:
    """Ends the jobs, then the daemons, and deletes everything that `start` made."""
    if output("scontrol", "ping").strip().endswith("is UP"):
        output("scancel", *output("squeue", "-h", "-o", "%A").split())
        wait_until(lambda: not output("squeue", "-h", "-t", "R,CG"), "the jobs' end", seconds=30)
    for name in ("slurmd", "slurmctld", "munged"):
        end(FOLDER / f"{name}.pid", name)
    if LINK.is_symlink() and LINK.readlink() == FOLDER / "slurm.conf":
        LINK.unlink()
    shutil.rmtree(FOLDER, ignore_errors=True)


def end(pid_file: Path, name: str) -> None:
    """Ends the daemon of that pid file, if it is that daemon; after ten seconds it is killed."""
    try:
        process = int(pid_file.read_text())
    except (OSError, ValueError):
        return
    name_of = Path(f"/proc/{process}/comm")
    for attempt in range(101):
        if not name_of.exists() or name_of.read_text().strip() != name:
            return
        os.kill(process, signal.SIGTERM if attempt < 100 else signal.SIGKILL)
        time.sleep(0.1)


def launch(command: list[str]) -> None:
    """Starts a daemon that goes into the background by itself."""
    with (FOLDER / "start.log").open("a") as log:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=plain_environment())
    if done.returncode:
        raise SystemExit(f"{command[0]} did not start:\n{(FOLDER / 'start.log').read_text()}")


def output(*command: str) -> str:
    """What a command of SLURM prints; the empty text where it fails or there is no cluster."""
    if not LINK.exists():
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=plain_environment())
    return done.stdout


def plain_environment() -> dict[str, str]:
    """This environment without settings of another cluster or job."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SRUN_"))}


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float = 30) -> None:
    """Returns when `holds()`; ends the program with the logs when it takes too long."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            logs = "".join(path.read_text(errors="replace")[-2000:] for path in FOLDER.glob("*.log"))
            raise SystemExit(f"gave up waiting for {what}:\n{logs}")
        time.sleep(0.1)


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1] if len(sys.argv) == 2 else "start"]()
