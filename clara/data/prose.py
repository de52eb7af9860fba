"""The last step from markup to prose: spaces, brackets left empty, marks of unbalanced markup."""

# ruff: noqa: RUF001 - typographic signs are what this module is about

import re

from clara.data.sentences import sentences

HOLE = "\ue000"
"""Stands where something was taken out without which the sentence makes no sense, such as a formula."""
ITEM = "\ue001"
"""Stands at the start of a list item."""

_MARKUP = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{\||\|\}|^\s*[|!]|__[A-Z]+__|</?[a-z]+[^<>]*>|\[https?:", re.MULTILINE)
_ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")
MIN_WORDS = 6
"""A paragraph with fewer words is a caption or a link, not prose."""


def paragraphs(text: str) -> list[str]:
    """The paragraphs of `text` that are prose, clean, one line each.

    Left out are lines that still hold markup (of an unbalanced table or template), sentences with a hole, a last
    sentence without its end (it introduces a list or a formula), and what is then shorter than `MIN_WORDS`.
    """
    return [clean for line in text.split("\n") if (clean := _paragraph(line))]


def _paragraph(line: str) -> str:
    line = re.sub(r"'{2,}", "", line.replace(ITEM, " "))
    if _MARKUP.search(line):
        return ""
    whole = [part for part in sentences(squeeze(line)) if HOLE not in part]
    if whole and not _ENDED.search(whole[-1]):
        del whole[-1]
    line = tidy(" ".join(whole))
    return line if len(line.split()) >= MIN_WORDS else ""


def tidy(text: str) -> str:
    """`text` without empty brackets, doubled or misplaced punctuation, and spaces before punctuation."""
    text = squeeze(text)
    before = None
    while before != text:
        before = text
        text = re.sub(r"([(\[])\s*(?:[,;:]\s*|(?:or|and)\s+)+", r"\1", text)
        text = re.sub(r"([(\[])\s*[/–-]\s*(?=[)\]])", r"\1", text)
        text = re.sub(r"\s*[,;:]+\s*(?=[)\]])", "", text)
        text = re.sub(r"([,;:])(?:\s*[,;])+", r"\1", text)
        text = re.sub(r"\s*\([^()\d]*[$£€]\s[^()\d]*\)", "", text)  # a converted price whose number is gone
        text = re.sub(r"\s*(?:\(\s*\)|\[\s*\])", "", text)
        text = re.sub(r"\(\s+|\s+\)", lambda match: match.group().strip(), text)
        text = re.sub(r"\s+([,;:!?])(?=\s|$)", r"\1", text)
        text = re.sub(r"\s+\.(?=\s|$)", ".", text)
        text = re.sub(r",(?=\.(?:\s|$))", "", text)
    return squeeze(re.sub(r'""(?=\W|$)', "", text))


def squeeze(text: str) -> str:
    """`text` on one line with single spaces; soft hyphens, zero-width and control characters removed."""
    text = re.sub(r"[\u00ad\u200b-\u200f\u2060\ufeff\x00-\x08\x0e-\x1f]", "", text)
    return " ".join(text.split())
