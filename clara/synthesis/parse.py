"""From the text of a reply to what was asked for; None where the text does not hold it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from clara.files import parse_json
from clara.records import Pair
from clara.synthesis.clean import plain, prose, without_thoughts
from clara.synthesis.engine import Reply

KEY = r"(?:(?:supplementary|new)?questions?|q)\d*"
ENTRY = re.compile(r'"q(?:uestion)?[ _]?\d+"\s*:\s*("(?:[^"\\]|\\.)*")', re.IGNORECASE)
ANSWER = re.compile(r"^(?:\W*(?:the )?answer(?: is\b|\W*:)[:*\s]*)+", re.IGNORECASE)
VERDICT = re.compile(r"\W*(?:judge?ment\W*)?(correct|incorrect|yes|no)\b(.*)", re.IGNORECASE | re.DOTALL)
UNSURE = frozenset("correct incorrect yes no not wrong partly partially incomplete but however except".split())
"""Words behind a favourable verdict that take it back, unless they repeat it."""
REFUSED = re.compile(
    r"\b(not stated|not (?:mentioned|given|specified|provided)|does(?: not|n't) (?:contain|say|state|mention|provide)|"
    r"(?:no|not enough) information|can(?:no|')t (?:answer|determine)|as an ai|i(?:'m| am) sorry|unknown)\b",
    re.IGNORECASE,
)


def questions(text: str) -> list[str] | None:
    """The questions of a reply `{"Question1": "...", ...}`, in their order; those of a reply cut short as well.

    A list, or an object with a list or an object in it, does too. An object without questions is an empty list: the
    model found nothing to ask; one that counts some and holds none is malformed.
    """
    text = without_thoughts(text)
    value = _json(text)
    if value is None:
        whole = [_string(match) for match in ENTRY.findall(text)]
        return [" ".join(question.split()) for question in whole if question is not None] or None
    try:
        found = [" ".join(entry.split()) for entry in _entries(value) if entry.strip()]
    except TypeError:
        return None
    if found:
        return found
    if isinstance(value, list):
        return None if value else []
    return [] if isinstance(value, dict) and _says_none(value) else None


def answer(text: str) -> str:
    """The answer of a reply `Answer: ...`, on one line, without markup and without a final full stop."""
    lines = [plain(line) for line in without_thoughts(text).splitlines()]
    said = (re.sub(r"^<answer>|</answer>$", "", plain(ANSWER.sub("", line))).strip() for line in lines)
    first = next((line for line in said if line), "")
    # Initials and "p.m." end in a stop of their own.
    return plain(first[:-1]) if first.endswith(".") and not re.search(r"\b(?:[A-Z]|\w\.\w)\.$", first) else first


def cut_short(reply: Reply, read: Callable[[str], str]) -> bool:
    """Whether the token limit cut what `read` takes from a reply, rather than what comes behind it."""
    return reply.finish_reason == "length" and read(reply.text) != read(reply.text + "x")


def refused(text: str) -> bool:
    """Whether the reply says that the passage holds no answer, or that the model will not answer."""
    return REFUSED.search(text) is not None


def judgement(text: str) -> bool | None:
    """True for `{"Judgment": "Correct"}` or Yes, False for Incorrect or No, None for anything else.

    A sentence may follow the verdict, if it does not take it back.
    """
    text = without_thoughts(text)
    value = _json(text)
    if isinstance(value, dict):
        text = next((str(entry) for key, entry in value.items() if _bare(key) in ("judgment", "judgement")), "")
    match = VERDICT.match(text)
    if match is None:
        return None
    verdict = match[1].lower()
    favourable = verdict in ("correct", "yes")
    doubts = (UNSURE if favourable else {"correct", "yes"}) - {verdict}
    return None if doubts & set(re.findall(r"[a-z]+", match[2].lower())) else favourable


def question(text: str) -> str:
    """The first question in a reply: up to the first question mark of its first line."""
    lines = without_thoughts(text).splitlines()
    first = plain(lines[0]) if lines else ""
    return first[: first.index("?") + 1] if "?" in first else first


def paraphrase(text: str, title: str) -> str:
    """The rewritten passage: the reply as one paragraph, without headings, remarks or quotes around it."""
    return prose(text, title)


def shown(pairs: list[Pair]) -> list[dict[str, str]]:
    """Questions and answers as the supplementary prompts list them."""
    return [{"question": pair.question, "answer": pair.answer} for pair in pairs]


def _string(text: str) -> str | None:
    try:
        return str(parse_json(text, strict=False))
    except ValueError:  # a wrong escape
        return None


def _json(text: str) -> dict[str, Any] | list[Any] | None:
    """The object in a text or, failing that, the list."""
    for opening, closing in ("{}", "[]"):
        start, end = text.find(opening), text.rfind(closing)
        if 0 <= start < end:
            try:
                value = parse_json(text[start : end + 1], strict=False)
            except ValueError:
                continue
            if isinstance(value, (dict, list)):
                return value
    return None


def _entries(value: Any) -> Iterator[str]:
    """The questions in a value, whatever holds them; null is none.

    Raises:
        TypeError: in a question's place stands something else.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        entries = value if isinstance(value, list) else [entry for key, entry in value.items() if _is_question(key)]
        for entry in entries:
            yield from _entries(entry)
    elif value is not None:
        raise TypeError(value)


def _bare(key: str) -> str:
    return re.sub(r"[\W_]", "", key).lower()


def _is_question(key: str) -> bool:
    return re.fullmatch(KEY, _bare(key)) is not None


def _says_none(value: dict[str, Any]) -> bool:
    """Whether an object without questions means that: the number that it gives is 0, or all its questions are empty."""
    if any(_bare(key).startswith("number") and str(entry).strip() == "0" for key, entry in value.items()):
        return True
    return all(_is_question(key) and not str(entry or "").strip() for key, entry in value.items())
