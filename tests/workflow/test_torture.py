"""The short form of torture.py's downloads: servers that misbehave, each asked until it gives the right bytes.

Kills are in test_end_to_end.py; the long form, with a hundred of them and all faults: `make torture` (docs/faults.md).
"""

import hashlib
from pathlib import Path

import pytest

from clara.data.download import Patience
from clara.data.fetch import fetch
from clara.errors import ClaraError
from tests.workflow import bad_server

CONTENT = b"line of text\n" * 5000


@pytest.mark.parametrize("behaviour", [name for name in bad_server.BEHAVIOURS if name != "stalls in the middle"])
def test_a_bad_server_gives_the_right_bytes_or_a_sentence(behaviour: str, tmp_path: Path) -> None:
    # The stalling one takes a minute and a half; tests/data/test_fetch.py has it with less patience.
    patience = Patience(attempts=2, stall_seconds=5, sleep=lambda seconds: None)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    with bad_server.serving(CONTENT, behaviour) as server:
        try:
            fetch(server.url, tmp_path / "dump", sha256=sha256, patience=patience)
        except ClaraError:
            assert not (tmp_path / "dump").exists()
        else:
            assert (tmp_path / "dump").read_bytes() == CONTENT
        server.behaviour = bad_server.WELL
        fetch(server.url, tmp_path / "dump", sha256=sha256, patience=patience)
    assert (tmp_path / "dump").read_bytes() == CONTENT
