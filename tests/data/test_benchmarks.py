import json

import pytest

from clara.data.benchmarks import Files, prepare
from clara.errors import ConfigError, DataError
from clara.files import text_id
from clara.records import Passage
from clara.row_files import write_rows


def row(number, name="q", **changes):
    values = {"id": f"{name}{number}", "question": f"What is {name}{number}?", "golden_answers": ["a"], "type": "x"}
    return {**values, "docs": [f"T\n{number % 3}", "U\nother"], "pos_index": [0], **changes}


@pytest.fixture
def write(tmp_path):
    def write(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(values) + "\n" for values in rows))
        return str(path)

    return write


def parts(files, tmp_path, *, kind="rows", num_train=None, num_test=None):
    return prepare(files, kind=kind, passages=tmp_path / "passages.parquet", num_train=num_train, num_test=num_test)


def ids(questions):
    return [question.id for question in questions]


def test_without_a_training_file_the_test_file_is_split(write, tmp_path):
    found = parts(Files(None, write("t.jsonl", map(row, range(10))), None), tmp_path, num_test=6, num_train=3)
    assert (len(found.test), len(found.train)) == (6, 3)
    assert not set(ids(found.test)) & set(ids(found.train))


def test_files_keep_their_order_and_first_questions(write, tmp_path):
    train = write("train.jsonl", [row(number, "r") for number in range(5)])
    files = Files(train, write("t.jsonl", map(row, range(5))), write("n.jsonl", map(row, range(4))))
    found = parts(files, tmp_path, num_test=3, num_train=2)
    assert ids(found.test) == ids(found.test_normal) == ["q0", "q1", "q2"]
    assert ids(found.train) == ["r0", "r1"]


def test_training_questions_that_are_tested_are_dropped_and_counted(write, tmp_path):
    train = write("train.jsonl", [row(0), row(1, "r"), row(2, "r", question="what is Q3")])
    found = parts(Files(train, write("t.jsonl", map(row, range(5))), None), tmp_path)
    assert ids(found.train) == ["r1"]
    assert found.report("nq")["dropped"] == {"train_is_in_test": 2}


def test_normal_questions_that_fell_into_training_are_dropped(write, tmp_path):
    rows = [row(number) for number in range(8)]
    found = parts(Files(None, write("t.jsonl", rows), write("n.jsonl", rows)), tmp_path, num_test=5)
    assert set(ids(found.test_normal)) <= set(ids(found.test))


def test_the_report_counts_types_and_shared_gold_documents(write, tmp_path):
    train = write("train.jsonl", [row(0, "r"), row(1, "r")])
    test = write("t.jsonl", [row(0, type="y"), row(2), row(3, golden_answers=["a", "b"])])
    assert parts(Files(train, test, None), tmp_path).report("nq") == {
        "benchmark": "nq",
        "train": {"questions": 2, "types": {"x": 2}, "gold_documents_mean": 1.0, "with_several_answers": 0},
        "test": {"questions": 3, "types": {"x": 2, "y": 1}, "gold_documents_mean": 1.0, "with_several_answers": 1},
        "test_normal": {"questions": 0},
        "dropped": {},
        "overlap": {"gold_documents_of_both": 1, "test_questions_with_a_gold_document_of_train": 2},
    }


def test_supports_are_resolved_against_the_corpus(write, tmp_path):
    write_rows(tmp_path / "passages.parquet", [Passage(id=text_id("T\nsome words"), title="T", text="some words")])
    support = {"support": [{"title": "T", "contains": "words"}]}
    rows = [{**row(number), **support} for number in range(2)]
    found = parts(Files(None, write("t.jsonl", rows), None), tmp_path, kind="supports", num_test=1)
    assert found.test[0].docs == ["T\nsome words"]
    rows[1]["support"] = [{"title": "T", "contains": "gone"}]
    with pytest.raises(DataError, match=r"t.jsonl line 2, question q1: 'gone' of 'T'"):
        parts(Files(None, write("t.jsonl", rows), None), tmp_path, kind="supports", num_test=1)


@pytest.mark.parametrize("num_test", [None, 10, 11])
def test_a_split_that_leaves_nothing_for_training_is_refused(write, tmp_path, num_test):
    with pytest.raises(ConfigError, match=f"num_test = {num_test} leaves no training question of the 10"):
        parts(Files(None, write("t.jsonl", map(row, range(10))), None), tmp_path, num_test=num_test)


def test_training_questions_that_are_all_tested_are_refused(write, tmp_path):
    file = write("t.jsonl", map(row, range(4)))
    with pytest.raises(ConfigError, match="is left for training"):
        parts(Files(file, file, None), tmp_path)


def test_of_questions_with_one_id_the_first_stays_and_the_others_are_counted(write, tmp_path):
    rows = [row(1), row(1, question="Reworded?"), row(2), row(3)]
    found = parts(Files(None, write("t.jsonl", rows), None), tmp_path, num_test=2)
    assert sorted(ids([*found.train, *found.test])) == ["q1", "q2", "q3"]
    assert "Reworded?" not in {question.question for question in [*found.train, *found.test]}
    assert found.dropped == {"repeated_id": 1}


def test_an_unknown_format_names_the_known_ones(write, tmp_path):
    with pytest.raises(
        ConfigError, match="'squad' is not known; known are supports, rows, nq, hotpotqa, musique, 2wiki"
    ):
        parts(Files(None, write("t.jsonl", [row(1)]), None), tmp_path, kind="squad")


def test_a_file_of_questions_without_answers_is_refused(write, tmp_path):
    values = {"id": "2hop__1", "question": "?", "answer": "a", "answerable": False, "paragraphs": []}
    with pytest.raises(DataError, match="holds no question that has an answer"):
        parts(Files(None, write("t.jsonl", [values]), None), tmp_path, kind="musique")


def test_paths_may_name_an_environment_variable(write, tmp_path, monkeypatch):
    write("t.jsonl", map(row, range(4)))
    monkeypatch.setenv("CLARA_DATA", str(tmp_path))
    assert len(parts(Files(None, "$CLARA_DATA/t.jsonl", None), tmp_path, num_test=3).train) == 1
