"""Claims on answers made by hand: differences, intervals, verdicts, and what was not run."""

from pathlib import Path
from typing import Any

import pytest

from clara.errors import ConfigError, DataError
from clara.evaluation.bootstrap import Estimate
from clara.evaluation.paper import scorecard
from clara.evaluation.paper.claims import Claim, read_claims, systems_of
from clara.evaluation.paper.commands import Run
from clara.evaluation.paper.judging import JudgedClaim, judge, verdict
from clara.evaluation.paper.measuring import under
from clara.evaluation.paper.values import PaperValue, Place
from clara.evaluation.scoring import Resampling
from clara.records import Prediction
from clara.row_files import write_rows

RESAMPLING = Resampling(samples=400, confidence=0.95, seed=7)
RUN = Run("small", [4, 16])
Values = dict[str, list[float]]


def claim(**changes: Any) -> Claim:
    given = {"name": "c", "claim": "It is so", "place": "Table 1", "setting": "oracle", "metric": "em"}
    return Claim.model_validate(given | {"first": "a", "second": "b"} | changes)


def found(*, ratios: tuple[int, ...] = (4, 16), made: Claim | None = None, **systems: Values) -> JudgedClaim:
    """The finding of one claim; each system a benchmark's values in the order of questions."""
    scores = {
        (name.replace("_", "-"), "oracle", "em"): {
            benchmark: {f"q{number}": value for number, value in enumerate(values)}
            for benchmark, values in benchmarks.items()
        }
        for name, benchmarks in systems.items()
    }
    return judge([made or claim()], scores, {}, ratios=ratios, resampling=RESAMPLING)[0]


def test_the_difference_is_the_macro_mean_in_points() -> None:
    finding = found(a={"nq": [1, 1, 0, 0], "2wiki": [1, 0]}, b={"nq": [1, 0, 0, 0], "2wiki": [0, 0]})
    assert finding.measured is not None
    assert finding.measured.by_benchmark == {"nq": 25.0, "2wiki": 50.0}
    assert finding.estimate is not None
    assert finding.estimate.value == pytest.approx(37.5)
    assert finding.estimate.n == 6


def test_intervals_are_paired_by_question() -> None:
    # Both vary much and alike: alone each interval is wide, their difference is 10 points at every question.
    values = [0.1 * (number % 10) for number in range(40)]
    finding = found(a={"nq": [value + 0.1 for value in values]}, b={"nq": values})
    assert finding.estimate is not None
    unlike = 100 * (1 - 0.05 ** (1 / 40))  # all differ alike: the rule of three, 7.2 points
    assert finding.estimate[:3] == pytest.approx((10, 10 - 1.1 * unlike, 10 + 0.9 * unlike))
    assert finding.verdict == "holds"


def test_questions_that_all_differ_alike_are_no_certainty() -> None:
    loses_little = claim(margin=-5.0)
    few = {"nq": [1, 0] * 7}
    many = {"nq": [1, 0] * 100}
    assert found(made=loses_little, a=few, b=few).verdict == "undecided"
    assert found(made=loses_little, a=many, b=many).verdict == "holds"


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.1, 5, 0, "holds"),
        (0, 5, 0, "undecided"),
        (-5, 5, 0, "undecided"),
        (-5, -0.1, 0, "fails"),
        (-4, 1, -5, "holds"),
        (-9, -6, -5, "fails"),
        (-9, 1, -5, "undecided"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(low: float, high: float, margin: float, expected: str) -> None:
    assert verdict(Estimate((low + high) / 2, low, high, 9), margin, reference=40) == expected


def test_that_little_is_lost_is_undecided_where_there_is_no_more_to_lose() -> None:
    nothing = {"nq": [0.0, 0.0]}
    assert found(made=claim(margin=-5), a=nothing, b=nothing).verdict == "undecided"
    assert found(made=claim(margin=-5), a={"nq": [1.0] * 99}, b={"nq": [1.0] * 99}).verdict == "holds"
    assert found(made=claim(), a={"nq": [1.0] * 99}, b={"nq": [0.0] * 99}).verdict == "holds"


def test_a_claim_without_one_of_its_systems_is_not_run() -> None:
    finding = found(a={"nq": [1, 1]})
    assert (finding.verdict, finding.estimate, finding.pairs) == ("not run", None, [])


def test_over_ratios_a_question_counts_by_its_mean() -> None:
    made = claim(first="a-cr{ratio}-x", second="b")
    systems: dict[str, Values] = {"a_cr4_x": {"nq": [1, 1]}, "a_cr16_x": {"nq": [1, 0]}, "b": {"nq": [0, 0]}}
    finding = found(made=made, **systems)
    assert finding.estimate is not None
    assert finding.estimate.value == pytest.approx(75.0)
    assert finding.pairs == [("a-cr4-x", "b"), ("a-cr16-x", "b")]
    high = claim(first="a-cr{ratio}-x", second="b", ratios={"at_least": 16})
    assert found(made=high, **systems).estimate == pytest.approx((50.0, 0.0, 100.0, 2))


def seeded(
    *seeds: int,
    made: Claim | None = None,
    ratios: tuple[int, ...] = (4,),
    equal: dict[str, str] | None = None,
    **systems: Values | list[float],
) -> JudgedClaim:
    """The finding over `seeds` of a claim on these systems' values, of NQ where no benchmark is named."""
    scores = {
        (name.replace("__", "-"), "oracle", "em"): {
            benchmark: {f"q{number}": value for number, value in enumerate(values)}
            for benchmark, values in (given if isinstance(given, dict) else {"nq": given}).items()
        }
        for name, given in systems.items()
    }
    made = made or claim(first="instruction-cr4-base", second="bm25")
    return judge([made], scores, {}, ratios=ratios, resampling=RESAMPLING, seeds=seeds, equal=equal)[0]


def test_over_seeds_a_question_counts_by_its_mean_and_the_interval_spans_their_scatter() -> None:
    # At every question 10, 20 and 30 points: no spread over questions, 10 points of standard deviation over seeds.
    under_each: dict[str, Values | list[float]] = {
        "instruction__cr4__base": [0.1] * 99,
        "instruction__cr4__base_seed43": [0.2] * 99,
        "instruction__cr4__base_seed44": [0.3] * 99,
    }
    finding = seeded(43, 44, bm25=[0.0] * 99, **under_each)
    assert finding.measured is not None
    assert finding.measured.by_seed == pytest.approx({7: 10.0, 43: 20.0, 44: 30.0})
    value, low, high, questions = finding.measured.estimate
    assert (value, questions) == (pytest.approx(20.0), 99)
    # Student's t with two degrees of freedom: 4.303 standard errors of 10 / sqrt(3) points.
    assert value - low == pytest.approx(24.84, rel=0.05)
    assert high - value == pytest.approx(24.84, rel=0.05)
    assert finding.verdict == "undecided"
    assert seeded(bm25=[0.0] * 99, **under_each).verdict == "holds"


def test_benchmarks_and_ratios_count_alike_under_every_seed() -> None:
    made = claim(first="instruction-cr{ratio}-base", second="bm25", margin=-5)
    systems: dict[str, Values | list[float]] = {
        "bm25": {"nq": [0.5] * 80, "2wiki": [0.5] * 40},
        "instruction__cr4__base": {"nq": [1.0] * 80, "2wiki": [0.5] * 40},
        "instruction__cr16__base": {"nq": [0.5] * 80, "2wiki": [0.5] * 40},
        "instruction__cr4__base_seed43": {"nq": [0.5] * 80, "2wiki": [1.0] * 40},
        "instruction__cr16__base_seed43": {"nq": [0.5] * 80, "2wiki": [0.5] * 40},
    }
    finding = seeded(43, made=made, ratios=(4, 16), **systems)
    assert finding.measured is not None
    assert finding.measured.by_seed == pytest.approx({7: 12.5, 43: 12.5})
    assert finding.measured.by_benchmark == pytest.approx({"nq": 12.5, "2wiki": 12.5})
    unlike = 100 * (1 - 0.05 ** (1 / 120))  # the seeds agree, so do the questions
    assert finding.measured.estimate[:3] == pytest.approx((12.5, 12.5 - 1.125 * unlike, 12.5 + 0.875 * unlike))
    assert finding.verdict == "holds"


def test_a_seed_that_lacks_one_of_the_systems_is_left_out_and_what_makes_it_is_named() -> None:
    both = claim(first="instruction-cr4-base", second="instruction-cr4-start")
    values: dict[str, Values | list[float]] = {
        "instruction__cr4__base": [1.0, 1.0],
        "instruction__cr4__start": [0.0, 0.0],
    }
    finding = seeded(43, made=both, instruction__cr4__base_seed43=[0.0, 0.0], **values)
    alone = seeded(made=both, **values)
    assert finding.measured is not None
    assert alone.measured is not None
    assert finding.measured == alone.measured._replace(lacking=["instruction-cr4-start_seed43"])
    content = scorecard.as_json([finding], run=RUN, backbone="mistral", confidence=0.95)
    (command,) = content["claims"][0]["commands"]
    assert "metrics/instruction-cr4-start_seed43.json results/small/paper/scorecard.csv" in command
    assert command.endswith("--config 'seeds=[43]'")
    text = scorecard.as_markdown(content)
    assert f"What makes those that lack some of the run's seeds:\n\n- It is so: `{command}`" in text
    assert "were not run" not in text


def test_a_seed_whose_variant_is_another_under_another_name_is_found_there() -> None:
    values: dict[str, Values | list[float]] = {"instruction__cr4__base": [1.0], "instruction__cr4__again": [0.8]}
    finding = seeded(43, equal={"instruction-cr4-base_seed43": "instruction-cr4-again"}, bm25=[0.0], **values)
    assert finding.measured is not None
    assert finding.measured.by_seed == pytest.approx({7: 100.0, 43: 80.0})


def test_only_what_a_run_trains_has_seeds() -> None:
    assert under([("given-instruction-cr4-base", "given-text")], 43, {}) == [
        ("given-instruction-cr4-base_seed43", "given-text")
    ]
    finding = seeded(43, made=claim(), a=[1.0] * 9, b=[0.0] * 9)
    assert finding.measured is not None
    assert (finding.verdict, finding.measured.by_seed, finding.measured.lacking) == ("holds", {}, [])


def test_files_tell_over_which_seeds_a_claim_is_judged() -> None:
    values: dict[str, Values | list[float]] = {
        "instruction__cr4__base": [0.5, 0.5],
        "instruction__cr4__base_seed43": [0.4, 0.4],
        "bm25": [0.0, 0.1],
    }
    content = scorecard.as_json([seeded(43, **values)], run=RUN, backbone="mistral", confidence=0.95)
    (row,) = content["claims"]
    assert (row["difference"], row["seeds"], row["by_seed"]) == (40.0, 2, {"7": 45.0, "43": 35.0})
    text = scorecard.as_markdown(content)
    assert "+40.0 {+45.0, +35.0}" in text
    assert "Over several seeds" in text
    alone = scorecard.as_json([seeded(**values)], run=RUN, backbone="mistral", confidence=0.95)
    assert (alone["claims"][0]["seeds"], alone["claims"][0]["by_seed"]) == (1, {})
    assert "several seeds" not in scorecard.as_markdown(alone)


def test_ratios_that_were_asked_other_questions_are_refused() -> None:
    with pytest.raises(DataError, match="1 questions were not asked at all of them, for example q1 of nq"):
        found(
            made=claim(first="a-cr{ratio}-x", second="b"), a_cr4_x={"nq": [1]}, a_cr16_x={"nq": [1, 0]}, b={"nq": [0]}
        )


def test_the_papers_difference_is_of_the_same_cells() -> None:
    numbers = {("a-cr32-x", "nq"): 10, ("b", "nq"): 4, ("a-cr32-x", "2wiki"): 20, ("b", "2wiki"): 18}
    numbers |= {("a-cr128-x", "nq"): 9, ("c", "average"): 1}
    table = {
        Place(system, "oracle", benchmark, "em"): PaperValue(number, "")
        for (system, benchmark), number in numbers.items()
    }
    made = claim(first="a-cr{ratio}-x", second="b", values="table_1")
    finding = judge([made], {}, {"table_1": table}, ratios=[4], resampling=RESAMPLING)[0]
    # Ratio 32 on both benchmarks: (6 + 2) / 2; ratio 128 on the one that both print: 5.
    assert finding.paper == pytest.approx(4.5)
    assert finding.paper_at == "CR 32, 128; 2Wiki, NQ"
    renamed = claim(first="a-cr{ratio}-ours", paper_first="a-cr{ratio}-x", second="b", values="table_1")
    assert judge([renamed], {}, {"table_1": table}, ratios=[4], resampling=RESAMPLING)[0].paper == pytest.approx(4.5)
    peer = claim(first="a-cr{ratio}-x", second="ours-cr{ratio}-pisco", paper_second="b", values="table_1")
    assert judge([peer], {}, {"table_1": table}, ratios=[4], resampling=RESAMPLING)[0].paper == pytest.approx(4.5)


def test_files_tell_verdict_numbers_and_what_to_run() -> None:
    findings = [
        found(a={"nq": [1] * 30}, b={"nq": [0] * 30}),
        found(made=claim(name="d", claim="So is that", first="instruction-cr32-base", second="bm25")),
    ]
    content = scorecard.as_json(findings, run=RUN, backbone="mistral", confidence=0.95)
    assert content["counts"] == {"holds": 1, "fails": 0, "undecided at this size": 0, "not run": 1}
    first, second = content["claims"]
    assert (first["difference"], first["verdict"], first["commands"]) == (100.0, "holds", [])
    assert second["commands"] == [
        "snakemake results/small/evaluation/metrics/instruction-cr32-base.json "
        "results/small/evaluation/metrics/bm25.json results/small/paper/scorecard.csv "
        "--profile profiles/local --configfile configs/small.yaml"
    ]
    assert content["command"] == second["commands"][0]
    assert "| It is so | **holds** | +100.0 | [81.0, 100.0] |  | `em, oracle: a - b > 0` | Table 1 |" in (
        scorecard.as_markdown(content)
    )
    assert (
        "d,not run,So is that,Table 1,em,oracle,instruction-cr32-base,bm25,0.0,,,,0,0,,,snakemake "
        in scorecard.as_csv(content)
    )
    latex = scorecard.as_latex(content)
    assert r"It is so & holds & +100.0 {\scriptsize [81.0, 100.0]} & -- \\" in latex
    assert r"So is that & not run & -- & -- \\" in latex
    assert latex.count("{tabular}") == 2
    assert scorecard.as_metrics(content) == {"c": {"verdict": "holds", "difference": 100.0}}


def test_the_papers_difference_names_no_place_where_it_is_ours() -> None:
    systems = {"a_cr4_x": {"nq": [1.0]}, "b": {"nq": [0.0]}}
    scores = {(name.replace("_", "-"), "oracle", "em"): {"nq": {"q": 1.0}} for name in systems}
    numbers = {("a-cr4-x", 10.0), ("b", 4.0), ("a-cr16-x", 6.0)}
    table = {Place(system, "oracle", "average", "em"): PaperValue(number, "") for system, number in numbers}
    made = claim(first="a-cr{ratio}-x", second="b", values="table_1")
    finding = judge([made], scores, {"table_1": table}, ratios=[4], resampling=RESAMPLING)[0]
    assert (finding.paper, finding.paper_at) == (6.0, "")
    finding = judge([made], scores, {"table_1": table}, ratios=[8], resampling=RESAMPLING)[0]
    assert (finding.paper, finding.paper_at) == (4.0, "CR 4, 16")


def test_a_scorecard_says_where_the_run_and_the_papers_difference_are_others() -> None:
    finding = found(a={"nq": [1, 1]}, b={"nq": [0, 0]})._replace(paper=2.0, paper_at="CR 32")
    said = "Not the paper's setting: memory.form pooled."
    content = scorecard.as_json([finding], run=RUN, backbone="mistral", confidence=0.95, departures=said)
    text = scorecard.as_markdown(content)
    assert said in text
    assert "| +2.0 (CR 32) |" in text
    assert said in scorecard.as_latex(content)
    plain = scorecard.as_json([finding], run=RUN, backbone="mistral", confidence=0.95)
    assert "setting" not in scorecard.as_markdown(plain)


def test_claims_that_cannot_be_run_say_why_and_are_left_out_of_all() -> None:
    run = Run("small_cpu", [4], frozenset({"simple"}))
    kinds = claim(name="d", first="given-instruction-cr4-simple_complex", second="given-instruction-cr4-simple")
    findings = [found(made=kinds), found(made=claim(name="e", first="text-rag", second="bm25", setting="normal"))]
    content = scorecard.as_json(findings, run=run, backbone="mistral", confidence=0.95)
    assert content["claims"][0]["commands"] == ["# none: needs rows of kind complex, of which this run's data has none"]
    assert content["claims"][1]["commands"] == [content["command"]]
    assert content["command"].endswith("--config 'candidates={settings: [oracle, normal]}'")
    only = scorecard.as_json(findings[:1], run=run, backbone="mistral", confidence=0.95)
    assert only["command"] == ""
    assert "All that can be made" not in scorecard.as_markdown(only)


def test_scores_of_questions_come_from_predictions(tmp_path: Path) -> None:
    row = {"system": "a", "benchmark": "nq", "setting": "oracle", "question": "?", "golden_answers": ["yes"]}
    answered = row | {
        "id": "q0",
        "prediction": "yes",
        "ranking": [1, 0],
        "scores": None,
        "selected": [1],
        "pos_index": [0],
    }
    write_rows(tmp_path / "a.jsonl", [Prediction.model_validate(answered)])
    scores = scorecard.read_question_scores([tmp_path / "a.jsonl"], [1, 5])
    assert scores["a", "oracle", "em"] == {"nq": {"q0": 1.0}}
    assert scores["a", "oracle", "recall@1"] == {"nq": {"q0": 0.0}}
    assert scores["a", "oracle", "recall@5"] == {"nq": {"q0": 1.0}}


def test_the_systems_of_claims_are_named_at_the_runs_ratios() -> None:
    made = [claim(first="a-cr{ratio}-x", second="b", ratios={"at_least": 8, "at_most": 64}), claim()]
    assert systems_of(made, [4, 16, 128]) == ["a-cr16-x", "b", "a"]
    trained = [claim(first="instruction-cr{ratio}-base", second="bm25")]
    assert systems_of(trained, [4], [43]) == ["instruction-cr4-base", "bm25", "instruction-cr4-base_seed43"]
    papers = [claim(first="a-cr{ratio}-x", second="b", ratios={"at_least": 16, "at": [4, 32]})]
    assert systems_of(papers, [4, 16, 32, 64]) == ["a-cr32-x", "b"]
    assert systems_of(papers, [4, 16, 64]) == ["a-cr16-x", "b", "a-cr64-x"], "none of the paper's: all that are allowed"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("claims: []", "claims: list should have at least 1 item"),
        ("claim: []", "claims is missing; claim is no known key"),
        (
            "claims: [{name: a, claim: x, place: y, first: a, second: a, setting: oracle, metric: em}]",
            "claims.0: should compare two different cells",
        ),
        (
            "claims: [{name: a, claim: x, place: y, first: 'a b', second: c, setting: gold, metric: em}]",
            "claims.0.first: should be a system's name.*claims.0.setting: input should be 'normal' or 'oracle'",
        ),
    ],
)
def test_unusable_claims_are_refused_with_every_fault(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"claims.yaml is no usable specification: {sentence}"):
        read_claims(path)
