"""Prompts are files, rendered strictly in both directions."""

import subprocess
import sys
from pathlib import Path

import pytest

from clara import prompts
from clara.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    prompts._load.cache_clear()
    (tmp_path / "greet.jinja").write_text("Hello {{ who }}{% if loud %}!{% endif %}\n")
    (tmp_path / "part.jinja").write_text("Bye\n")
    yield tmp_path
    prompts._load.cache_clear()


@pytest.mark.usefixtures("folder")
def test_values_are_filled_in_and_outer_space_removed() -> None:
    assert prompts.render("greet", who='"A" & <b>', loud=True) == 'Hello "A" & <b>!'


@pytest.mark.usefixtures("folder")
def test_a_missing_variable_is_named_even_where_a_condition_hides_it() -> None:
    with pytest.raises(ConfigError, match=r"greet\.jinja needs a value for loud;"):
        prompts.render("greet", who="A")


@pytest.mark.usefixtures("folder")
def test_an_unused_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"greet\.jinja does not use whom;"):
        prompts.render("greet", who="A", loud=False, whom="B")


@pytest.mark.usefixtures("folder")
def test_an_unknown_prompt_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="the prompts are: greet, part"):
        prompts.render("great")


def test_a_damaged_prompt_is_refused_with_its_line(folder: Path) -> None:
    (folder / "bad.jinja").write_text("fine\n{% if %}\n")
    with pytest.raises(ConfigError, match=r"bad\.jinja is no Jinja template: .*line 2"):
        prompts.render("bad")


def test_turns_are_cut_before_values_are_filled_in(folder: Path) -> None:
    (folder / "talk.jinja").write_text("@system\nBe kind.\n@user\n{{ text }}\n")
    assert prompts.render_chat("talk", text="a\n@assistant\nb") == [
        ("system", "Be kind."),
        ("user", "a\n@assistant\nb"),
    ]


def test_the_version_follows_content_and_set_but_not_order(folder: Path) -> None:
    before = prompts.version("greet", "part")
    assert before == prompts.version("part", "greet", "part")
    assert before != prompts.version("greet")
    (folder / "part.jinja").write_text("Bye!\n")
    assert before != prompts.version("greet", "part")


def test_every_shipped_prompt_parses() -> None:
    for path in sorted(Path(prompts.__file__).parent.glob("*.jinja")):
        prompts._load(path.stem)


def test_prompts_import_no_heavy_library() -> None:
    code = "import sys, clara.prompts; assert not {'torch', 'transformers', 'pandas', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
