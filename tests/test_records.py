import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from clara import row_files
from clara.errors import DataError
from clara.files import sha256_file, write_json
from clara.records import Passage, Question, document_id, document_text
from clara.row_files import StoredRows, read_column, read_rows, write_rows

ROW: dict[str, Any] = {"id": "1", "question": "Who?", "golden_answers": ["A"], "docs": ["x", "y"], "pos_index": [1]}


def lines(folder: Path, *rows: Any, name: str = "q.jsonl") -> Path:
    (folder / name).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return folder / name


@pytest.mark.parametrize("name", ["p.jsonl", "p.parquet"])
def test_rows_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    rows = [Passage(id="1", title="É", text='a "b"\nc'), Passage(id="2", title="", text="  ")]
    write_rows(tmp_path / name, rows)
    assert read_rows(Passage, tmp_path / name) == rows
    before = (tmp_path / name).read_bytes()
    write_rows(tmp_path / name, rows)
    assert (tmp_path / name).read_bytes() == before


def test_gzipped_lines_blank_lines_and_unknown_fields_are_read(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl.gz"
    path.write_bytes(gzip.compress(("\n" + json.dumps(ROW | {"more": 1}) + "\n\n").encode()))
    assert read_rows(Question, path)[0].question == "Who?"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2 is not JSON"),
        ({**ROW, "docs": []}, "line 2 is no question row.{1,2}field docs: "),
        ({**ROW, "golden_answers": "A"}, "line 2 is no question row.{1,2}field golden_answers: "),
        (
            {key: value for key, value in ROW.items() if key != "id"},
            "line 2 is no question row.{1,2}field id: ",
        ),
        ({**ROW, "pos_index": [2]}, r"line 2: pos_index holds 2, but docs has 2 entries"),
        ({**ROW, "pos_index": [-1]}, r"line 2: pos_index holds -1"),
        ("3", "line 2 is no question row"),
    ],
)
def test_a_bad_row_is_refused_with_file_line_and_field(row: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"q\.jsonl {message}"):
        read_rows(Question, lines(tmp_path, ROW, row))


def test_missing_empty_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
        read_rows(Question, tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="holds no rows"):
        read_rows(Question, lines(tmp_path, "", " "))
    (tmp_path / "latin.jsonl").write_bytes(json.dumps(ROW).encode() + b"\n\xe9\n")
    with pytest.raises(DataError, match=r"latin\.jsonl line 2 is not UTF-8"):
        read_rows(Question, tmp_path / "latin.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(json.dumps(ROW).encode() * 50)[:40])
    with pytest.raises(DataError, match="is damaged or cut short"):
        read_rows(Question, tmp_path / "cut.jsonl.gz")
    with pytest.raises(DataError, match=r"none\.parquet does not exist"):
        read_rows(Passage, tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("PAR1 no")
    with pytest.raises(DataError, match="is no readable Parquet file"):
        read_rows(Passage, tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps({**ROW, "question": "\ud800"}), "line 2 is not JSON .a string holds half of a surrogate pair"),
        ('{"id": ' + "7" * 5000 + "}", "line 2 is not JSON .Exceeds the limit"),
        ("[" * 100_000, "line 2 is not JSON .lists or objects are nested too deeply"),
        ('{"score": NaN}', "line 2 is not JSON .NaN is no JSON number"),
    ],
)
def test_what_no_later_step_could_use_is_refused_where_it_stands(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_rows(Question, lines(tmp_path, ROW, line))


@pytest.mark.parametrize("byte", [15, 25, 60])
def test_gzip_with_a_changed_byte_is_refused(byte: int, tmp_path: Path) -> None:
    content = bytearray(gzip.compress(json.dumps(ROW).encode() * 5))
    content[byte] ^= 0x55
    (tmp_path / "a.jsonl.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.jsonl\.gz"):
        read_rows(Question, tmp_path / "a.jsonl.gz")


def test_rows_are_packed_where_the_name_says_so_and_the_same_each_time(tmp_path: Path) -> None:
    rows = [Passage(id="1", title="É", text="x")]
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_rows(tmp_path / name, rows)
    content = (tmp_path / "a.jsonl.gz").read_bytes()
    assert gzip.decompress(content).decode() == rows[0].model_dump_json() + "\n"
    assert content == (tmp_path / "b.jsonl.gz").read_bytes()
    assert content[4:8] == bytes(4)  # the time
    assert read_rows(Passage, tmp_path / "a.jsonl.gz") == rows


def test_a_parquet_file_with_a_changed_byte_in_its_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_rows(path, [Passage(id="1", title="T", text="a text that stands there as it is")])
    content = path.read_bytes()
    place = content.index(b"as it is")  # the data; further on stand statistics
    path.write_bytes(content[:place] + b"X" + content[place + 1 :])
    with pytest.raises(DataError, match=r"p\.parquet is (no readable|damaged)"):
        read_rows(Passage, path)


@pytest.mark.parametrize("line", ["{", '{"id": 5}'])
def test_a_bad_row_of_the_pipelines_own_file_is_damage_and_not_to_be_mended_by_hand(line: str, tmp_path: Path) -> None:
    path = tmp_path / "nq.jsonl"
    path.write_text(f"{line}\n")
    record = {"command": ["make_candidates.py"], "inputs": {}, "outputs": {path.name: "0" * 64}}
    write_json(tmp_path / "provenance" / "nq.json", record)
    with pytest.raises(DataError, match=r"is not as make_candidates.py wrote it, .*; delete it and run again"):
        read_rows(Question, path)
    record["outputs"] = {path.name: sha256_file(path)}
    write_json(tmp_path / "provenance" / "nq.json", record)
    with pytest.raises(DataError, match="mend or remove"):
        read_rows(Question, path)


def test_a_fault_says_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"field docs\.1: input should be a valid string, found 5; mend"):
        read_rows(Question, lines(tmp_path, {**ROW, "docs": ["x", 5]}))
    with pytest.raises(DataError, match="field pos_index: field required, there are id, question"):
        read_rows(Question, lines(tmp_path, {key: ROW[key] for key in ("id", "question", "golden_answers", "docs")}))


def test_a_document_is_title_and_text_and_its_id_that_of_both() -> None:
    assert document_text("T", "x") == "T\nx"
    assert document_text("", "x") == "x"
    assert Passage(id="", title="T", text="x").document == "T\nx"
    assert document_id("T\nx") != document_id("x")


def test_rows_are_written_and_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "ROW_GROUP", 4)
    taken: list[int] = []

    def rows() -> Iterator[Passage]:
        for number in range(11):
            taken.append(number)
            yield Passage(id=str(number), title="A", text="b" * number)

    write_rows(tmp_path / "a.parquet", rows())
    found = StoredRows(Passage, tmp_path / "a.parquet")
    assert len(found) == len(taken) == 11
    assert list(found) == read_rows(Passage, tmp_path / "a.parquet") == list(rows())
    assert found[9].id == found[-2].id == "9"
    assert [row.id for row in found[3:6]] == ["3", "4", "5"]


def test_only_the_blocks_that_hold_what_is_asked_for_are_read_and_the_last_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Passage(id=str(number), title="A", text="b" * number) for number in range(11)]
    path = tmp_path / "a.parquet"
    write_rows(path, rows, block=4)
    read: list[int] = []
    inner = pyarrow.parquet.ParquetFile.read_row_group
    monkeypatch.setattr(
        pyarrow.parquet.ParquetFile,
        "read_row_group",
        lambda self, number, *given, **more: read.append(number) or inner(self, number, *given, **more),
    )
    found = StoredRows(Passage, path)
    assert found.numbered([6, 2, 6, 3]) == [rows[6], rows[2], rows[6], rows[3]]
    assert found[1:6] == rows[1:6]
    assert read == [0, 1]
    one = StoredRows(Passage, path, kept_bytes=0)
    assert [one[number] for number in (0, 1, 8, 9, 2)] == [rows[number] for number in (0, 1, 8, 9, 2)]
    assert read[2:] == [0, 2, 0]
    assert list(read_column(path, "id")) == [row.id for row in rows]


def test_a_column_that_the_first_rows_leave_empty_keeps_what_later_ones_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "ROW_GROUP", 2)
    gold: list[list[int]] = [[], [], [], [1]]
    rows = [Question(id="a", question="b", golden_answers=["c"], docs=["d", "e"], pos_index=index) for index in gold]
    write_rows(tmp_path / "a.parquet", rows)
    assert read_rows(Question, tmp_path / "a.parquet") == rows
