"""Code changes that somebody declared harmless: `accepted.json`, a file under version control.

The rules take the fingerprint that results were made with for that of the accepted code, so that nothing runs again;
who said so, and when, stays readable in the history of the project.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from clara.errors import ConfigError
from clara.files import read_json, write_json

FILE = "accepted.json"


@dataclass(frozen=True)
class Change:
    """One declaration."""

    stage: str
    """As it was asked for: a stage or rule."""
    rule: str
    old: str
    """Fingerprint that the results were made with."""
    new: str
    """Fingerprint of the code that would make the same results."""
    who: str
    when: str
    """Date, such as 2026-11-27."""
    why: str


class Accepted:
    """All declarations of a project.

    Args:
        changes: in the order in which they were made.
    """

    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes
        self._before = {(change.rule, change.new): change.old for change in changes}

    @classmethod
    def read(cls, root: Path) -> "Accepted":
        """The declarations in the project's folder; none where the file is not there.

        Raises:
            ConfigError: the file is no list of declarations.
        """
        path = root / FILE
        if not path.is_file():
            return cls([])
        try:
            return cls([Change(**entry) for entry in read_json(path)])
        except TypeError as error:
            raise ConfigError(
                f"{path} should be a list of {{stage, rule, old, new, who, when, why}} ({error}); restore it from git"
            ) from error

    def canonical(self, rule: str, fingerprint: str) -> str:
        """The fingerprint that stands for `fingerprint` in the rules: the oldest that it was declared to equal."""
        seen = {fingerprint}
        while (rule, fingerprint) in self._before:
            fingerprint = self._before[rule, fingerprint]
            if fingerprint in seen:  # accepted to and fro: any of the circle would do, so the same one for all
                return min(seen)
            seen.add(fingerprint)
        return fingerprint

    def write(self, root: Path, added: list[Change]) -> None:
        """Writes all declarations, the new ones last."""
        write_json(root / FILE, [asdict(change) for change in [*self.changes, *added]])
