from collections import Counter

from clara.data.splits import evenly, split, without
from clara.records import Question


def question(name, kind="", text=None):
    return Question(
        id=name, question=text or f"What is {name}?", golden_answers=["a"], docs=["d"], pos_index=[0], type=kind
    )


MIXED = [
    question(f"{kind}{number}", kind) for kind, count in (("a", 20), ("b", 10), ("c", 2)) for number in range(count)
]


def test_each_part_holds_each_type_in_its_share():
    train, test = split(MIXED, 16)
    assert Counter(item.type for item in test) == {"a": 10, "b": 5, "c": 1}
    assert Counter(item.type for item in train) == {"a": 10, "b": 5, "c": 1}


def test_parts_share_nothing_and_lose_nothing():
    train, test = split(MIXED, 7)
    assert len(test) == 7
    assert sorted(item.id for item in [*train, *test]) == sorted(item.id for item in MIXED)


def test_the_order_of_the_file_does_not_matter():
    assert split(MIXED, 9) == split(MIXED[::-1], 9)


def test_within_a_type_the_order_is_not_that_of_the_ids():
    names = [item.id for item in evenly([question(f"q{number:02}") for number in range(20)])]
    assert names != sorted(names)


def test_a_question_asked_twice_does_not_fall_on_both_sides():
    twice = [question(name, text=text) for name, text in (("x", "Who is it?"), ("y", "who is  it"), ("z", "Where?"))]
    for num_test in (1, 2):
        train, test = split(twice, num_test)
        assert not {item.question.lower()[:6] for item in train} & {item.question.lower()[:6] for item in test}


def test_without_compares_letters_and_digits_only():
    assert without(
        [question("x", text="Who is it?"), question("y", text="Why?")], [question("z", text="WHO is it")]
    ) == [question("y", text="Why?")]
