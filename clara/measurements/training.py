"""The course of training: losses and recall by step, of every checkpoint (paper, Figs. 6 and 7)."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clara.evaluation.labels import Checkpoint, checkpoint_of
from clara.json_lines import read_json_lines

COLUMNS = ("stage", "init", "ratio", "variant", "step", "split", "loss", "recall_at", "recall")


class Course(NamedTuple):
    """The logged steps of one checkpoint's training."""

    checkpoint: Checkpoint
    rows: list[dict[str, Any]]

    @property
    def recall_name(self) -> str | None:
        """`recall@k` with the k that was logged; None where there is no recall."""
        return next((name for row in self.rows for name in row if name.startswith("recall@")), None)

    def points(self, split: str, name: str) -> list[tuple[int, float]]:
        """Steps and values of `loss` or `recall`, by step; of a step logged twice (a resumed run) the last."""
        key = self.recall_name if name == "recall" else name
        return sorted({row["step"]: row[key] for row in self.rows if row["split"] == split and key in row}.items())


def read_courses(histories: Iterable[Path]) -> list[Course]:
    """The course of every checkpoint, sorted by stage and ratio.

    Raises:
        DataError: a file does not lie in a checkpoint's folder, or is damaged.
    """
    courses = [Course(checkpoint_of(path), [row for _, row in read_json_lines(path)]) for path in histories]
    return sorted(courses, key=lambda course: course.checkpoint.order)


def as_csv(courses: Sequence[Course]) -> str:
    """All courses as one table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for course in courses:
        stage, name = course.checkpoint
        recall = course.recall_name
        for row in course.rows:
            found = (recall.removeprefix("recall@"), row[recall]) if recall in row else ("", "")
            place = (stage, name.init, name.ratio, name.variant)
            writer.writerow((*place, row["step"], row["split"], row["loss"], *found))
    return text.getvalue()
