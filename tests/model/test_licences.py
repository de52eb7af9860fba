"""A model's licence is read from where the model names it."""

import json
from pathlib import Path

import pytest
from gguf import GGUFWriter

from clara.model.licences import licence_of


@pytest.mark.parametrize(
    ("readme", "config", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\nlicense: none", {}, "apache-2.0"),
        ("A model without a head.\nlicense: mit", {}, None),
        (None, {"license": "llama3"}, "llama3"),
        (None, {}, None),
    ],
)
def test_a_folder_names_it_in_its_readme_or_configuration(
    tmp_path: Path, readme: str | None, config: dict[str, str], licence: str | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    assert licence_of("someone/model", tmp_path) == licence


@pytest.mark.parametrize("licence", ["apache-2.0", None])
def test_a_gguf_file_names_it_in_its_metadata(tmp_path: Path, licence: str | None) -> None:
    file = tmp_path / "m.gguf"
    writer = GGUFWriter(file, "llama")
    if licence:
        writer.add_license(licence)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert licence_of(str(file), tmp_path) == licence
