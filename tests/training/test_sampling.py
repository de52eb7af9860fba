from clara.training.examples import Example
from clara.training.sampling import Sampler

EXAMPLES = [Example(f"{group}{number}", group, (), [], []) for group in "abcd" for number in range(4)]


def keys(sampler: Sampler, first: int, last: int) -> list[str]:
    return [item.key for step in range(first, last + 1) for item in sampler.step(step)]


def test_every_epoch_holds_every_example_once_in_its_own_order() -> None:
    sampler = Sampler(EXAMPLES, batch_size=4, seed=1)
    first, second = keys(sampler, 1, 4), keys(sampler, 5, 8)
    assert sorted(first) == sorted(second) == sorted(item.key for item in EXAMPLES)
    assert first != second


def test_a_step_is_a_function_of_seed_and_number() -> None:
    run = keys(Sampler(EXAMPLES, batch_size=5, seed=1), 1, 9)
    assert keys(Sampler(EXAMPLES, batch_size=5, seed=1), 6, 9) == run[25:]  # a resumed run begins anywhere
    assert keys(Sampler(EXAMPLES, batch_size=5, seed=2), 1, 9) != run


def test_a_batch_across_the_end_of_an_epoch_leaves_nothing_out() -> None:
    drawn = keys(Sampler(EXAMPLES, batch_size=5, seed=1), 1, 7)
    assert sorted(drawn[:16]) == sorted(drawn[16:32]) == sorted(item.key for item in EXAMPLES)


def test_batches_larger_than_the_data_go_round() -> None:
    drawn = keys(Sampler(EXAMPLES[:3], batch_size=7, seed=1), 1, 1)
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == ["a0", "a1", "a2"]


def test_examples_of_one_group_follow_one_another() -> None:
    drawn = keys(Sampler(EXAMPLES, batch_size=8, seed=1, together=2), 1, 2)
    assert sorted(drawn) == sorted(item.key for item in EXAMPLES)
    assert all(drawn[place][0] == drawn[place + 1][0] for place in range(0, 16, 2))


def test_a_step_is_sorted_by_length_with_the_examples_of_one_document_together() -> None:
    lengths = {"a": [9, 3], "b": [5, 1], "c": [2, 7]}
    examples = [Example(f"{doc}{n}", doc, (doc,), [], [0] * n) for doc, numbers in lengths.items() for n in numbers]
    drawn = [item.key for item in Sampler(examples, batch_size=6, seed=1).step(1)]
    assert "".join(key[0] for key in drawn) == "bbccaa"  # by the longest of each document: 5, 7, 9
    assert sorted(drawn) == sorted(item.key for item in examples)
