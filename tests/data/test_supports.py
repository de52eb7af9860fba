import pytest

from clara.data.question_files import Row
from clara.data.supports import SupportResolver
from clara.errors import DataError
from clara.files import text_id
from clara.records import Passage


def passage(title, text):
    return Passage(id=text_id(f"{title}\n{text}"), title=title, text=text)


PASSAGES = [
    passage("Apollo", "Apollo flew to the Moon. It took eight days."),
    passage("Apollo", "The crew\u2019s craft \u201cEagle\u201d landed in 1969\u20131970."),
    passage("Eagle", "An eagle is a large bird."),
]


def row(*supports, place="f line 3"):
    values = {"id": "q1", "question": "Who?", "golden_answers": ["A"], "type": "bridge"}
    return Row(place, {**values, "support": [{"title": title, "contains": text} for title, text in supports]})


def test_supports_become_the_gold_documents_in_their_order():
    resolver = SupportResolver(PASSAGES)
    question = resolver.question(row(("Eagle", "large bird"), ("Apollo", "eight days")))
    resolver.check()
    assert question.docs == [PASSAGES[2].document, PASSAGES[0].document]
    assert (question.pos_index, question.id, question.type) == ([0, 1], "q1", "bridge")


def test_two_supports_in_one_passage_are_one_document():
    question = SupportResolver(PASSAGES).question(row(("Apollo", "flew"), ("Apollo", "eight days")))
    assert question.docs == [PASSAGES[0].document]


def test_spaces_quotes_and_dashes_may_differ_in_kind():
    question = SupportResolver(PASSAGES).question(row(("Apollo", 'crew\'s  craft "Eagle"\nlanded in 1969-1970')))
    assert question.docs == [PASSAGES[1].document]


def test_all_faults_are_reported_together_with_what_is_near():
    resolver = SupportResolver(PASSAGES)
    assert resolver.question(row(("Apollo", "large bird"), ("Apolo", "flew"))) is None
    resolver.question(row(("Apollo", "flew to the Sun"), ("Eagle", "large bird"), place="f line 4"))
    with pytest.raises(DataError) as caught:
        resolver.check()
    message = str(caught.value)
    assert message.startswith("3 supports are in no passage")
    assert "f line 3, question q1: 'large bird' of 'Apollo' (it is in 'Eagle')" in message
    assert "'flew' of 'Apolo' (it is in 'Apollo')" in message
    hint = "(not in its 2 passages, which go along up to 'flew to the')"
    assert f"f line 4, question q1: 'flew to the Sun' of 'Apollo' {hint}" in message
    assert "corpus.passages.per_article" in message


def test_an_unknown_title_names_the_nearest():
    resolver = SupportResolver(PASSAGES)
    resolver.question(row(("Apolo", "nowhere")))
    with pytest.raises(DataError, match="no such article, nearest 'Apollo'"):
        resolver.check()


def test_a_string_over_the_end_of_a_passage_is_not_found():
    resolver = SupportResolver(PASSAGES)
    assert resolver.question(row(("Apollo", "eight days. The crew"))) is None


@pytest.mark.parametrize(("name", "value"), [("support", []), ("support", [{"title": "A"}]), ("golden_answers", [])])
def test_a_malformed_row_is_refused(name, value):
    values = {**row(("Apollo", "flew")).values, name: value}
    with pytest.raises(DataError, match=f"f line 3 is no supportedquestion row: field {name}"):
        SupportResolver(PASSAGES).question(Row("f line 3", values))
