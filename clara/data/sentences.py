"""Sentences of plain prose, by a few rules that know abbreviations and initials."""

# ruff: noqa: RUF001 - typographic signs are what this module is about

import re

_END = re.compile(
    r"""(?P<word>[^\s。！？]{0,40}?)[.!?]["'”’»)\]]*  # terminator, closing quotes and brackets; a bounded word
        (?=\s+["'“‘«(\[]*[^\Wa-z_]|\s*$)    # then a capital, a digit, or the end
      | [。！？]["'”’»)\]]*                  # terminators that no space follows
    """,
    re.VERBOSE,
)

# The word is bounded: scripts without spaces have runs of any length, and each start would scan to the end of its run.

_ABBREVIATIONS = frozenset(
    """
    adm al approx b brig c ca capt cf ch cmdr co col cpl cpt d dept dr e.g ed eds est etc fig figs fl fr ft gen
    gov hon i.e inc jr lat lit lt ltd maj messrs mr mrs ms mt no nos op p ph.d pl pp pres prof r rep rev sec sen
    sgt sr st ste trans v viz vol vols vs
    """.split()
)
"""Words that a full stop shortens; compared in lower case, opening brackets and quotes removed."""

_MONTHS = frozenset("jan feb mar apr jun jul aug sep sept oct nov dec".split())
_NEED_NUMBER = frozenset(["no", "nos", "p", "pp", "ch", "fig", "figs", "vol", "vols", "op", "sec"]) | _MONTHS
"""Of these, the ones that shorten only where a number follows: `the answer was no. Then …` ends a sentence."""


def sentences(text: str) -> list[str]:
    """The sentences of `text` in order, spaces around them removed; joined by spaces they give the text again.

    Doubtful stops (`U.S. The`, initials) do not split: a sentence too long does less harm than a torn one.
    """
    found = []
    start, last = 0, len(text.rstrip())
    for end in _END.finditer(text):
        if end.end() < last and _shortens(end, text):
            continue
        piece = text[start : end.end()].strip()
        if piece:
            found.append(piece)
        start = end.end()
    rest = text[start:].strip()
    return [*found, rest] if rest else found


def _shortens(end: re.Match[str], text: str) -> bool:
    """Whether the stop belongs to an abbreviation or an initial."""
    word = end.group("word")
    if word is None or text[end.end("word")] != ".":
        return False
    word = word.lstrip("\"'“‘«([—–-")
    if len(word) == 1 and word.isalpha() and word.isupper() and word != "I":
        return True
    if re.fullmatch(r"(\w\.)+\w", word):
        return True
    word = word.lower()
    if word in _NEED_NUMBER:
        return text[end.end() :].lstrip()[:1].isdigit()
    return word in _ABBREVIATIONS
