"""What a caller of a checkpoint passes: texts, lists of candidates, counts, memories; each refused by name."""

import operator
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from clara.errors import CutWarning, DataError
from clara.tokens import CompressorInput

MOST_READ = 50
"""Documents that one answer is written from at most: far more than a generator learns to read."""


def require_texts(texts: Any, method: str) -> Sequence[str]:
    """`texts`, which must be a list of at least one Unicode string.

    Raises:
        DataError: it is one string, empty, or holds what is no text, or blank; says which.
    """
    if isinstance(texts, str):
        raise DataError(f"{method} takes a list of texts, got one string; put it into a list")
    if not isinstance(texts, Sequence):
        raise DataError(f"{method} takes a list of texts, got {type(texts).__name__}; make it a list")
    if len(texts) == 0:
        raise DataError(f"{method} takes at least one text, got none")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"{method} takes texts, text {number} is {type(text).__name__} {text!r:.40}; pass strings")
        if not text.strip():
            raise DataError(f"{method}: text {number} is empty; give it words, or leave it out")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{method}: text {number} holds half of a surrogate pair at character {error.start}, which stands for "
                "nothing; decode its source as UTF-8"
            ) from error
    checked: Sequence[str] = texts
    return checked


def require_candidates(questions: Sequence[str], documents: Any) -> None:
    """Refuses candidates that are not one list of texts for each question.

    Raises:
        DataError: counts differ, or a question's candidates are no list of texts; says which.
    """
    if not isinstance(documents, Sequence) or isinstance(documents, str):
        raise DataError(
            f"documents is {type(documents).__name__}, expected a list of texts for each question; pass one"
        )
    if len(documents) != len(questions):
        raise DataError(f"got {len(questions)} questions but candidates for {len(documents)}; pass one list each")
    for number, candidates in enumerate(documents):
        if isinstance(candidates, str):
            raise DataError(f"the candidates of question {number} are one string; pass a list of texts for each")
        if not isinstance(candidates, Sequence) or len(candidates) > 0:
            require_texts(candidates, f"the list of candidates of question {number}")


def require_count(value: Any, name: str) -> int:
    """`value` as a whole number of at least 1.

    Raises:
        DataError: it is another one; names it.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if isinstance(value, bool) or count < 1:
        raise DataError(f"{name} = {value!r} must be a whole number of at least 1; pass one")
    return count


def require_read(k: Any) -> int:
    """`k`, documents that the generator is to read for one answer.

    Raises:
        DataError: it is no whole number from 1 to `MOST_READ`.
    """
    count = require_count(k, "k")
    if count > MOST_READ:
        raise DataError(
            f"k = {count} documents are more than the {MOST_READ} that one answer is written from; take a smaller k, "
            "or search, which lists as many as there are"
        )
    return count


def require_memories(questions: Tensor, documents: Tensor) -> None:
    """Refuses memories that cannot be compared.

    Raises:
        DataError: they are not `[questions, memory, dim]` and `[documents, memory, dim]` of the same sizes.
    """
    if questions.dim() != 3 or documents.dim() != 3 or questions.shape[1:] != documents.shape[1:]:
        raise DataError(
            "memories to compare are [questions, memory, dim] and [documents, memory, dim], memory and dim being the "
            f"same, got {list(questions.shape)} and {list(documents.shape)}; pass what reason and compress gave"
        )


def warn_of_cut(inputs: Sequence[CompressorInput], *, max_tokens: int, what: str, advice: str) -> None:
    """Warns, in the caller's line, where texts were cut.

    Args:
        inputs: of one call.
        max_tokens: of a text, to which they were cut.
        what: names the texts.
        advice: what to do about it.
    """
    if cut := sum(item.cut > 0 for item in inputs):
        warnings.warn(
            f"{cut} of {len(inputs)} {what} longer than {max_tokens} tokens: what goes beyond was not read; {advice}",
            CutWarning,
            stacklevel=_outside(),
        )


def _outside() -> int:
    """The stack level, for `warn_of_cut`, of the first frame that is none of this package's."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "clara":
        frame, level = frame.f_back, level + 1
    return level
