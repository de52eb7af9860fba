"""From the text of a reply to what was asked for; None where the text does not hold it."""

import re
from typing import Any

from clara.files import parse_json
from clara.records import Pair

ENTRY = re.compile(r'"Question ?\d+"\s*:\s*("(?:[^"\\]|\\.)*")')
REFUSED = re.compile(
    r"\b(not stated|not (?:mentioned|given|specified|provided)|does(?: not|n't) (?:contain|say|state|mention|provide)|"
    r"(?:no|not enough) information|can(?:no|')t (?:answer|determine)|as an ai|i(?:'m| am) sorry|unknown)\b",
    re.IGNORECASE,
)


def questions(text: str) -> list[str] | None:
    """The questions of a reply `{"Question1": "...", ...}`, in their order; those of a reply cut short as well.

    An object without questions is an empty list: the model found nothing to ask.
    """
    value = _object(text)
    if value is None:
        whole = [_string(match) for match in ENTRY.findall(text)]
        return [" ".join(question.split()) for question in whole if question is not None] or None
    found = [entry for key, entry in value.items() if key.startswith("Question")]
    if not all(isinstance(entry, str) for entry in found):
        return None
    if not found and value and not any(key.startswith("Number") for key in value):
        return None
    return [" ".join(entry.split()) for entry in found if entry.strip()]


def answer(text: str) -> str:
    """The answer of a reply `Answer: ...`, on one line, without a final full stop."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    first = re.sub(r"^\W*answer\W*:\s*", "", lines[0], flags=re.IGNORECASE) if lines else ""
    first = first.strip().strip('"').strip()
    return first[:-1] if first.endswith(".") and not re.search(r"\b[A-Z]\.$", first) else first


def refused(text: str) -> bool:
    """Whether the reply says that the passage holds no answer, or that the model will not answer."""
    return REFUSED.search(text) is not None


def judgement(text: str) -> bool | None:
    """True for `{"Judgment": "Correct"}` or Yes, False for Incorrect or No, None for anything else."""
    value = _object(text)
    said = str(value.get("Judgment", "")) if value is not None else text
    match = re.fullmatch(r"\W*(correct|incorrect|yes|no)\W*", said.strip().lower())
    return None if match is None else match.group(1) in ("correct", "yes")


def question(text: str) -> str:
    """The first question in a reply: up to the first question mark of its first line."""
    first = text.strip().splitlines()[0].strip() if text.strip() else ""
    return first[: first.index("?") + 1] if "?" in first else first


def paraphrase(text: str) -> str:
    """The rewritten passage: the reply as one paragraph, without a heading of its own or quotes around it."""
    plain = " ".join(text.split())
    plain = re.sub(
        r"^(?:here is[^:]{0,60}|rewritten (?:version|passage|text)|paraphrase)\s*:\s*", "", plain, flags=re.IGNORECASE
    )
    return plain[1:-1].strip() if len(plain) > 2 and plain[0] == plain[-1] == '"' else plain


def shown(pairs: list[Pair]) -> list[dict[str, str]]:
    """Questions and answers as the supplementary prompts list them."""
    return [{"question": pair.question, "answer": pair.answer} for pair in pairs]


def _string(text: str) -> str | None:
    try:
        return str(parse_json(text, strict=False))
    except ValueError:  # a wrong escape
        return None


def _object(text: str) -> dict[str, Any] | None:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        value = parse_json(text[start : end + 1], strict=False)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
