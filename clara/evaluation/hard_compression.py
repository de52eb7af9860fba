"""Hard compression: what is left of a document's words when it may take no more tokens than its memories.

The baseline that needs no training: a soft compressor must say more in so many vectors than the best words do in so
many tokens.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from clara.config.evaluation import OtherModel
from clara.config.rules import PredictCompressedText
from clara.errors import ConfigError
from clara.evaluation import other_models
from clara.evaluation.answering import Task
from clara.model.backbone import LoadedBackbone
from clara.tokens import AddedIds, Encoder

Count = Callable[[str], int]
"""Tokens that the generator's tokenizer makes of a text."""
Importance = Callable[[Sequence[str]], Sequence[float]]
"""How much each of a document's words, in their order, is worth keeping."""


class WordInformation:
    """Importance by inverse document frequency: ln((N + 1) / (n + 1)) of a word that n of N documents have.

    Args:
        documents: where the words are counted; each counts once.
    """

    def __init__(self, documents: Iterable[str]) -> None:
        distinct = set(documents)
        self._number = len(distinct)
        self._having = Counter(word for text in distinct for word in {_plain(word) for word in text.split()})

    def __call__(self, words: Sequence[str]) -> list[float]:
        """The information of each word in nats; 0 where it has stood before."""
        seen: set[str] = set()
        found = []
        for word in map(_plain, words):
            found.append(0.0 if word in seen else math.log((self._number + 1) / (self._having[word] + 1)))
            seen.add(word)
        return found


def shortened(
    tasks: Sequence[Task], method: str, ratio: int, backbone: LoadedBackbone, settings: PredictCompressedText
) -> list[Task]:
    """The tasks with their documents' text cut to as many tokens as a memory at this ratio has vectors.

    Raises:
        ConfigError: as `importance_by`.
    """
    importance = importance_by(method, tasks, settings.llmlingua2)
    budget = settings.document_max_tokens // ratio
    return compress_tasks(tasks, importance, budget=budget, count=counted_by(backbone))


def importance_by(method: str, tasks: Sequence[Task], classifier: OtherModel | None) -> Importance:
    """What a method goes by.

    Args:
        method: `hard_words`, words' information among all candidates, or `llmlingua2`, a trained classifier of tokens.
        tasks: all that is asked.
        classifier: of the second method, the section `evaluation.llmlingua2`; null for the first.

    Raises:
        ConfigError: the method needs a classifier and the section names none.
    """
    if method == "hard_words":
        return WordInformation(text for task in tasks for text in task.question.docs)
    if classifier is None:
        raise ConfigError(f"--method {method} needs the settings of evaluation.llmlingua2")
    model = other_models.load(classifier, "token classifier", setting="evaluation.llmlingua2")
    return other_models.TokenClassifier(model)


def counted_by(backbone: LoadedBackbone) -> Count:
    """The tokens that the backbone's tokenizer makes of a text alone."""
    added = AddedIds(backbone.vocab_size, 0)
    tokens = Encoder(backbone.tokenizer, end_of_turn=backbone.end_of_turn, added=added, document_max_tokens=1)
    return lambda text: len(tokens.text(text))


def compress_text(text: str, importance: Importance, *, budget: int, count: Count) -> str:
    """The most important words of `text` that fit, in their order; a text that fits is left as it is.

    Args:
        text: of a document.
        importance: of its words; of equal ones the earlier is kept.
        budget: tokens at most.
        count: tokens of a text.
    """
    if count(text) <= budget:
        return text
    words = text.split()
    values = importance(words)
    order = sorted(range(len(words)), key=lambda place: (-values[place], place))
    kept: list[int] = []
    used = 0
    for place in order:
        if (size := count(f" {words[place]}")) <= budget - used:
            kept.append(place)
            used += size
    while kept and count(_joined(words, kept)) > budget:  # a tokenizer may make more of words that stand together
        kept.pop()
    return _joined(words, kept)


def compress_tasks(tasks: Sequence[Task], importance: Importance, *, budget: int, count: Count) -> list[Task]:
    """The tasks with the text of every selected document compressed to at most `budget` tokens."""
    short: dict[str, str] = {}
    result = []
    for task in tasks:
        documents = list(task.question.docs)
        for place in task.selected:
            text = documents[place]
            if text not in short:
                short[text] = compress_text(text, importance, budget=budget, count=count)
            documents[place] = short[text]
        result.append(replace(task, question=task.question.model_copy(update={"docs": documents})))
    return result


def _joined(words: Sequence[str], kept: Sequence[int]) -> str:
    return " ".join(words[place] for place in sorted(kept))


def _plain(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum()) or word
