"""Finished requests on disk: a run that was killed repeats none of them."""

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

from clara.errors import DataError
from clara.synthesis.engine import Reply


class ReplyCache:
    """Replies by request key, in one SQLite file.

    Each reply is committed before it is used, so that SIGKILL at any moment loses only requests still under way. The
    journal is not flushed to the disk, which only a crash of the whole machine could notice.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / "replies.sqlite"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(self.path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = TRUNCATE")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT) WITHOUT ROWID"
            )
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.path} is no readable cache of replies ({error}); delete it and run again"
            ) from error

    def get(self, key: str) -> Reply | None:
        """The reply stored under `key`, or None."""
        row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply(**json.loads(row[0]))

    def put(self, key: str, reply: Reply) -> None:
        """Stores a reply; failures are not stored, so that a later run tries again."""
        if reply.error is None:
            text = json.dumps(asdict(reply), ensure_ascii=False)
            self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()
