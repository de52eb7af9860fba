"""The Explorer page, by itself and in a real browser."""

import re
import shutil
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
from clara.server.app import PAGE
from clara.serving import load
from tests import tiny
from tests.server.conftest import World, serving

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
WITHOUT = "the page is not tried in a browser: install the package chromium"
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
def test_by_keyboard_on_a_phone_the_page_answers_and_fits(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
      const shown = show;
      show = (found) => {
        shown(found);
        document.querySelectorAll("summary").forEach((each) => each.parentElement.open = true);
        const root = document.documentElement;
        document.title = root.scrollWidth > root.clientWidth ? "too wide" : "fits";
      };
      by("question").value = "Where does the river end?";
      by("form").requestSubmit();  // what Enter does
    """
    page = tmp_path / "page.html"
    page.write_text(PAGE.read_text().replace("</script>", f"{program}</script>"))
    monkeypatch.setattr("clara.server.app.PAGE", page)
    with serving(world) as address:
        found = shown(address, tmp_path, width=420)
    assert "<title>fits</title>" in found
    assert "<details open" in found


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
