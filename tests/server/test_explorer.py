"""The Explorer page, by itself and in a real browser."""

import re
import subprocess
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.model.compression import build_store
from clara.model.store import MemoryStore
from clara.records import Passage, document_id
from clara.serving import load
from tests import tiny
from tests.browser import BROWSER, WITHOUT, opened
from tests.server.conftest import World, serving

EVIL = "<img src=x onerror=\"document.title='broken into'\">"


def shown(address: str, folder: Path, *, width: int = 1200) -> str:
    """The page's DOM once its script is done."""
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},900",
        f"--user-data-dir={folder}/browser",
    ]
    done = subprocess.run(
        [*command, "--virtual-time-budget=30000", "--dump-dom", address],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


def test_the_page_brings_everything_along_and_its_policy_allows_nothing_else(world: World) -> None:
    with serving(world) as address:
        page = httpx.get(address)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|document\.write|eval\(|\son\w+=", page.text)


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason=WITHOUT)
def test_a_question_in_a_browser_shows_answers_and_candidates(world: World, tmp_path: Path) -> None:
    question = "Where does the river end?"
    (answer,) = world.model.answer([question], store=world.store, k=2, max_new_tokens=48)
    with serving(world) as address:
        page = shown(f"{address}/#{urllib.parse.quote(question)}", tmp_path)
    assert page.count('<li class="selected">') == 2
    assert len(re.findall(r"<li[ >]", page)) == len(tiny.TEXTS)
    assert re.search(r'<p id="status" role="status">[\d.]+ s</p>', page)
    assert page.count("from 2 passages as 4 vectors each</p>") == 2
    assert f"<h2>tiny</h2><p>{answer.text.split('<')[0].split('&')[0]}" in page


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason=WITHOUT)
def test_by_keyboard_on_a_phone_the_page_answers_and_fits(world: World, tmp_path: Path) -> None:
    with serving(world) as address, opened(f"{address}/", tmp_path) as page:
        page.screen(420, 900, phone=True)
        if not page.evaluate("document.activeElement.matches('#question')"):
            page.tab_to("#question", most=5)
        page.type("Where does the river end?")
        page.press("Enter")
        page.wait("!document.getElementById('found').hidden")
        page.tab_to("#candidates summary", most=10)
        page.press("Enter")
        assert page.evaluate("document.querySelector('#candidates details').open")
        assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [420, 420]
        controls = [
            node for node in page.tree() if node.role in ("button", "textbox", "searchbox", "DisclosureTriangle")
        ]
        assert len(controls) > len(tiny.TEXTS)
        assert [node for node in controls if not node.name] == []
        assert page.errors == []


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason=WITHOUT)
def test_markup_in_questions_and_documents_stays_text(make_model: Callable[..., ClaraModel], tmp_path: Path) -> None:
    model = make_model(document_max_tokens=128)
    model.add_query_reasoner("compressor")
    tiny.save(model, tmp_path / "joint", stage="joint")
    loaded = load(tmp_path / "joint")
    passage = Passage(id=document_id(f"{EVIL}\n{EVIL}"), title=EVIL, text=EVIL)
    checkpoint = LoadedCheckpoint(loaded.model, loaded.card, loaded.compressor_hash)
    manifest = tmp_path / "store" / "manifest.json"
    options = {"dtype": "float32", "shard_documents": 4, "batch_tokens": 128}
    build_store(checkpoint, [passage], manifest, state=tmp_path / "state", **options)  # type: ignore[arg-type]
    with serving(World(loaded, MemoryStore(manifest))) as address:
        page = shown(f"{address}/#{urllib.parse.quote(EVIL)}", tmp_path)
    assert "<title>CLaRa explorer</title>" in page
    assert "&lt;img src=x onerror=" in page
    assert "<img" not in page
