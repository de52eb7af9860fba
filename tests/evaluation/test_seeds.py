"""Mean and spread over seeds."""

from pathlib import Path

import pytest

from clara.errors import DataError
from clara.evaluation.results import Score, SystemScore
from clara.evaluation.seeds import aggregate, as_csv, as_json, read_seeds
from clara.files import write_json


def score(system: str, value: float, *, metric: str = "f1") -> SystemScore:
    low, high = value - 5, value + 5
    row = Score(benchmark="nq", setting="oracle", metric=metric, value=value, low=low, high=high, n=14)
    return SystemScore(system, 0.95, row)


def test_a_system_is_put_together_with_its_seeds_and_others_are_left_out() -> None:
    scores = [
        score("instruction-cr4-base_seed2", 14.0), score("bm25", 50.0), score("instruction-cr4-base", 10.0),
        score("instruction-cr4-base_seed3", 18.0), score("instruction-cr4-soft", 1.0),
        score("instruction-cr4-soft_seed2", 1.0), score("instruction-cr4-soft_seed3", 4.0),
    ]  # fmt: skip
    base, soft = aggregate(scores, 1, [2, 3])
    assert (base.system, base.seeds, base.mean, base.spread) == ("instruction-cr4-base", 3, 14.0, 4.0)
    assert (base.least, base.greatest, base.low, base.high, base.n) == (10.0, 18.0, 5.0, 15.0, 14)
    assert (soft.system, soft.mean, soft.spread) == ("instruction-cr4-soft", 2.0, pytest.approx(3**0.5, abs=1e-6))
    assert as_json([base], 1, [2, 3])["seeds"] == [1, 2, 3]
    assert as_csv([base]).splitlines()[1].startswith("instruction-cr4-base,nq,oracle,f1,3,14.0,4.0,10.0,18.0,5.0,")


def test_a_seed_that_lacks_a_score_is_named() -> None:
    scores = [score("instruction-cr4-base", 10.0), score("instruction-cr4-base_seed2", 14.0)]
    with pytest.raises(DataError, match="under seeds 1, 2, the run is of seeds 1, 2, 3: 3 differ"):
        aggregate(scores, 1, [2, 3])
    with pytest.raises(DataError, match="under seeds 1, 2, the run is of seeds 1: 2 differ"):
        aggregate(scores, 1, [])


def test_what_was_written_is_read_and_another_file_refused(tmp_path: Path) -> None:
    rows = aggregate([score("a", 10.0), score("a_seed7", 20.0)], 42, [7])
    write_json(tmp_path / "seeds.json", as_json(rows, 42, [7]))
    assert read_seeds([tmp_path / "seeds.json"]) == rows
    write_json(tmp_path / "seeds.json", {"rows": [{"system": "a"}]})
    with pytest.raises(DataError, match=r"seeds.json holds no scores over seeds"):
        read_seeds([tmp_path / "seeds.json"])
