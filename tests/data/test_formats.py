import pytest

from clara.data.formats import from_hotpotqa, from_musique, from_nq, from_rows
from clara.data.question_files import Row
from clara.errors import DataError
from clara.files import text_id

ROWS = {
    "id": "r1",
    "question": "Who?",
    "golden_answers": ["A", "B"],
    "docs": ["T\na", "U\nb"],
    "pos_index": [1],
    "type": "x",
}
HOTPOT = {
    "_id": "h1",
    "question": "Which is older?",
    "answer": "yes",
    "type": "comparison",
    "supporting_facts": [["T", 0], ["V", 1], ["T", 1]],
    "context": [["T", ["One.", " Two."]], ["U", ["Three."]], ["V", ["Four. ", "Five."]]],
}
MUSIQUE = {
    "id": "3hop1__1_2",
    "question": "Who?",
    "answer": "A",
    "answer_aliases": ["B", "A"],
    "answerable": True,
    "paragraphs": [
        {"idx": 0, "title": "T", "paragraph_text": "a", "is_supporting": False},
        {"idx": 1, "title": "U", "paragraph_text": "b", "is_supporting": True},
    ],
}
DPR = {
    "question": "who?",
    "answers": ["A"],
    "positive_ctxs": [{"title": "T", "text": "gold"}, {"title": "W", "text": "also A"}],
    "negative_ctxs": [{"title": "X", "text": "random"}],
    "hard_negative_ctxs": [{"title": "U", "text": "hard"}, {"title": "T", "text": "gold"}],
}
OPEN = {
    "question": "who?",
    "answers": ["A"],
    "ctxs": [
        {"title": "T", "text": "a", "hasanswer": True, "isgold": False},
        {"title": "U", "text": "b", "isgold": True},
    ],
}


def row(values, **changes):
    merged = {**values, **changes}
    return Row("f line 7", {key: value for key, value in merged.items() if value is not ...})


def test_rows_are_taken_as_they_are():
    assert from_rows(row(ROWS)).model_dump() == ROWS | {"bm25": None}


def test_a_null_is_a_missing_field_and_a_number_is_an_id():
    question = from_rows(row(ROWS, golden_answers=None, answer="A", id=7, type=None))
    assert (question.golden_answers, question.id, question.type) == (["A"], "7", "")
    assert from_musique(row(MUSIQUE, answer_aliases=None)).golden_answers == ["A"]
    assert from_nq(row(OPEN, ctxs=[{"title": None, "text": "a", "isgold": True}])).docs == ["a"]


@pytest.mark.parametrize("name", ["context", "content"])
def test_released_rows_have_one_answer_other_names_and_no_id(name):
    question = from_rows(row(ROWS, id=..., golden_answers=..., answer="A", docs=..., **{name: ROWS["docs"]}))
    assert (question.golden_answers, question.docs) == (["A"], ROWS["docs"])
    assert question.id == text_id("Who?")


def test_hotpotqa_joins_sentences_and_marks_the_titles_of_facts():
    question = from_hotpotqa(row(HOTPOT))
    assert question.docs == ["T\nOne. Two.", "U\nThree.", "V\nFour. Five."]
    assert (question.id, question.pos_index, question.golden_answers, question.type) == (
        "h1",
        [0, 2],
        ["yes"],
        "comparison",
    )


def test_2wiki_rows_are_those_of_hotpotqa_with_evidences():
    question = from_hotpotqa(row(HOTPOT, evidences=[["T", "older than", "V"]], type="compositional"))
    assert (question.pos_index, question.type) == ([0, 2], "compositional")


def test_musique_has_aliases_and_hops_in_its_id():
    question = from_musique(row(MUSIQUE))
    assert (question.docs, question.pos_index) == (["T\na", "U\nb"], [1])
    assert (question.golden_answers, question.type) == (["A", "B"], "3hop1")


def test_musique_questions_without_an_answer_are_passed_over():
    assert from_musique(row(MUSIQUE, answerable=False)) is None


def test_dpr_takes_the_annotated_passage_as_gold_and_hard_negatives_as_distractors():
    question = from_nq(row(DPR))
    assert (question.docs, question.pos_index) == (["T\ngold", "U\nhard"], [0])
    assert question.id == text_id("who?")


def test_nq_open_takes_what_is_marked_gold_else_what_has_the_answer():
    assert from_nq(row(OPEN)).pos_index == [1]
    contexts = [{"title": "T", "text": "a", "hasanswer": False}, {"title": "U", "text": "b", "hasanswer": True}]
    assert from_nq(row(OPEN, ctxs=contexts)).pos_index == [1]


def test_the_released_instruction_rows_name_no_gold_documents_and_two_answers() -> None:
    question = from_rows(row(ROWS, pos_index=..., golden_answers=..., gold_answer=["42"], answer="It is forty-two."))
    assert (question.golden_answers, question.pos_index) == (["42"], [])


@pytest.mark.parametrize(
    ("parser", "values", "changes", "message"),
    [
        (from_rows, ROWS, {"question": ...}, "f line 7 is no pooled row: field question: field required, there are id"),
        (from_rows, ROWS, {"question": None}, "field question: field required"),
        (from_rows, ROWS, {"question": ["Who?"]}, r"field question: input should be a valid string, found \['Who\?'\]"),
        (from_rows, ROWS, {"pos_index": "1"}, "field pos_index: input should be a valid list, found '1'"),
        (from_rows, ROWS, {"pos_index": [2]}, r"pos_index holds 2, but docs has 2 entries"),
        (from_rows, ROWS, {"pos_index": [-1]}, r"pos_index holds -1"),
        (from_rows, ROWS, {"pos_index": ["x"]}, r"field pos_index\.0"),
        (from_rows, ROWS, {"docs": ...}, "field docs: field required"),
        (from_rows, ROWS, {"docs": []}, "field docs"),
        (from_rows, ROWS, {"docs": [None]}, r"field docs\.0: .*, found None"),
        (from_rows, ROWS, {"golden_answers": ...}, "field golden_answers: field required"),
        (from_rows, ROWS, {"golden_answers": []}, "field golden_answers"),
        (from_rows, ROWS, {"golden_answers": [["A"]]}, r"field golden_answers\.0"),
        (from_rows, ROWS, {"id": ["r"]}, "field id: input should be a valid string"),
        (from_hotpotqa, HOTPOT, {"context": ...}, "field context: field required"),
        (from_hotpotqa, HOTPOT, {"context": "T"}, "field context: input should be a valid list, found 'T'"),
        (from_hotpotqa, HOTPOT, {"context": [["T"]]}, r"field context\.0\.1: field required"),
        (from_hotpotqa, HOTPOT, {"context": [["T", "One."]]}, r"field context\.0\.1: input should be a valid list"),
        (from_hotpotqa, HOTPOT, {"context": [["T", ["One.", 2]]]}, r"field context\.0\.1\.1: .*, found 2"),
        (from_hotpotqa, HOTPOT, {"context": [[5, ["One."]]]}, r"field context\.0\.0: .*, found 5"),
        (from_hotpotqa, HOTPOT, {"context": ["TU"]}, r"field context\.0: .*, found 'TU'"),
        (from_hotpotqa, HOTPOT, {"supporting_facts": [["Z", 0]]}, "f line 7: supporting_facts names 'Z'"),
        (from_hotpotqa, HOTPOT, {"supporting_facts": [1]}, r"field supporting_facts\.0: .*, found 1"),
        (from_hotpotqa, HOTPOT, {"supporting_facts": [[]]}, r"field supporting_facts\.0\.0: field required"),
        (from_hotpotqa, HOTPOT, {"supporting_facts": [["T", "x"]]}, r"field supporting_facts\.0\.1"),
        (from_hotpotqa, HOTPOT, {"supporting_facts": "T"}, "field supporting_facts: input should be a valid list"),
        (from_hotpotqa, HOTPOT, {"answer": 5}, "field answer: input should be a valid list, found 5"),
        (from_musique, MUSIQUE, {"paragraphs": "x"}, "field paragraphs: input should be a valid list"),
        (
            from_musique,
            MUSIQUE,
            {"paragraphs": [{"title": "T"}]},
            r"field paragraphs\.0\.paragraph_text: field required",
        ),
        (from_musique, MUSIQUE, {"paragraphs": MUSIQUE["paragraphs"][:1]}, "no document is marked as gold"),
        (from_musique, MUSIQUE, {"answer_aliases": 5}, "field answer_aliases: input should be a valid list, found 5"),
        (from_musique, MUSIQUE, {"answer_aliases": "BC"}, "field answer_aliases: .*, found 'BC'"),
        (from_musique, MUSIQUE, {"answer_aliases": [["x"]]}, r"field answer_aliases\.0: .*, found \['x'\]"),
        (from_nq, DPR, {"positive_ctxs": []}, "field positive_ctxs: list should have at least 1 item"),
        (from_nq, DPR, {"positive_ctxs": None}, "field positive_ctxs: field required"),
        (from_nq, DPR, {"hard_negative_ctxs": [{"title": "U"}]}, r"field hard_negative_ctxs\.0\.text: field required"),
        (from_nq, OPEN, {"ctxs": ...}, "field ctxs: field required"),
        (from_nq, OPEN, {"ctxs": [{"text": "a", "isgold": "perhaps"}]}, r"field ctxs\.0\.isgold: .*, found 'perhaps'"),
    ],
)
def test_a_row_that_lacks_something_is_refused_with_its_place_and_field(parser, values, changes, message):
    with pytest.raises(DataError, match=message):
        parser(row(values, **changes))
