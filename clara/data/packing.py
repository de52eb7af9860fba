"""Sentences packed into pieces of about so many words, and pieces split until they fit a limit."""

from collections.abc import Callable, Iterable, Iterator

LARGEST = 1.5
"""Words of a piece at most, in units of the aim, where sentences allow."""
SMALLEST = 0.25
"""A last piece with fewer words, in units of the aim, joins the one before."""

Piece = list[str]
"""Sentences that stand together."""


def pack(sentences: Iterable[str], words: int) -> Iterator[Piece]:
    """Pieces of whole sentences, each as close to `words` words as their ends allow."""
    held: Piece | None = None
    for piece in _packed(sentences, words):
        if held is not None:
            small = num_words(piece) < SMALLEST * words
            if small and num_words(held) + num_words(piece) <= LARGEST * words:
                held = held + piece
                continue
            yield held
        held = piece
    if held is not None:
        yield held


def _packed(sentences: Iterable[str], words: int) -> Iterator[Piece]:
    piece: Piece = []
    size = 0
    for sentence in sentences:
        length = len(sentence.split())
        # Stop where the aim is missed by less: at 80 of 100 words a sentence of 50 goes to the next piece.
        if piece and abs(size + length - words) > abs(size - words):
            yield piece
            piece, size = [], 0
        piece.append(sentence)
        size += length
    if piece:
        yield piece


def num_words(piece: Piece) -> int:
    """Words of a piece."""
    return sum(len(sentence.split()) for sentence in piece)


def split_to_fit(piece: Piece, fits: Callable[[str], bool]) -> list[str] | None:
    """The texts of a piece, halved until each fits: between sentences, else between words, else between characters.

    Nothing is cut: the texts together hold every character of the piece but the spaces between them.

    Args:
        piece: sentences.
        fits: whether a text is short enough.

    Returns:
        The texts; null where even one character does not fit.
    """
    text = " ".join(piece)
    if fits(text):
        return [text]
    if len(piece) > 1:
        middle = _middle([len(sentence) for sentence in piece])
        halves = [piece[:middle], piece[middle:]]
    elif len(words := text.split()) > 1:
        middle = _middle([len(word) for word in words])
        halves = [[" ".join(words[:middle])], [" ".join(words[middle:])]]
    elif len(text) > 1:
        halves = [[text[: len(text) // 2]], [text[len(text) // 2 :]]]
    else:
        return None
    texts: list[str] = []
    for half in halves:
        parts = split_to_fit(half, fits)
        if parts is None:
            return None
        texts += parts
    return texts


def _middle(lengths: list[int]) -> int:
    """The index, neither 0 nor the end, that splits the lengths most evenly."""
    total, before, best = sum(lengths), 0, (float("inf"), 1)
    for index, length in enumerate(lengths[:-1], 1):
        before += length
        best = min(best, (abs(total - 2 * before), index))
    return best[1]
