"""`clara inspect` on a tiny random model: the numbers are the model's own."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import clara
from clara.cli import app
from clara.records import document_id
from tests import tiny

QUESTION = "Who lived in Cid?"


def inspected(*words: object) -> Result:
    return CliRunner().invoke(app, ["inspect", *map(str, words)])


def test_a_passage_of_the_store_is_found_by_its_id_and_ranked(workplace: Path) -> None:
    store = workplace / "results" / "demo" / "compression" / "instruction-cr4-base"
    model = clara.load(workplace / "results" / "demo" / "joint" / "instruction-cr4-base")
    (hits,) = model.search([QUESTION], store=store, k=6)
    for rank, hit in enumerate(hits, 1):
        found = json.loads(inspected(document_id(hit.document), "--question", QUESTION, "--json").stdout)
        assert found["document"] == hit.document
        assert found["score"] == pytest.approx(hit.score, abs=1e-5)
        assert found["rank"] == rank
        assert [text for _, text in found["candidates"]] == [other.document for other in hits]


def test_an_own_text_is_shown_with_what_its_memory_says(workplace: Path) -> None:
    found = json.loads(inspected(tiny.TEXTS[0], "--json").stdout)
    assert [len(tokens) for tokens in found["nearest"]] == [3, 3, 3, 3]
    assert found["score"] is None
    shown = inspected("An own text.", "--question", QUESTION).stdout.splitlines()
    assert [line.split()[0] for line in shown[:6]] == [
        "passage", "paraphrase", "nearest", "question", "lens", "score"
    ]  # fmt: skip


def test_an_id_that_no_passage_has_is_refused(workplace: Path) -> None:
    done = inspected("0123456789abcdef")
    assert done.exit_code == 2
    assert "0 passages of " in done.stderr
