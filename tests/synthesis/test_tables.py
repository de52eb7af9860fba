"""Tables read and written by groups: types, bytes, damage."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from clara import row_files
from clara.errors import DataError
from clara.records import Pair
from clara.row_files import Rows, read_rows
from clara.synthesis import tables
from clara.synthesis.rows import Rejected, pair_row


def pair(number: int) -> Pair:
    return Pair(**pair_row("Town\nIda.", "simple", f"Who is number {number}?", "Ida"), round=1, source="facts")


def test_rows_come_back_over_several_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_WRITTEN", 3)
    monkeypatch.setattr(row_files, "ROW_GROUP", 2)
    rows = [pair(number) for number in range(8)]
    tables.write(Pair, tmp_path / "a.parquet", iter(rows))
    found = Rows(Pair, tmp_path / "a.parquet", tmp_path / "a.parquet")
    assert list(found) == list(found) == rows + rows


def test_the_bytes_do_not_depend_on_how_the_rows_come(tmp_path: Path) -> None:
    rows = [pair(number) for number in range(50)]
    tables.write(Pair, tmp_path / "a.parquet", rows)
    tables.write(Pair, tmp_path / "b.parquet", chain(rows[:7], rows[7:]))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_block_that_fails_leaves_no_table(tmp_path: Path) -> None:
    def rows() -> Iterator[Pair]:
        yield pair(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables.write(Pair, tmp_path / "a.parquet", rows())
    assert list(tmp_path.iterdir()) == []


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    import pyarrow.parquet

    tables.write(Rejected, tmp_path / "a.parquet", [])
    assert read_rows(Rejected, tmp_path / "a.parquet") == []
    assert pyarrow.parquet.read_schema(tmp_path / "a.parquet").names == list(Rejected.model_fields)


def test_damage_is_told_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"a\.parquet is .*(readable|damaged)"):
        read_rows(Pair, tmp_path / "a.parquet")
