"""The load generator, against a server with a tiny model."""

import asyncio
from pathlib import Path

import pytest

from clara.row_files import write_rows
from clara.server.load import Load, measure, table
from tests import tiny
from tests.server.conftest import World, serving
from workflow_scripts import load_server


def test_every_request_of_every_client_is_counted(world: World) -> None:
    with serving(world) as address:
        load = asyncio.run(measure(address, ["Who left?"], clients=3, requests=10, bad_every=5, max_tokens=2))
    assert load.requests == 8
    assert load.statuses == {"200": 8, "400": 1, "404": 1}
    assert 0 < load.p50 <= load.p99 <= load.seconds


def test_the_quantiles_and_the_rate_are_those_of_the_answered() -> None:
    load = Load(clients=2, requests=4, seconds=2.0, p50=0.5, p99=1.25, statuses={"200": 4, "lost": 1})
    assert list(table([load]))[-1] == "| 2 | 4 | 2.00 | 0.50 | 1.25 | 200: 4, lost: 1 |"


def test_the_program_prints_a_table_and_the_servers_memory(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "questions.jsonl", tiny.questions())
    with serving(world) as address:
        given = ["--url", address, "--questions", str(tmp_path / "questions.jsonl"), "--clients", "1", "2"]
        load_server.main([*given, "--requests", "3", "--max-tokens", "2"])
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1:3] for line in shown[2:4]] == [[" 1 ", " 3 "], [" 2 ", " 3 "]]
    assert shown[-1].startswith("memory of the server: ")
