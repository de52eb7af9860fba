"""A variant with another's settings reads that one's numbers, in tables and claims."""

from pathlib import Path
from typing import Any

import pytest

from clara import config as configuration
from clara.evaluation.paper import scorecard, writing
from clara.evaluation.paper.claims import Claim
from clara.evaluation.paper.commands import Run
from clara.evaluation.paper.equal import Equals
from clara.evaluation.paper.filling import fill
from clara.evaluation.paper.judging import judge
from clara.evaluation.paper.measured import Measured
from clara.evaluation.paper.specs import Table
from clara.evaluation.paper.values import Place
from clara.evaluation.scoring import Resampling

ROOT = Path(__file__).parents[3]
RUN = Run("demo", [4])
EQUAL = {"given-instruction-cr4-simple": "given-instruction-cr4-base"}


def equals(**changes: Any) -> Equals:
    return Equals(configuration.merge(configuration.load(ROOT / "config.yaml"), changes), ROOT)


def test_a_variant_of_an_overlay_that_changes_nothing_is_base() -> None:
    asked = ["given-instruction-cr4-simple", "instruction-cr16-simple", "given-instruction-cr4-base", "bm25"]
    asked += ["given-instruction-cr4-no_mse", "given-instruction-cr4-nobodys"]
    assert equals().among(asked) == {**EQUAL, "instruction-cr16-simple": "instruction-cr16-base"}
    assert equals(pretraining={"kinds": ["simple", "complex"]}).among(asked) == {}


def test_all_kinds_are_base_where_base_learns_from_all_of_them() -> None:
    asked = ["given-instruction-cr4-all_kinds"]
    assert equals().among(asked) == {}
    found = equals(pretraining={"kinds": ["simple", "complex", "paraphrase"]}).among(asked)
    assert found == {"given-instruction-cr4-all_kinds": "given-instruction-cr4-base"}


@pytest.mark.parametrize(("mapped", "other"), [(True, "question_map"), (False, "no_map")])
def test_base_is_whichever_row_of_the_maps_ablation_its_settings_are(mapped: bool, other: str) -> None:
    asked = [f"instruction-cr16-{name}" for name in ("question_map", "no_map", "supervised_map", "supervised_no_map")]
    asked += ["instruction-cr16-both_maps", "instruction-cr16-supervised_maps"]
    named = {"supervised": {"joint": {"objective": "ranking"}}}  # inherits what base has
    found = equals(joint={"question_map": mapped}, variants=named).among(asked)
    assert found == {
        f"instruction-cr16-{other}": "instruction-cr16-base",
        f"instruction-cr16-supervised_{other.removeprefix('question_')}": "instruction-cr16-supervised",
    }


def test_choosing_among_more_candidates_than_there_are_is_choosing_among_all() -> None:
    names = ["instruction-cr4-candidates_5", "instruction-cr4-candidates_10", "instruction-cr4-candidates_all"]
    base = "instruction-cr4-base"
    assert equals().among(names) == {names[2]: base}
    assert equals(candidates={"train_size": 8}).among(names) == {names[1]: base, names[2]: base}
    assert equals(candidates={"train_size": 5}).among(names) == dict.fromkeys(names, base)
    assert equals(joint={"candidates": 5}).among(names) == {names[0]: base}


def test_rows_of_ablations_say_what_they_are_whatever_base_is() -> None:
    names = ["instruction-cr4-tau_002", "instruction-cr4-tau_01", "instruction-cr4-straight_through"]
    base = "instruction-cr4-base"
    assert equals().among(names) == {names[0]: base, names[2]: base}
    marginal = {"selection": "marginal", "temperature": 0.1, "temperature_end": 0.1}
    assert equals(joint=marginal).among(names) == {names[1]: base}


def test_what_follows_a_stage_does_not_part_variants_before_it() -> None:
    # The supervised reranker differs in joint training alone: given documents, it is base.
    found = equals().among(["given-instruction-cr4-supervised", "instruction-cr4-supervised"])
    assert found == {"given-instruction-cr4-supervised": "given-instruction-cr4-base"}


def test_a_variant_of_the_configuration_is_the_first_with_its_settings() -> None:
    variants = {"a": {"joint": {"temperature": 0.5}}, "b": {"joint": {"temperature": 0.5}}}
    found = equals(variants=variants).among(["instruction-cr4-a", "instruction-cr4-b"])
    assert found == {"instruction-cr4-b": "instruction-cr4-a"}


def test_its_row_shows_the_others_numbers_and_says_so() -> None:
    rows = [
        {"label": f"{name} CR {{ratio}}", "system": f"given-instruction-cr{{ratio}}-{name}"}
        for name in ("simple", "base", "no_mse")
    ]
    given = {"table": "table_3", "title": "t", "place": "p", "source": "scores", "metrics": ["em"], "rows": rows}
    table = Table.model_validate(given | {"settings": ["oracle"], "benchmarks": ["nq"]})
    measured = {Place("given-instruction-cr4-base", "oracle", "nq", "em"): Measured(31.5, 20, 40, 9)}
    filled = fill(table, {}, measured, run=RUN, backbone="mistral", equal=EQUAL)
    text = writing.markdown(filled)
    assert "| simple CR 4 (the settings of base) | 31.5 [20.0, 40.0] |" in text
    assert "| no_mse CR 4 | ... |" in text
    assert list(filled.missing.values()) == [["no_mse CR 4"]]


@pytest.mark.parametrize("second", ["simple", "simple_complex"])
def test_a_claim_about_one_and_the_same_is_not_run(second: str) -> None:
    keys = {"name": "c", "claim": "Paraphrases add", "place": "p", "setting": "oracle", "metric": "em"}
    systems = {"first": "given-instruction-cr{ratio}-base", "second": f"given-instruction-cr{{ratio}}-{second}"}
    scores = {("given-instruction-cr4-base", "oracle", "em"): {"nq": {"q": 1.0}}}
    found = judge(
        [Claim.model_validate(keys | systems)], scores, {}, ratios=[4], resampling=Resampling(10, 0.95, 1), equal=EQUAL
    )
    content = scorecard.as_json(found, run=RUN, backbone="mistral", confidence=0.95)
    [row] = content["claims"]
    assert row["verdict"] == "not run"
    assert row["alike"] == (second == "simple")
    assert len(row["commands"]) == (second != "simple")
    said = "settings make both sides the same, so it cannot tell:\n\n- Paraphrases add"
    assert (said in scorecard.as_markdown(content)) == (second == "simple")
