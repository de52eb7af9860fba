import pytest

from clara.data.wikitext import article_paragraphs, is_disambiguation


def prose(wikitext):
    return list(article_paragraphs(wikitext))


def line(wikitext):
    """The one paragraph of some wikitext that is long enough to be one."""
    (found,) = prose(wikitext)
    return found


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("'''Bold''' and ''italic'' words stand here together.", "Bold and italic words stand here together."),
        ("A [[link]] and a [[target|text]] and [[a#b|more]] here.", "A link and a text and more here."),
        ("A [[wikt:man-made|man-made]] canal links the two seas.", "A man-made canal links the two seas."),
        ("An [http://x.org outside link] is kept, [http://x.org] is not.", "An outside link is kept, is not."),
        ("It is<ref name=a>A source [[x]]</ref> so<ref name=a/> and stays that way.", "It is so and stays that way."),
        ("One<!-- hidden\n\n words --> two three four five six.", "One two three four five six."),
        ("[[File:A.jpg|thumb|200px|A [[caption]] here.]]The text goes on without it.", "The text goes on without it."),
        ("[[Datei:A.jpg|mini|Eine Unterschrift.]] The text goes on without it.", "The text goes on without it."),
        ("It goes on without its category.[[Category:Things]][[fr:Chose]]", "It goes on without its category."),
        ("Bread &amp; butter&nbsp;cost 5&thinsp;cents in the shop.", "Bread & butter cost 5 cents in the shop."),
        ("H<sub>2</sub>O is the<br />formula of plain water.", "H2O is the formula of plain water."),
        ("It lies {{convert|2381741|km2|sqmi}} wide and {{convert|5|-|8|ft|m}} deep.", "It lies 2,381,741 km² wide and 5–8 feet deep."),  # noqa: RUF001, E501
        ("Albert ({{IPAc-en|a|b}}; {{lang-de|Albert}}; born 1879) was a man.", "Albert (Albert; born 1879) was a man."),
        ("Albert ({{IPAc-en|a|b}}; 14 March 1879) was a man.", "Albert (14 March 1879) was a man."),
        ("Albert ({{IPAc-en|a|b}}) was quite a famous man.", "Albert was quite a famous man."),
        ("Guests paid $5 (${{Inflation|US|5|1929}} in {{Year}} dollars) for a ticket.", "Guests paid $5 for a ticket."),
        ("{{quote|All animals are equal, but some more so.|Orwell}}", "All animals are equal, but some more so."),
        ("Reigned {{circa|500|520}} in the {{nowrap|old town}} {{ndash}} alone.", "Reigned c. 500–520 in the old town – alone."),  # noqa: RUF001, E501
        ("{{Infobox person|text=Words for nobody.}}The whole text is this one.", "The whole text is this one."),
    ],
)  # fmt: skip
def test_markup_becomes_what_a_reader_reads(wikitext, expected):
    assert line(wikitext) == expected


def test_tables_galleries_and_code_leave_nothing():
    table = "{| class=x\n! Head of a table with words.\n|-\n| A cell, with many words in it.\n|}\n"
    rest = "<gallery>\nA.jpg|Many words are written in here.\n</gallery>\nThe one true paragraph of prose."
    assert prose(table + rest) == ["The one true paragraph of prose."]


def test_a_table_that_is_never_closed_leaves_no_markup():
    found = prose(
        "The first paragraph is fine here.\n{| class=x\n| A cell, with many words in it.\n| Another, with words too.\n"
    )
    assert found == ["The first paragraph is fine here."]


def test_sentences_with_a_formula_are_left_out_and_their_neighbours_stay():
    text = "This sentence comes first, in words. Let <math>x</math> be given. This one follows it, in words too."
    assert line(text) == "This sentence comes first, in words. This one follows it, in words too."


def test_an_unfinished_last_sentence_is_left_out():
    assert line("The metals have many uses in life. For example, the mean is\n:<math>a</math>") == (
        "The metals have many uses in life."
    )


def test_headings_appendices_and_what_is_below_them_are_left_out():
    text = (
        "The lead is written in six words.\n== History ==\nHistory is written in six words.\n"
        "== References ==\nA reference is no prose at all.\n=== Notes on that ===\nA note is no prose at all.\n"
        "== Later ==\nWhat is later is prose again."
    )
    assert prose(text) == [
        "The lead is written in six words.",
        "History is written in six words.",
        "What is later is prose again.",
    ]


def test_list_items_stay_only_where_they_are_sentences():
    links = "* [[One]]\n* [[Two]], a second link without an end\n"
    text = links + "* This item is a whole sentence.\n# So is this one, here below."
    assert prose(text) == ["This item is a whole sentence.", "So is this one, here below."]


def test_nothing_beyond_what_is_asked_for_is_parsed(monkeypatch):
    import mwparserfromhell

    parsed = []
    parse = mwparserfromhell.parse
    monkeypatch.setattr(
        mwparserfromhell, "parse", lambda text, **options: parsed.append(text) or parse(text, **options)
    )
    paragraphs = article_paragraphs("The lead is written in six words.\n== More ==\nMore is written in six words.")
    next(paragraphs)
    assert len(parsed) == 1


@pytest.mark.parametrize(
    ("title", "wikitext", "expected"),
    [
        ("Ada", "Ada may mean:\n{{disambiguation|geo}}", True),
        ("Ada", "{{ hndis | name=Ada }}", True),
        ("Ada", "{{Geodis}}", True),
        ("Ada", "{{Airport disambiguation}}", True),
        ("Ada (disambiguation)", "No template.", True),
        ("Ada", "A [[link]]{{disambiguation needed|date=May 2016}} that is not clear.", False),
        ("Ada", "{{about|a language|others|Ada (disambiguation)}}", False),
    ],
)
def test_disambiguation_pages_are_known_by_template_or_title(title, wikitext, expected):
    assert is_disambiguation(title, wikitext) is expected


def test_halves_of_characters_leave_nothing():
    text = "The town of Aro&#xD83D; lies in the north of the country&#57343;, by the river&#33;"
    assert list(article_paragraphs(text)) == ["The town of Aro lies in the north of the country, by the river!"]


def test_braces_without_end_cost_their_section_and_no_more():
    text = "{{{" * 3000 + "}}}" * 3000 + "\n== Town ==\nThe town of Aro lies in the north of the country."
    assert list(article_paragraphs(text)) == ["The town of Aro lies in the north of the country."]
