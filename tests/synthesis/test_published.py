"""Ready data: our files and the released layout, read and written."""

import json
import tracemalloc
from pathlib import Path

import pytest

from clara.errors import DataError
from clara.records import Pair
from clara.row_files import read_rows, write_rows
from clara.synthesis import published
from clara.synthesis.rows import pair_row

QA = {"data_type": "qa", "question": ["Who?", "When?"], "answers": ["Ida", "1204"], "docs": ["Town\nIda, 1204."]}
PARAPHRASE = {"data_type": "paraphrase", "question": "", "answers": ["In 1204, Ida."], "docs": ["Town\nIda, 1204."]}


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_both_released_kinds_load_together(tmp_path: Path) -> None:
    pairs = list(published.Pairs(write_lines(tmp_path / "a.jsonl", QA, PARAPHRASE)))
    assert [(pair.kind, pair.question, pair.answer) for pair in pairs] == [
        ("simple", "Who?", "Ida"),
        ("simple", "When?", "1204"),
        ("paraphrase", "", "In 1204, Ida."),
    ]
    assert len({pair.document_id for pair in pairs}) == 1
    assert len({pair.id for pair in pairs}) == 3


def test_rows_may_tell_simple_from_complex(tmp_path: Path) -> None:
    rows = [{**QA, "data_type": kind} for kind in ("simple", "complex")]
    assert [pair.kind for pair in published.Pairs(write_lines(tmp_path / "a.jsonl", *rows))] == [
        "simple", "simple", "complex", "complex",
    ]  # fmt: skip


def test_the_released_layout_comes_back_as_it_was(tmp_path: Path) -> None:
    pairs = list(published.Pairs(write_lines(tmp_path / "a.jsonl", QA, PARAPHRASE)))
    published.write(tmp_path / "b.jsonl", pairs)
    rows = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert rows == [QA, {**PARAPHRASE, "question": [""]}]
    assert list(published.Pairs(tmp_path / "b.jsonl")) == pairs


@pytest.mark.parametrize("name", ["pairs.parquet", "pairs.jsonl"])
def test_our_own_files_are_read_and_equal_rows_kept_once(tmp_path: Path, name: str) -> None:
    pair = Pair(**pair_row("Town\nIda.", "complex", "Who?", "Ida"), round=2, source="model")
    write_rows(tmp_path / name, [pair, pair])
    assert list(published.Pairs(tmp_path / name)) == [pair] == read_rows(Pair, tmp_path / name)[:1]


def test_rows_with_equal_content_are_counted_and_the_first_is_kept(tmp_path: Path) -> None:
    ready = published.Pairs(write_lines(tmp_path / "a.jsonl", QA, PARAPHRASE, QA))
    assert ready.repeated == 0
    assert [pair.answer for pair in ready] == ["Ida", "1204", "In 1204, Ida."]
    assert ready.repeated == 2
    assert len(list(ready)) == 3
    assert ready.repeated == 2


def test_a_large_file_is_read_with_its_ids_alone_kept(tmp_path: Path) -> None:
    rows = [{**QA, "docs": [f"Town{number}\n" + "Ida came. " * 500]} for number in range(400)]
    size = write_lines(tmp_path / "a.jsonl", *rows).stat().st_size
    tracemalloc.start()
    assert sum(1 for _ in published.Pairs(tmp_path / "a.jsonl")) == 800
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 5


def test_neighbours_of_one_document_are_one_run(tmp_path: Path) -> None:
    other = {**QA, "docs": ["Bay\nIda, 1204."]}
    ready = published.Pairs(write_lines(tmp_path / "a.jsonl", QA, PARAPHRASE, other, {**QA, "data_type": "complex"}))
    assert [run for run, _ in published.runs(ready)] == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**QA, "data_type": "chat"}, r"a\.jsonl line 1: data_type is 'chat', expected qa, simple, complex, par"),
        ({**QA, "answers": ["one"]}, "2 questions but 1 answers"),
        ({**QA, "answers": None}, "answers must be a text or a list of texts, found None"),
        ({**QA, "question": [1, 2]}, "question must be a text or a list of texts"),
        ({**QA, "docs": []}, "docs has 0 entries, expected one document"),
        ({**QA, "question": ["Who?", " "]}, r"a\.jsonl line 1: question holds an empty text; mend or remove the row"),
        ({**QA, "answers": ["Ida", ""]}, r"a\.jsonl line 1: answers holds an empty text"),
        ({**QA, "docs": ["\n"]}, r"a\.jsonl line 1: docs holds an empty text"),
        ({**PARAPHRASE, "answers": [" "]}, r"a\.jsonl line 1: answers holds an empty text"),
        ({"kind": "simple"}, "line 1 is no pair row: field id"),
        ([1], "line 1 is no pair row"),
    ],
)
def test_a_malformed_row_is_refused_with_line_and_field(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(published.Pairs(write_lines(tmp_path / "a.jsonl", row)))


@pytest.mark.parametrize("name", ["pairs.parquet", "pairs.jsonl"])
def test_a_blank_text_in_a_file_of_our_own_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    rows = [Pair(**pair_row("Town\nIda.", "complex", "Who?", answer)) for answer in ("Ida", "")]
    write_rows(tmp_path / name, rows)
    with pytest.raises(DataError, match=rf"{name} (row|line) 2: answer holds an empty text"):
        list(published.Pairs(tmp_path / name))
