"""What lies below `paper/`: every specification loads, every cell has a name that a configuration can make."""

import re
from pathlib import Path
from typing import get_args

import pytest

from clara import config as configuration
from clara.config.evaluation import PER_RATIO, Baseline
from clara.errors import ConfigError
from clara.evaluation.metrics import ANSWER_METRICS
from clara.evaluation.paper.claims import read_claims
from clara.evaluation.paper.equal import known_variants
from clara.evaluation.paper.judging import judge
from clara.evaluation.paper.specs import Table, read_table
from clara.evaluation.paper.values import BACKBONES, read_values
from clara.evaluation.scoring import Resampling

ROOT = Path(__file__).parents[3]
TABLES = sorted((ROOT / "paper" / "tables").glob("*.yaml"), key=lambda path: (len(path.stem), path.stem))
NUMBERS = ["1", "2", "3", "4", "7", "8", "9", "11", "12", "13", "14", "15", "16", "17"]
OURS = [f"ablation_{name}" for name in ("map", "length", "memory", "selection", "candidates", "temperature")]
OVERLAID = known_variants(ROOT / "configs")
PAPER = configuration.load(ROOT / "configs" / "paper-mistral.yaml")
SYSTEM = re.compile(r"(given-)?(pretraining|instruction)-cr(\d+)-(\w+)")


def can_be_made(system: str) -> bool:
    """Whether a shipped configuration, with the ablations or the baselines over it, has a rule for this system."""
    shortened = [f"given-{method}" for method in PER_RATIO]
    if re.sub(r"_cr\d+$", "", system) in (*get_args(Baseline), *shortened, "given-text", "text", "data"):
        return True
    found = SYSTEM.fullmatch(system)
    return found is not None and (found[4] == "base" or found[4] in OVERLAID)


def test_every_quantitative_table_of_the_paper_is_specified() -> None:
    assert [path.stem for path in TABLES] == [*(f"table_{number}" for number in NUMBERS), *OURS]
    stages = configuration.load(ROOT / "dvc.yaml")["stages"]
    assert [name.removeprefix("table-") for name in stages if name.startswith("table-")] == NUMBERS
    assert {name.replace("-", "_") for name in stages if name.startswith("ablation-")} == {*OURS}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_cell_of_a_table_can_be_made(path: Path) -> None:
    table = read_table(path)
    assert [name for name in table.systems(PAPER["ratios"]) if not can_be_made(name)] == []
    if table.source == "scores":
        known = {
            *ANSWER_METRICS,
            *(f"recall@{k}" for k in configuration.load(ROOT / "config.yaml")["evaluation"]["scoring"]["recall_at"]),
        }
        assert set(table.metrics) <= known
        assert {*table.benchmarks, *table.settings} <= {*PAPER["benchmarks"], "average", "oracle", "normal"}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_value_of_the_paper_has_its_cell(path: Path, backbone: str) -> None:
    table = read_table(path)
    values = read_values(ROOT / "paper" / "values" / f"{path.stem}.csv", backbone)
    patterns = [re.escape(row.value_name).replace(r"\{ratio\}", r"\d+") for row in table.rows]
    assert [place for place in values if not any(re.fullmatch(form, place.system) for form in patterns)] == []
    assert {place.metric for place in values} <= set(table.metrics)
    assert {place.setting for place in values} <= set(table.settings)
    assert {place.benchmark for place in values} <= set(table.benchmarks)
    assert bool(values) != (path.stem in OURS) or (backbone, path.stem) in {
        ("phi4", "table_4"),
        ("phi4", "table_14"),
        ("phi4", "table_17"),
    }


def test_averages_are_the_means_of_the_benchmarks_or_say_that_they_are_not() -> None:
    for path in TABLES:
        if read_table(path).source != "scores":
            continue
        for backbone in BACKBONES:
            values = read_values(ROOT / "paper" / "values" / f"{path.stem}.csv", backbone)
            for place, value in values.items():
                parts = [values.get(place._replace(benchmark=name)) for name in PAPER["benchmarks"]]
                given = [part.value for part in parts if part]
                if place.benchmark == "average" and len(given) == 4 and "as printed" not in value.note:
                    assert value.value == pytest.approx(sum(given) / 4, abs=0.021), (path.stem, place)


def test_the_papers_numbers_are_those_printed() -> None:
    def value(table: int, *place: str, backbone: str = "mistral") -> float:
        found = read_values(ROOT / "paper" / "values" / f"table_{table}.csv", backbone)
        return next(number.value for key, number in found.items() if tuple(key) == place)

    assert value(1, "given-instruction-cr4-base", "oracle", "average", "cover_em") == 66.76
    assert value(2, "instruction-cr128-base", "normal", "nq", "f1") == 51.41
    assert value(7, "pretraining-cr4-base", "oracle", "hotpotqa", "recall@5") == 96.21
    assert value(16, "pretraining-cr256-base", "all", "unseen", "entities", backbone="phi4") == 43.61


def test_the_claims_of_the_paper_can_be_tested() -> None:
    claims = read_claims(ROOT / "paper" / "claims.yaml")
    assert len(claims) >= 11
    for claim in claims:
        pairs = claim.pairs(PAPER["ratios"])
        assert pairs, claim.name
        assert [name for pair in pairs for name in pair if not can_be_made(name)] == []
        assert claim.values is None or (ROOT / "paper" / "values" / f"{claim.values}.csv").exists()


def test_a_claim_that_the_paper_cannot_be_asked_of_is_ours() -> None:
    for claim in read_claims(ROOT / "paper" / "claims.yaml"):
        if claim.values is None:
            assert claim.place.startswith("ours; ") or "Figure" in claim.place, claim.name
            continue
        values = read_values(ROOT / "paper" / "values" / f"{claim.values}.csv", "mistral")
        found = judge([claim], {}, {claim.values: values}, ratios=[], resampling=Resampling(1, 0.95, 1))
        assert found[0].paper is not None, claim.name


def test_the_paper_says_the_opposite_of_its_claim_in_the_oracle_setting() -> None:
    values = read_values(ROOT / "paper" / "values" / "table_2.csv", "mistral")
    f1 = {place.system: number.value for place, number in values.items() if place[1:] == ("oracle", "average", "f1")}
    pairs = [(f1[f"instruction-cr{ratio}-base"], f1[f"pretraining-cr{ratio}-base"]) for ratio in PAPER["ratios"]]
    said = ", ".join(f"{first - second:.2f}" for first, second in pairs)
    assert f"({said} from ratio 4 to 256)" in (ROOT / "paper" / "values" / "README.md").read_text(encoding="utf-8")


def test_a_specification_with_faults_is_refused_with_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "table_2.yaml"
    path.write_text("table: table_2\ntitle: x\nplace: y\nsource: guesses\nmetrics: [f1]\nsettings: [oracle]\n"
                    "benchmarks: [nq]\nrows: [{label: a, sytem: b}]\n")  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"table_2.yaml is no usable specification: source: .*rows.0.sytem is no known"
    ):
        read_table(path)
    path.write_text(TABLES[1].read_text(encoding="utf-8").replace("table: table_2", "table: table_5"))
    with pytest.raises(ConfigError, match=r"specifies table_5; name the file table_5.yaml"):
        read_table(path)


def test_two_rows_of_one_label_are_refused() -> None:
    given = read_table(TABLES[0]).model_dump()
    given["rows"] = [given["rows"][0], given["rows"][0]]
    with pytest.raises(ValueError, match="should give each row its own label, found 'AutoCompressor' twice"):
        Table.model_validate(given)
