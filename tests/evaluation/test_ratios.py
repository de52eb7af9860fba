import json
from pathlib import Path

import pytest

from clara.errors import DataError
from clara.evaluation.ratios import read_effective, sentence


def test_effective_ratios_stand_beside_the_nominal_ones(tmp_path: Path) -> None:
    rows = [{"ratio": 16, "effective": 8.849}, {"ratio": 4, "effective": 2.21}]
    (tmp_path / "data.json").write_text(json.dumps({"ratios": rows}))
    found = read_effective([tmp_path / "data.json"])
    assert found == {4: 2.21, 16: 8.849}
    assert sentence(found).endswith("tokens for each memory vector: 2.2 at CR 4, 8.8 at CR 16.")
    assert sentence(read_effective([])) == sentence(None) == ""


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"ratios": [4]}')
    with pytest.raises(DataError, match=r"data.json holds no ratios"):
        read_effective([tmp_path / "data.json"])
