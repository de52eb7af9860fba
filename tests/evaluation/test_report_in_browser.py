"""The report in Debian's Chromium: by keyboard, on a phone, and as a screen reader is told of it."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from clara.evaluation.report import Outputs
from tests import browser
from tests.browser import Tab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browser.BROWSER, reason=browser.WITHOUT),
]
QUESTION = "document.activeElement.parentElement"
OPERATED = {"link", "button", "searchbox", "combobox", "DisclosureTriangle"}
NAMED = OPERATED | {"table", "form", "navigation", "region", "image", "heading", "columnheader", "rowheader"}
"""Roles that must say what they are."""


@pytest.fixture(scope="module")
def tab(built: Outputs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One browser; each test loads the page anew."""
    with browser.opened(built.page.as_uri(), tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def page(tab: Tab, built: Outputs) -> Tab:
    """The report as it opens in a window of an ordinary size."""
    tab.screen(1200, 900)
    tab.go(built.page.as_uri())
    return tab


def test_by_keyboard_a_question_is_found_and_opened(page: Tab) -> None:
    page.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.tab_to("nav a[href='#questions']", most=20)
    page.press("Enter")
    assert page.evaluate("location.hash") == "#questions"
    # From the section's heading on, not from the page's top again.
    assert page.tab_to("select[name=place]", most=3) == 1
    page.press("ArrowDown", times=2)
    chosen = page.evaluate("document.activeElement.selectedOptions[0].textContent")
    assert page.evaluate("document.getElementById('matches').textContent") == "4 questions"
    page.press("Tab", times=2)
    assert page.evaluate("document.activeElement.matches('input[type=search]')")
    page.type("crosses town 2")
    assert page.evaluate("document.getElementById('matches').textContent") == "1 questions"
    page.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith(chosen)
    page.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Which river crosses town 2?")
    answers = f"{QUESTION}.querySelector('table').checkVisibility()"
    assert not page.evaluate(answers)
    page.press("Enter")
    assert page.evaluate(answers)
    assert page.evaluate(f"{QUESTION}.querySelectorAll('tbody th').length") == 5
    page.press(" ")
    assert not page.evaluate(answers)
    assert page.errors == []


def test_by_keyboard_a_table_is_sorted_and_the_focus_is_seen_everywhere(page: Tab) -> None:
    page.tab_to("#results ~ .scroll table.sortable thead th:nth-child(2) button")
    page.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.ariaSort") == "descending"
    column = "[...document.activeElement.closest('table').tBodies[0].rows].map(row => +row.cells[1].dataset.value)"
    values = page.evaluate(column)
    assert len(values) > 2
    assert values == sorted(values, reverse=True)
    page.press(" ")
    assert page.evaluate(column) == sorted(values)
    # All the way to the end of the page and out of it: no trap, nothing that is reached unseen.
    page.evaluate("document.activeElement.blur()")
    unseen = """(() => { const item = document.activeElement, place = item.getBoundingClientRect();
        return getComputedStyle(item).outlineStyle === 'none' || !place.width || !place.height; })()"""
    reached = 0
    while page.press("Tab") or page.evaluate("document.activeElement !== document.body"):
        reached += 1
        assert not page.evaluate(unseen), page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        assert reached < 1000
    assert reached > 50


def test_a_screen_reader_is_told_names_headings_in_order_and_heads_of_tables(page: Tab) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    nodes = page.tree()
    assert {node.role for node in nodes} >= {*NAMED, "main", "status"}
    assert [node for node in nodes if node.role in NAMED and not node.name.strip()] == []
    levels = [node.properties["level"] for node in nodes if node.role == "heading"]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert [pair for pair in pairwise(levels) if pair[1] - pair[0] > 1] == []
    # Every table has heads of columns, and every row below them begins with a head of its own.
    tables = [
        [inner.role for inner in nodes[at + 1 : following]]
        for at, following in pairwise([*(at for at, node in enumerate(nodes) if node.role == "table"), len(nodes)])
    ]
    assert len(tables) > 10
    for roles in tables:
        heads = [role for role in roles if role in ("columnheader", "rowheader", "row")]
        assert heads.count("columnheader") > 1
        rows = "".join({"row": "/", "columnheader": "c", "rowheader": "r"}[role] for role in heads)
        assert re.fullmatch(r"/c+(/r)+", rows), rows
    live = [node.properties.get("live") for node in nodes if node.role == "status"]
    assert live == ["polite"]


def test_names_of_controls_are_their_words_on_the_page(page: Tab) -> None:
    names = {(node.role, node.name) for node in page.tree()}
    assert {("combobox", "Benchmark and pool"), ("combobox", "Answered"), ("searchbox", "Words")} <= names
    assert {("link", "Skip to the content"), ("navigation", "Sections"), ("form", "Filter the questions")} <= names


@pytest.mark.parametrize("width", [390, 320])
def test_on_a_phone_nothing_but_tables_scrolls_sideways_and_letters_are_large_enough(page: Tab, width: int) -> None:
    page.screen(width, 800, phone=True)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    # A phone lays the page out wider than its screen, and then shrinks it, where something does not fit.
    assert page.evaluate("[innerWidth, document.documentElement.scrollWidth, visualViewport.scale]") == [
        width,
        width,
        1,
    ]
    smallest = """Math.min(...[...document.querySelectorAll('main *')]
        .filter(item => item.checkVisibility() && !item.closest('svg')
          && [...item.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
        .map(item => parseFloat(getComputedStyle(item).fontSize)))"""
    assert page.evaluate(smallest) >= 11.5
    lowest = """Math.min(...[...document.querySelectorAll('main summary, main button, nav a, main select, main input')]
        .filter(item => item.checkVisibility()).map(item => item.getBoundingClientRect().height))"""
    assert page.evaluate(lowest) >= 16


def test_without_its_script_the_page_can_still_be_read(built: Outputs, tab: Tab, tmp_path: Path) -> None:
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub("<script>.*</script>", "", built.page.read_text(), flags=re.DOTALL))
    tab.go(bare.as_uri())
    assert tab.evaluate("document.querySelectorAll('thead button').length") == 0
    assert not tab.evaluate("document.getElementById('filters').checkVisibility()")
    tab.tab_to(".place summary")
    tab.press("Enter")
    tab.press("Tab")
    tab.press("Enter")
    assert tab.evaluate("document.activeElement.parentElement.querySelector('table').checkVisibility()")
