import torch

from clara.model.padding import left_padded, right_padded


def test_rows_to_be_continued_end_in_the_last_column() -> None:
    ids, mask = left_padded([[5, 6], (7, 8, 9), []])
    assert ids.tolist() == [[0, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert mask.tolist() == [[0, 1, 1], [1, 1, 1], [0, 0, 0]]


def test_rows_without_a_token_are_whole_numbers_too() -> None:
    ids, mask = left_padded([(), ()])
    assert (ids.shape, mask.shape) == ((2, 0), (2, 0))
    assert (ids.dtype, mask.dtype) == (torch.long, torch.long)


def test_rows_to_be_read_begin_in_the_first_column() -> None:
    assert right_padded([[5, 6], (7, 8, 9)]).tolist() == [[5, 6, 0], [7, 8, 9]]
