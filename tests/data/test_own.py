"""Own documents become passages that the compressor reads whole."""

import errno
import json
import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from clara.data.own import own_passages
from clara.data.tokenization import TokenCounter
from clara.errors import DataError, ResourceError
from clara.records import Passage, document_id
from clara.row_files import write_rows


@pytest.fixture
def counter() -> TokenCounter:
    """Every word and sign is a token."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return TokenCounter(tokenizer)


def test_each_kind_of_file_in_a_folder_is_read(counter: TokenCounter, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Plain text.", encoding="utf-8-sig")
    (tmp_path / "b.md").write_text("# Guide\nStart.\n## Use\n```\n# no heading\n```\n# Other\nEnd.\n")
    (tmp_path / "c.jsonl").write_text(json.dumps({"title": None, "text": "Row."}) + "\n")
    write_rows(tmp_path / "deep.parquet", [Passage(id=document_id("T\nCell."), title="T", text="Cell.")])
    (tmp_path / "photo.png").write_bytes(b"\x89")
    (tmp_path / ".hidden.txt").write_text("Secret.")
    found = own_passages([tmp_path], counter, words=50, max_tokens=40)
    assert [row.document for row in found.passages] == [
        "a\nPlain text.",
        "Guide\nStart.",
        "Guide: Use\n```\n# no heading\n```",
        "Guide: Other\nEnd.",
        "Row.",
        "T\nCell.",
    ]
    assert (found.files, found.skipped) == (4, [str(tmp_path / "photo.png")])
    assert found.passages[0].id == document_id("a\nPlain text.")


def test_a_long_document_is_split_between_sentences_and_nothing_is_lost(counter: TokenCounter, tmp_path: Path) -> None:
    sentences = [f"Sentence number {number} has seven words." for number in range(40)]
    (tmp_path / "long.txt").write_text(" ".join(sentences))
    found = own_passages([tmp_path / "long.txt"], counter, words=12, max_tokens=20)
    assert " ".join(row.text for row in found.passages) == " ".join(sentences)
    assert all(counter.count([row.document])[0] <= 20 for row in found.passages)
    assert all(row.text.endswith(".") for row in found.passages)


def test_a_title_as_long_as_a_passage_becomes_text(counter: TokenCounter, tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(30)]
    (tmp_path / "a.jsonl").write_text(json.dumps({"title": " ".join(words), "text": "End."}) + "\n")
    found = own_passages([tmp_path / "a.jsonl"], counter, words=10, max_tokens=12)
    assert {row.title for row in found.passages} == {""}
    assert " ".join(row.text for row in found.passages).split() == [*words, "End."]


@pytest.mark.parametrize("text", ["東京は首都です。人口は多い。", "مرحبا بالعالم. ", "नमस्ते दुनिया। ", "😀 x😀. "])
def test_every_language_is_split_without_loss(counter: TokenCounter, tmp_path: Path, text: str) -> None:
    whole = "".join(f"{text}{number} " for number in range(30))
    (tmp_path / "t.txt").write_text(whole, encoding="utf-8")
    found = own_passages([tmp_path / "t.txt"], counter, words=10, max_tokens=16)
    assert "".join("".join(row.text.split()) for row in found.passages) == "".join(whole.split())
    assert len(found.passages) > 1


def test_what_cannot_be_read_is_refused_by_name(counter: TokenCounter, tmp_path: Path) -> None:
    def read(path: Path) -> None:
        own_passages([path], counter, words=10, max_tokens=16)

    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"latin.txt is not UTF-8 .* at byte 3"):
        read(tmp_path / "latin.txt")
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(DataError, match=r"a.pdf: expected a folder or a file that ends with .txt"):
        read(tmp_path / "a.pdf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no file ends with"):
        read(tmp_path / "empty")
    (tmp_path / "blank.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"blank.txt: there is no text"):
        read(tmp_path / "blank.txt")
    with pytest.raises(DataError, match="nowhere does not exist"):
        read(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.txt")  # would be waited for without end
    with pytest.raises(DataError, match=r"pipe.txt: expected a folder or a file"):
        read(tmp_path / "pipe.txt")


def test_a_folder_that_may_not_be_listed_is_refused_not_taken_for_empty(
    counter: TokenCounter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("Bo left.")
    (tmp_path / "locked").mkdir()
    listed = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ResourceError, match=rf"cannot list the folder {tmp_path}/locked: Permission denied; allow it"):
        own_passages([tmp_path], counter, words=10, max_tokens=16)


def test_linked_folders_are_read_once_and_links_to_nowhere_counted(counter: TokenCounter, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.txt").write_text("Di stayed.")
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "a.txt").write_text("Bo left.")
    for name in ("link", "other"):
        (documents / name).symlink_to(tmp_path / "elsewhere")
    (documents / "ring").symlink_to(documents)
    (documents / "gone.txt").symlink_to(tmp_path / "nothing.txt")
    found = own_passages([documents], counter, words=10, max_tokens=16)
    assert [row.text for row in found.passages] == ["Bo left.", "Di stayed."]
    assert (found.files, found.skipped) == (2, [str(documents / "gone.txt")])


def test_a_store_among_the_documents_is_left_out(counter: TokenCounter, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Bo left.")
    store = tmp_path / "deep" / "store"
    write_rows(store / "documents.parquet", [Passage(id=document_id("T\nCell."), title="T", text="Cell.")])
    (store / "manifest.json").write_text("{}")
    found = own_passages([tmp_path], counter, words=10, max_tokens=16)
    assert [row.text for row in found.passages] == ["Bo left."]
    assert found.skipped == [str(store)]


def test_large_letters_and_a_mark_at_the_beginning_are_read(counter: TokenCounter, tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", [Passage(id=document_id("T\nCell."), title="T", text="Cell.")])
    (tmp_path / "a.parquet").rename(tmp_path / "A.PARQUET")
    (tmp_path / "B.JSONL").write_text(json.dumps({"text": "Row."}) + "\n", encoding="utf-8-sig")
    found = own_passages([tmp_path], counter, words=10, max_tokens=16)
    assert [row.text for row in found.passages] == ["Cell.", "Row."]


def test_a_name_of_any_bytes_becomes_letters(counter: TokenCounter, tmp_path: Path) -> None:
    for name in (b"caf\xe9.txt", b"caf\xe9.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("Bo left.")
    found = own_passages([tmp_path], counter, words=10, max_tokens=16)
    assert [row.title for row in found.passages] == ["caf\ufffd"]
    assert found.skipped == [f"{tmp_path}/caf\ufffd.png"]


@pytest.mark.timeout(20)
def test_headings_are_read_without_their_signs(counter: TokenCounter, tmp_path: Path) -> None:
    lines = ["# A #", "x.", "## C#", "x.", "# # #", "x.", "#none", "####### none", f"# wide{' ' * 50_000}space"]
    (tmp_path / "h.md").write_text("\r\n".join([*lines, "x."]))
    found = own_passages([tmp_path], counter, words=10, max_tokens=16)
    assert [row.title for row in found.passages][:3] == ["A", "A: C", "A: #"]
    assert [row.text for row in found.passages][2] == "x.\n#none\n####### none"
