"""Finished requests on disk: a run that was killed repeats none of them."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from clara.errors import DataError, ResourceError
from clara.synthesis.engine import Reply

BEYOND_THE_FILE = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM,
}  # fmt: skip
"""Faults of the disk, its rights or another process; of any other the file itself is the cause."""


class ReplyCache:
    """Replies by request key, in one SQLite file.

    Each reply is committed before it is used, so that SIGKILL at any moment loses only requests still under way. The
    journal is not flushed to the disk, which only a crash of the whole machine could notice.

    Raises:
        DataError: here and in every method: the file is damaged or no cache. It is left as it is.
        ResourceError: likewise: the disk is full or locked, or another run has the cache open.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / "replies.sqlite"
        with self._usable():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = TRUNCATE")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT) WITHOUT ROWID"
            )

    def get(self, key: str) -> Reply | None:
        """The reply stored under `key`, or None."""
        with self._usable():
            row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
            return None if row is None else Reply(**json.loads(row[0]))

    def put(self, key: str, reply: Reply) -> None:
        """Stores a reply; failures are not stored, so that a later run tries again."""
        if reply.error is None:
            text = json.dumps(asdict(reply), ensure_ascii=False)
            with self._usable():
                self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._beyond(error) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # the rest says more closely
            raise (self._beyond(error) if code in BEYOND_THE_FILE else self._damaged(error)) from error
        except (ValueError, TypeError) as error:
            raise self._damaged(error) from error

    def _beyond(self, error: Exception) -> ResourceError:
        return ResourceError(
            f"cannot use the cache of replies {self.path}: {error}; free or unlock the disk, or end the run that holds "
            "it, and run again: what is in it is kept"
        )

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path} is no readable cache of replies ({error}); restore it from a copy, or move it away to ask "
            "the model again"
        )
