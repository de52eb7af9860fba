"""A reply without what chat models put around what was asked for: thoughts, fences, markup, openings, remarks."""

import re

THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
FENCE = re.compile(r"^\s*```\w*\s*$")
PAIRED = re.compile(r"(\*\*|\*|`)(?=\S)([^*`]+?)(?<=\S)\1(?!\w)")
"""Bold, italics and code; the stars of a product or of `M*A*S*H` mark nothing."""
QUOTES = {'"': '"', "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb", "'": "'", "$": "$"}
"""What may stand around a whole text; dollars around it are a formula's."""
OPENING = re.compile(
    r"^(?:(?:sure(?: thing)?|certainly|of course|ok(?:ay)?|absolutely)\b[!,.]?\s*)?"
    r"(?:(?:here(?:'s|\u2019s| is| are)|below is|the following is)\b[^:\n.]{0,80}|"
    r"(?:the )?(?:rewritten|paraphrased|rephrased) (?:version|passage|text)|paraphrase|in my own words)\s*:\s*",
    re.IGNORECASE,
)
ABOUT_TEXT = re.compile(r"\b(?:rewrit\w+|paraphras\w+|rephras\w+|passage|text|version|words)\b", re.IGNORECASE)
"""An opening speaks of the text; `Here are the colours: …` does not."""
REMARK = re.compile(
    r"^\W*(?:note\b\W*:|let me know\b|i (?:hope (?:this|that)|(?:have )?kept (?:all|the|every))\b)", re.IGNORECASE
)


def without_thoughts(text: str) -> str:
    """The reply behind what a reasoning model says to itself, the tags of which may have begun in the prompt."""
    return THOUGHTS.sub("", text).rpartition("</think>")[2].strip()


def plain(text: str) -> str:
    """A line without markup, and without quotes or dollars around the whole."""
    text = PAIRED.sub(r"\2", text).strip()
    while len(text) > 2 and QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def prose(text: str, title: str) -> str:
    """The paragraph in a reply that rewrites a passage.

    Args:
        text: the reply.
        title: of the passage; where the reply repeats it on a line of its own it is left out.
    """
    lines = [line.strip() for line in without_thoughts(text).splitlines() if line.strip() and not FENCE.match(line)]
    while len(lines) > 1 and _is_heading(lines[0], title):
        lines = lines[1:]
    end = next((number for number, line in enumerate(lines) if number and REMARK.match(line)), len(lines))
    whole = plain(" ".join(re.sub(r"^[-*\u2022]\s+", "", line) for line in lines[:end]))
    opening = OPENING.match(whole)
    if opening and ABOUT_TEXT.search(opening.group()):
        whole = plain(whole[opening.end() :])
    return " ".join(whole.split())


def _is_heading(line: str, title: str) -> bool:
    bare = plain(line)
    named = bare.rstrip(":").casefold() == title.casefold()
    opening = OPENING.match(bare)
    return line.startswith("#") or named or bool(opening and opening.end() == len(bare) and ABOUT_TEXT.search(bare))
