from pathlib import Path

import pytest

from clara.data.candidates import candidate_file, collect_documents, passage_of, rank_by_bm25, read_questions
from clara.errors import DataError
from clara.files import text_id
from clara.records import Question
from clara.row_files import write_rows


def question(identity, docs, pos_index=()):
    return Question(
        id=identity, question="Where do cats live?", golden_answers=["a"], docs=docs, pos_index=list(pos_index)
    )


def test_the_name_of_a_file_says_benchmark_split_and_setting():
    assert candidate_file(Path("x/2wiki.test.normal.jsonl")) == ("2wiki", "test", "normal")
    for name in ("nq.jsonl", "nq.dev.oracle.jsonl", "nq.test.oracle.parquet"):
        with pytest.raises(DataError, match="must be named"):
            candidate_file(Path(name))


@pytest.mark.parametrize(
    ("document", "title", "text"),
    [
        ("Title\nText", "Title", "Text"),
        ("Title\nText\nmore", "Title", "Text\nmore"),
        ("Only text", "", "Only text"),
        ("\nText", "", "\nText"),
        ("Title\n", "Title", ""),
    ],
)
def test_a_document_becomes_the_passage_that_gives_it_back(document, title, text):
    passage = passage_of(document)
    assert (passage.title, passage.text) == (title, text)
    assert passage.document == document
    assert passage.id == text_id(document)


def test_documents_of_all_files_are_collected_once_in_the_order_of_ids(tmp_path):
    write_rows(tmp_path / "a", [question("1", ["A\na", "B\nb"]), question("2", ["B\nb"])])
    write_rows(tmp_path / "b", [question("3", ["C\nc", "A\na"])])
    found = collect_documents([tmp_path / "a", tmp_path / "b"])
    assert sorted(passage.document for passage in found) == ["A\na", "B\nb", "C\nc"]
    assert [passage.id for passage in found] == sorted(passage.id for passage in found)
    assert found == collect_documents([tmp_path / "b", tmp_path / "a"])


def test_no_documents_are_refused(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="no document"):
        collect_documents([tmp_path / "a"])


def test_an_empty_file_holds_no_questions_and_a_missing_one_is_refused(tmp_path):
    (tmp_path / "a").touch()
    assert read_questions(tmp_path / "a") == []
    with pytest.raises(DataError, match="does not exist"):
        read_questions(tmp_path / "b")


def test_the_bm25_baseline_ranks_and_does_not_answer(tmp_path):
    path = tmp_path / "nq.test.normal.jsonl"
    scored = question("1", ["A\nfish swim", "B\ncats live here"], [1]).model_copy(update={"bm25": [0.0, 1.5]})
    write_rows(path, [scored])
    (found,) = rank_by_bm25([path])
    assert (found.system, found.benchmark, found.setting, found.id) == ("bm25", "nq", "normal", "1")
    assert (found.ranking, found.selected, found.prediction, found.pos_index) == ([1, 0], [], None, [1])
    assert found.scores == [0.0, 1.5]
