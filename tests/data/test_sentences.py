import pytest

from clara.data.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("(It rained.) We stayed.", ["(It rained.)", "We stayed."]),
        ("It was 3.14 in 1900. 40 years passed.", ["It was 3.14 in 1900.", "40 years passed."]),
        ("Dr. Smith met Mr. Jones. They spoke.", ["Dr. Smith met Mr. Jones.", "They spoke."]),
        ("J. R. R. Tolkien wrote it. It sold well.", ["J. R. R. Tolkien wrote it.", "It sold well."]),
        ("It lies in the U.S. Congress knows.", ["It lies in the U.S. Congress knows."]),
        ("It began c. 1900 (b. 3 May). Later it ended.", ["It began c. 1900 (b. 3 May).", "Later it ended."]),
        (
            "He played No. 5. The answer was no. Then he stopped.",
            ["He played No. 5.", "The answer was no.", "Then he stopped."],
        ),
        ("the rest, e.g. iron. it goes on", ["the rest, e.g. iron. it goes on"]),
        ("She and I. Then all.", ["She and I.", "Then all."]),
        ("Born Jan. 5 in May. Died soon.", ["Born Jan. 5 in May.", "Died soon."]),
        ("第一句。第二句！", ["第一句。", "第二句！"]),  # noqa: RUF001
        ("他说 OK. Yes。好吗？", ["他说 OK.", "Yes。", "好吗？"]),  # noqa: RUF001
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_sees_their_end(text, expected):
    assert sentences(text) == expected


def test_no_character_but_spaces_is_lost():
    text = "Mr. A. said: “Go!” (He went.) Then… 5 p.m. came. Vol. 3 is out? yes.no  Fin"
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["反照率" * 60_000, "a" * 200_000, "a. " * 60_000, "." * 100_000])
def test_a_text_of_any_size_takes_time_in_proportion(text):
    # Each start of a run without spaces used to be scanned to the run's end: ten minutes for the first of these.
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
