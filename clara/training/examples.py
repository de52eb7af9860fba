"""Records to examples: what is compressed, what is asked, what must be written."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, takewhile
from typing import Literal, NamedTuple

from clara.errors import DataError
from clara.records import Pair
from clara.tokens import CompressorInput, Encoder
from clara.training.rows import units

READ_AGAIN = 64
"""Texts whose ids are kept while examples are tokenized: neighbours share documents."""
SURELY_FIT = 4
"""Letters a token, up to which a list is tokenized as a whole before anything else: it will most likely fit."""


class Lost(NamedTuple):
    """What an example has to do without, since the settings bound its length."""

    texts: int = 0
    """Of the texts to read, those without their end."""
    target: int = 0
    """1 where the target is without its end, or without pairs."""
    pairs: int = 0
    """Pairs of a list that are left out whole."""


NOTHING = Lost()


@dataclass(frozen=True)
class Example:
    """One unit of training: the target is written after the prompt, whose slots hold the documents' memories."""

    key: str
    """Names the example in messages."""
    group: str
    """Examples of one group are held out together."""
    documents: tuple[str, ...]
    """Texts to compress for the prompt's slots; in joint training, all candidates."""
    prompt: list[int]
    target: list[int]
    question: str = ""
    gold: tuple[int, ...] = ()
    """Indices of the documents that answer the question, where that is known; joint training logs recall by them."""
    read: tuple[list[int], ...] = ()
    """Ids of what is read, where it is tokenized already: the documents, in joint training the question."""
    lost: Lost = NOTHING

    def to_compress(self, tokens: Encoder) -> list[CompressorInput]:
        """What the compressor reads."""
        return [tokens.framed(ids) for ids in self.read] or [tokens.to_compress(text) for text in self.documents]

    def to_ask(self, tokens: Encoder) -> CompressorInput:
        """What the query reasoner reads."""
        return tokens.framed(self.read[0]) if self.read else tokens.to_compress(self.question)


def pretraining_examples(
    pairs: Iterable[Pair], tokens: Encoder, *, kinds: Sequence[str], qa_target: str, max_target_tokens: int
) -> Iterator[Example]:
    """Examples of SCP pretraining (paper, section 2.2), one document each.

    Args:
        pairs: synthesized rows, gone through several times (`clara.training.rows.units`).
        tokens: encoder of the model.
        kinds: kinds of rows to use.
        qa_target: `list`: all pairs of one kind and document are one target, questions included (paper); `answer`:
            every pair is an example whose prompt holds the question.
        max_target_tokens: a list is shortened by whole pairs, other targets by their end.

    Raises:
        DataError: no row is of one of these kinds.
    """
    for pair, lines in units(pairs, kinds=kinds, qa_target=qa_target):
        if lines:
            prompt, (target, lost) = tokens.pairs_prompt(1), _list_target(lines, tokens, max_target_tokens)
        else:
            target, lost = target_of(pair.answer, tokens, max_target_tokens)
            alone = pair.kind == "paraphrase"
            prompt = tokens.paraphrase_prompt(1) if alone else tokens.answer_prompt(pair.question, 1)
        yield Example(pair.id, pair.document_id, (pair.document,), prompt, target, lost=lost)


def tokenized(
    examples: Iterable[Example], tokens: Encoder, *, read: Literal["documents", "question", "prompt"]
) -> Iterator[Example]:
    """The same examples with what is read of them besides the prompt, documents or question, as ids too."""
    ids_of = lru_cache(READ_AGAIN)(tokens.text)
    for example in examples:
        texts = {"documents": example.documents, "question": (example.question,), "prompt": ()}[read]
        ids = tuple(ids_of(text) for text in texts)
        cut = sum(len(whole) > tokens.document_max_tokens for whole in ids)
        yield replace(example, read=ids, lost=example.lost._replace(texts=cut))


def target_of(text: str, tokens: Encoder, max_tokens: int) -> tuple[list[int], Lost]:
    """Ids of a target, and whether it lost its end."""
    whole = tokens.text(text)
    return tokens.ended(whole, max_tokens=max_tokens), Lost(target=int(len(whole) >= max_tokens))


def _list_target(lines: Sequence[str], tokens: Encoder, max_tokens: int) -> tuple[list[int], Lost]:
    """Question and answer lines; as many whole pairs as fit, at least the first.

    A token may reach over the end of a pair, so that only the ids of the joined text tell its length; those of single
    pairs tell where to look.
    """
    room, number = max_tokens - 1, len(lines)  # without the end of the turn
    joined = lru_cache(lambda number: tokens.text("\n".join(lines[:number])))
    if number > 1 and (sum(map(len, lines)) > SURELY_FIT * room or len(joined(number)) > room):
        ends = accumulate(len(tokens.text(f"{line}\n")) for line in lines)
        number = max(1, sum(1 for _ in takewhile(lambda end: end <= room, ends)))
        while number < len(lines) and len(joined(number + 1)) <= room:
            number += 1
        while number > 1 and len(joined(number)) > room:
            number -= 1
    left = len(lines) - number
    lost = Lost(target=int(left > 0 or len(joined(number)) > room), pairs=left)
    return tokens.ended(joined(number), max_tokens=max_tokens), lost


def held_out(groups: Sequence[str] | Sequence[int], *, count: int, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of training and of validation examples, no group in both; at most a fifth of all is held out.

    Args:
        groups: of each example the name of its group, or a number by which groups are sorted as by their names.
        count: examples to hold out.
        seed: of the choice.

    Raises:
        DataError: there are fewer than two groups.
    """
    names: list[str] | list[int] = sorted(set(groups))  # type: ignore[type-var, assignment]
    if len(names) < 2:
        raise DataError(f"training needs examples of at least two documents or questions, found {len(names)}; add data")
    random.Random(f"{seed}-hold-out").shuffle(names)
    limit = max(1, min(count, len(groups) // 5))
    sizes = Counter[str | int](groups)
    held: set[str | int] = set()
    number = 0
    for name in names[:-1]:
        if number >= limit:
            break
        held.add(name)
        number += sizes[name]
    validation = [index for index, group in enumerate(groups) if group in held]
    return [index for index, group in enumerate(groups) if group not in held], validation[: max(limit, 1)]
