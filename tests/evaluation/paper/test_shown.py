"""What the report page reads back from the files of scorecard and tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clara.errors import DataError
from clara.evaluation.paper.shown import read_scorecard, read_tables
from clara.evaluation.paper.writing import panels, table_csv


@pytest.fixture(scope="module")
def inputs(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_run(tmp_path_factory.mktemp("run")).write().inputs


def test_a_table_read_back_writes_the_same_file(inputs: Any) -> None:
    for shown in read_tables(inputs.paper_tables, inputs.specifications, read_scorecard(inputs.scorecard)):
        written = table_csv(shown.filled).splitlines()
        missing = [line for line in shown.csv.read_text().splitlines() if line not in written]
        assert missing == []
        assert all(lines for _, _, lines in panels(shown.filled))


def test_the_scorecard_read_back_counts_its_claims(inputs: Any) -> None:
    scorecard = read_scorecard(inputs.scorecard)
    assert sum(scorecard.counts.values()) == len(scorecard.claims)
    assert (scorecard.run, scorecard.backbone, scorecard.confidence) == ("toy", "mistral", 0.95)
    assert all(claim.commands for claim in scorecard.claims if claim.difference is None)


def test_a_file_that_is_no_scorecard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scorecard.json").write_text('{"run": "toy"}')
    with pytest.raises(DataError, match=r"scorecard.json is no scorecard \(KeyError\('claims'\)\); delete it"):
        read_scorecard(tmp_path / "scorecard.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("table,row", "row,table", 1), "must begin with table,row,system"),
        (lambda text: text.replace(",nq,f1,", ",nq,f1,many", 1), "line 2: could not convert string to float"),
    ],
)
def test_a_damaged_table_is_refused(inputs: Any, tmp_path: Path, change: Callable[[str], str], said: str) -> None:
    path = tmp_path / "table_2.csv"
    path.write_text(change(inputs.paper_tables[0].read_text()))
    with pytest.raises(DataError, match=said):
        read_tables([path], inputs.specifications, read_scorecard(inputs.scorecard))


def test_a_table_without_its_specification_is_refused(inputs: Any) -> None:
    with pytest.raises(DataError, match=r"table_2.csv is no table of any specification; give its own"):
        read_tables(inputs.paper_tables, [], read_scorecard(inputs.scorecard))
