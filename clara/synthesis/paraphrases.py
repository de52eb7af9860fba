"""Checks of a paraphrase that need no model: numbers and names kept and none added, not a copy, of similar length."""

import re

from clara.synthesis.checks import content, words
from clara.synthesis.parse import refused

LENGTH_RATIO = (0.6, 1.6)
COPIED_SHARE = 0.7
"""Share of a paraphrase's runs of five words that may stand in the document."""
KEPT_CONTENT = 0.5
"""Share of the document's content words that must come back; below it the model talks about something else."""
KEPT_NAMES = 0.8
"""Share of the document's names that must come back; spelling and adjectives may vary ("France" and "French")."""

SENTENCE_START = re.compile(r'(?:^|[.!?:;]["”)]?\s+|["“(]\s*)(?=[A-Z])')


def paraphrase_fault(paraphrase: str, text: str, title: str) -> str | None:
    """Why a rewritten passage is unusable, if it is.

    Args:
        paraphrase: the rewritten passage.
        text: the passage without its title.
        title: the passage's title, which a paraphrase may bring in.
    """
    if not paraphrase or (refused(paraphrase) and not refused(text)):
        return "refusal"
    ratio = len(paraphrase.split()) / max(1, len(text.split()))
    if not LENGTH_RATIO[0] <= ratio <= LENGTH_RATIO[1]:
        return "paraphrase_length"
    if copied_share(paraphrase, text) > COPIED_SHARE:
        return "copy"
    source = f"{title} {text}"
    runs = _runs(paraphrase)
    if len(set(runs)) < 0.9 * len(runs):
        return "repetition"
    meant = set(content(text))
    if len(meant & set(content(paraphrase))) < KEPT_CONTENT * len(meant):
        return "content_lost"
    if numbers(text) - numbers(paraphrase):
        return "number_lost"
    if numbers(paraphrase) - numbers(source):
        return "number_added"
    known = {word[:4] for word in words(source)}
    if any(name[:4] not in known for name in names(paraphrase)):
        return "name_added"
    kept = {word[:4] for word in words(paraphrase)}
    wanted = names(text)
    lost = [name for name in wanted if name[:4] not in kept]
    return "name_lost" if len(lost) > (1 - KEPT_NAMES) * len(wanted) else None


def copied_share(paraphrase: str, text: str) -> float:
    """Share of the paraphrase's runs of five words that stand in the text."""
    mine, theirs = _runs(paraphrase), set(_runs(text))
    return sum(run in theirs for run in mine) / len(mine) if mine else 0.0


def numbers(text: str) -> set[str]:
    """Numbers in digits."""
    return {word for word in words(text) if word[0].isdigit()}


def names(text: str) -> set[str]:
    """Words that start with a capital inside a sentence, in lower case."""
    # In "d'Anconia" no name begins.
    lowered = SENTENCE_START.sub(lambda match: match.group() + "\0", text)
    return {
        word
        for token in re.findall(r"(?<![\0\w])(?<!\w['\u2019])[A-Z][\w'\u2019-]+", lowered)
        for word in words(token)
        if len(word) > 1
    }


def _runs(text: str) -> list[tuple[str, ...]]:
    found = words(text)
    return [tuple(found[place : place + 5]) for place in range(len(found) - 4)]
