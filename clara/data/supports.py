"""Questions that name supporting articles, resolved to passages of the corpus."""

import difflib
from collections import defaultdict
from collections.abc import Iterable

from pydantic import Field

from clara.data.prose import squeeze
from clara.data.question_files import Row
from clara.errors import DataError
from clara.records import Passage, Question, Record, parse_row

_SIGNS = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"', "\u00ab": '"', "\u00bb": '"',
    "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
})  # fmt: skip


class Support(Record):
    """A passage named by what it says."""

    title: str
    """Of the article, exactly."""
    contains: str = Field(min_length=1)
    """A string in one of its passages; spaces, quotes and dashes may differ in kind."""


class SupportedQuestion(Record):
    """A row of a file in the format `supports`."""

    id: str
    question: str = Field(min_length=1)
    golden_answers: list[str] = Field(min_length=1)
    type: str = ""
    support: list[Support] = Field(min_length=1)


class SupportResolver:
    """Finds the passages that supports name, and collects those that it does not find."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self.by_title: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for passage in passages:
            self.by_title[passage.title].append((plain_signs(passage.text), passage.document))
        self.faults: list[str] = []

    def question(self, row: Row) -> Question | None:
        """The question with its gold documents as pool; null, and a fault noted, where a support is not found."""
        record = parse_row(SupportedQuestion, row.values, row.where)
        found = [self._document(support, f"{row.where}, question {record.id}") for support in record.support]
        docs = list(dict.fromkeys(document for document in found if document is not None))
        if None in found:
            return None
        values = record.model_dump(exclude={"support"})
        return parse_row(Question, {**values, "docs": docs, "pos_index": list(range(len(docs)))}, row.where)

    def check(self) -> None:
        """Raises all faults together.

        Raises:
            DataError: a support was not found; names file, line, question and what is near.
        """
        if self.faults:
            raise DataError(
                f"{len(self.faults)} supports are in no passage of the corpus: {'; '.join(self.faults)}; "
                "mend them, or keep more of each article (corpus.passages.per_article)"
            )

    def _document(self, support: Support, where: str) -> str | None:
        wanted = plain_signs(support.contains)
        for text, document in self.by_title.get(support.title, []):
            if wanted in text:
                return document
        self.faults.append(f"{where}: {support.contains!r} of {support.title!r} ({self._hint(support.title, wanted)})")
        return None

    def _hint(self, title: str, wanted: str) -> str:
        elsewhere = [name for name, passages in self.by_title.items() if any(wanted in text for text, _ in passages)]
        if elsewhere:
            return f"it is in {elsewhere[0]!r}"
        if title in self.by_title:
            texts = [text for text, _ in self.by_title[title]]
            return f"not in its {len(texts)} passages{_nearest_words(wanted, texts)}"
        near = difflib.get_close_matches(title, self.by_title, n=1, cutoff=0.0)
        return f"no such article, nearest {near[0]!r}" if near else "the corpus is empty"


def plain_signs(text: str) -> str:
    """`text` with single spaces and plain quotes and dashes."""
    return squeeze(text.translate(_SIGNS))


def _nearest_words(wanted: str, texts: list[str]) -> str:
    """The longest run of words at the start of `wanted` that some passage has, to show where the wording parts."""
    words = wanted.split()
    for length in range(len(words) - 1, 1, -1):
        start = " ".join(words[:length])
        if any(start in text for text in texts):
            return f", which go along up to {start[-40:]!r}"
    return ""
