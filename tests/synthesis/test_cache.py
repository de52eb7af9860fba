import sqlite3
from pathlib import Path

import pytest

from clara.errors import DataError, ResourceError
from clara.synthesis.cache import ReplyCache
from clara.synthesis.engine import Reply

REPLY = Reply("text", "stop", 1, 2)


def change(folder: Path, *commands: str) -> None:
    connection = sqlite3.connect(folder / "replies.sqlite")
    for command in commands:
        connection.execute(command)
    connection.commit()
    connection.close()


def filled(folder: Path) -> Path:
    cache = ReplyCache(folder)
    for number in range(500):
        cache.put(f"key {number}", Reply("text " * 20, "stop", 1, 2))
    cache.close()
    return folder / "replies.sqlite"


def test_replies_come_back_in_another_run(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path)
    cache.put("a", REPLY)
    cache.close()
    assert ReplyCache(tmp_path).get("a") == REPLY
    assert ReplyCache(tmp_path).get("b") is None


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "replies.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(DataError, match=r"replies\.sqlite is no readable cache .*restore it .* or move it away"):
        ReplyCache(tmp_path)
    assert (tmp_path / "replies.sqlite").read_bytes() == b"no database " * 100


def test_damage_within_the_file_is_met_when_it_is_read_and_nothing_is_lost(tmp_path: Path) -> None:
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)  # all pages but the first
    path.write_bytes(content)
    cache = ReplyCache(tmp_path)
    for use in (lambda: cache.get("key 7"), lambda: cache.put("new", REPLY)):
        with pytest.raises(DataError, match=r"replies\.sqlite is no readable cache of replies \(database disk image"):
            use()
    cache.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("reply", ["'{'", "'[1]'", "'{\"odd\": 1}'", "NULL", "x'ff'", "7"])
def test_a_reply_that_is_none_is_refused(reply: str, tmp_path: Path) -> None:
    filled(tmp_path)
    change(tmp_path, f"UPDATE replies SET reply = {reply} WHERE key = 'key 1'")
    with pytest.raises(DataError, match="is no readable cache"):
        ReplyCache(tmp_path).get("key 1")


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    change(tmp_path, "CREATE TABLE replies (name TEXT)")
    with pytest.raises(DataError, match="no such column"):
        ReplyCache(tmp_path).get("a")


def test_a_full_disk_is_a_matter_of_resources_and_what_is_there_stays(tmp_path: Path) -> None:
    filled(tmp_path)
    cache = ReplyCache(tmp_path)
    cache._connection.execute("PRAGMA max_page_count = 1")  # no page more than there are
    with pytest.raises(ResourceError, match="database or disk is full; free or unlock the disk"):
        cache.put("new", Reply("text" * 9000, "stop", 1, 2))
    assert cache.get("key 1") == Reply("text " * 20, "stop", 1, 2)


def test_a_locked_folder_or_a_second_run_is_a_matter_of_resources(tmp_path: Path) -> None:
    filled(tmp_path)
    cache = ReplyCache(tmp_path)
    cache._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(ResourceError, match="attempt to write a readonly database"):
        cache.put("new", REPLY)
    other = sqlite3.connect(tmp_path / "replies.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    cache._connection.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(ResourceError, match="database is locked"):
        cache.get("key 1")
    other.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot use the cache of replies"):
        ReplyCache(tmp_path / "file")
