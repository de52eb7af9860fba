import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara.data.packing import pack, split_to_fit


def sentence(words, letter="w"):
    return " ".join([letter] * words)


def sizes(lengths, words):
    return [[len(part.split()) for part in piece] for piece in pack([sentence(length) for length in lengths], words)]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([50, 50, 50, 50], [[50, 50], [50, 50]]),
        ([80, 50, 50], [[80], [50, 50]]),  # 130 misses 100 by more than 80 does
        ([80, 35, 60], [[80, 35], [60]]),  # 115 misses it by less
        ([100, 20], [[100, 20]]),  # a small rest joins
        ([100, 30], [[100], [30]]),
        ([140, 20], [[140], [20]]),  # unless the piece would be too large
        ([300], [[300]]),
        ([10], [[10]]),
        ([], []),
    ],
)
def test_pieces_end_at_the_sentence_nearest_to_the_aim(lengths, expected):
    assert sizes(lengths, 100) == expected


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(20, 120))
def test_no_sentence_is_lost_or_moved(lengths, words):
    parts = [sentence(length, f"s{place}") for place, length in enumerate(lengths)]
    assert [part for piece in pack(parts, words) for part in piece] == parts


def limit(most):
    return lambda text: len(text) <= most


@pytest.mark.parametrize(
    ("piece", "most", "expected"),
    [
        (["Aa bb.", "Cc dd."], 13, ["Aa bb. Cc dd."]),
        (["Aa bb.", "Cc dd."], 12, ["Aa bb.", "Cc dd."]),  # between sentences
        (["Aa bb.", "Cc dd."], 5, ["Aa", "bb.", "Cc", "dd."]),  # between words
        (["abcdefgh"], 3, ["ab", "cd", "ef", "gh"]),  # between characters
        (["abc"], 0, None),
    ],
)
def test_a_piece_is_split_at_the_mildest_place_that_fits(piece, most, expected):
    assert split_to_fit(piece, limit(most)) == expected


@given(st.lists(st.text("ab. ", min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=6), st.integers(1, 20))
def test_splitting_keeps_every_character_and_the_limit(piece, most):
    texts = split_to_fit([" ".join(part.split()) for part in piece], limit(most))
    assert all(len(text) <= most for text in texts)
    assert "".join("".join(texts).split()) == "".join("".join(piece).split())
