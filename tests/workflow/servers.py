"""A bucket and a server by SSH on this machine, as a DVC remote finds them; each needs programs that may be missing."""

import getpass
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest


class Remote(NamedTuple):
    """What a person would tell DVC of it."""

    url: str
    settings: dict[str, str]
    """For `.dvc/config`, which everybody reads."""
    secrets: dict[str, str]
    """For `.dvc/config.local`."""
    refused: dict[str, str]
    """Secrets that it refuses; of the bucket see `refuse_all`."""
    elsewhere: str
    """An address at the same server where nothing is."""
    server: subprocess.Popen[bytes]


@contextmanager
def bucket(folder: Path) -> Iterator[Remote]:
    """A bucket of a moto server, which knows no key and checks none until `refuse_all`."""
    if find_spec("dvc_s3") is None or (program := shutil.which("moto_server")) is None:
        pytest.skip("takes dvc-s3 as in docs/dvc.md, and moto_server on the PATH (pip install moto[s3,server]==5.2.5)")
    port = free_port()
    credentials = folder / "credentials"
    keys = "aws_access_key_id = {0}\naws_secret_access_key = {0}\n"
    credentials.write_text(f"[mine]\n{keys.format('any')}")
    with running([program, "-H", "127.0.0.1", "-p", str(port)], port, folder / "moto.log") as server:
        address = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{address}/clara", method="PUT"), timeout=30).close()
        yield Remote(
            url="s3://clara/results",
            settings={"endpointurl": address},
            secrets={"profile": "mine", "credentialpath": str(credentials)},
            refused={},
            elsewhere="s3://no-such-bucket/results",
            server=server,
        )


def refuse_all(remote: Remote) -> None:
    """From now on the bucket refuses every key."""
    address = f"{remote.settings['endpointurl']}/moto-api/reset-auth"
    request = urllib.request.Request(address, data=b"0", headers={"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def ssh(folder: Path) -> Iterator[Remote]:
    """A folder of this machine behind an sshd of its own, with keys of its own."""
    program = shutil.which("sshd", path=f"/usr/sbin:{folder}")
    if find_spec("dvc_ssh") is None or program is None or shutil.which("ssh-keygen") is None:
        pytest.skip(
            "takes dvc-ssh as in docs/dvc.md, and OpenSSH's sshd and ssh-keygen (apt-get install openssh-server)"
        )
    port = free_port()
    for name in ("host", "mine", "nobodys"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "mine.pub", folder / "authorized_keys")
    configuration = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",  # the temporary folder belongs to everybody
        "PasswordAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in configuration.items()))
    if Path("/run").stat().st_uid == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
    with running(command, port, folder / "sshd.log") as server:
        yield Remote(
            url=f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/results",
            settings={},
            secrets={"keyfile": str(folder / "mine")},
            refused={"keyfile": str(folder / "nobodys")},
            elsewhere=f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/no-such-folder",
            server=server,
        )


def free_port() -> int:
    """A port of this machine that nothing listens at."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return int(there.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens at `port`; ended at the end."""
    with log.open("wb") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        for _ in range(300):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        server.terminate()
        server.wait(30)
