"""Declared code changes: which fingerprint stands for which."""

from pathlib import Path

import pytest

from clara.accepted import Accepted, Change
from clara.errors import ConfigError


def change(old: str, new: str, rule: str = "pretrain") -> Change:
    return Change("pretraining", rule, old, new, "A", "2026-11-27", "names only")


def test_a_chain_of_declarations_leads_to_the_oldest_code() -> None:
    accepted = Accepted([change("a", "b"), change("b", "c"), change("x", "c", rule="score")])
    assert [accepted.canonical("pretrain", one) for one in "abc"] == ["a", "a", "a"]
    assert accepted.canonical("score", "c") == "x"
    assert accepted.canonical("pretrain", "d") == "d"


def test_declarations_to_and_fro_end() -> None:
    accepted = Accepted([change("a", "b"), change("b", "a")])
    assert {accepted.canonical("pretrain", one) for one in "ab"} == {"a"}


def test_they_are_written_and_read(tmp_path: Path) -> None:
    assert Accepted.read(tmp_path).changes == []
    Accepted([change("a", "b")]).write(tmp_path, [change("b", "c")])
    assert Accepted.read(tmp_path).changes == [change("a", "b"), change("b", "c")]


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "accepted.json").write_text('[{"rule": "pretrain"}]')
    with pytest.raises(ConfigError, match=r"should be a list of \{stage, rule"):
        Accepted.read(tmp_path)
