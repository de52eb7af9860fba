"""YAML that people would misread is refused, with its line and what to write instead."""

from pathlib import Path

import pytest

from clara import config as configuration
from clara.config.reading import parse
from clara.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", r"x.yaml line 4: the key c stands twice in one section, first in line 3"),
        ("a: {b: 1, b: 1}", r"line 1: the key b stands twice"),
        ("seed: 012", r"line 1: YAML 1.1 reads 012 as an octal number; leave out the leading zero"),
        ("list: [1, -07]", r"reads -07 as an octal"),
        ("time: 1:30", r"reads 1:30 as a number to base 60; put it in quotes"),
    ],
)
def test_it_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text, "x.yaml")


def test_what_is_clear_is_read() -> None:
    text = "a: '012'\nb: 0\nc: 1.0e-4\nd: 0.5\ne: 10\nf: 2021-05-06\n"
    assert parse(text, "x.yaml") | {"f": None} == {"a": "012", "b": 0, "c": 1.0e-4, "d": 0.5, "e": 10, "f": None}


def test_a_section_spread_by_a_merge_key_may_repeat_its_keys() -> None:
    assert parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\n", "x.yaml")["b"] == {"x": 3, "y": 2}


def test_a_file_that_is_no_mapping_or_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for content, message in ((b"- a\n", "must hold a mapping"), (b"\xff\xfe", "cannot read"), (b"a: [", "cannot read")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            configuration.load(path)


def test_a_variant_may_not_override_what_all_variants_share() -> None:
    config = configuration.load(Path(__file__).resolve().parents[2] / "config.yaml")
    config["variants"] = {"base": {}, "big": {"corpus": {"passages": {"words": 50}}}}
    with pytest.raises(ConfigError, match=r"variants\.big\.corpus: only memory, lora"):
        configuration.validate(config)
