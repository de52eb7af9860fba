import gzip
import json

import pytest

from clara.data.question_files import Row, read_question_rows
from clara.errors import DataError


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("a.jsonl", '{"q": 1}\n\n{"q": 2}\n', ["line 1", "line 3"]),
        ("a.json", '{"q": 1}\n{"q": 2}', ["line 1", "line 2"]),
        ("a.json", ' [{"q": 1},\n {"q": 2}]', ["entry 1", "entry 2"]),
        ("a.jsonl.gz", '[{"q": 1}, {"q": 2}]', ["entry 1", "entry 2"]),
    ],
)
def test_lists_and_lines_are_told_apart_by_their_content(tmp_path, name, content, places):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert list(read_question_rows(path)) == [Row(f"{path} {place}", {"q": n}) for n, place in enumerate(places, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no rows"),
        (b"[]", "holds no rows"),
        (b'[{"q": 1},\n{"q"]', r"is not JSON \(.* at line 2 column 5\)"),
        (b'[{"q": "\\ud800"}]', "half of a surrogate pair"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"1" * 5000 + b"]", "Exceeds the limit"),
        (b'{"q": 1}\n{"q"', "line 2 is not JSON"),
        (b'{"q": 1}\n[1]', "line 2 must be an object, found list"),
        (b'[{"q": 1}, "x"]', "entry 2 must be an object, found str"),
        (b'{"q": "\xff"}', "is not UTF-8"),
    ],
)
def test_what_holds_no_questions_is_refused_with_its_place(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_question_rows(path))


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        list(read_question_rows(tmp_path / "a.json"))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"q": "x" * 9999}).encode())[:-12])
    with pytest.raises(DataError, match="is damaged or cut short"):
        list(read_question_rows(path))
