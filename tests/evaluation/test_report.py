"""The report as a whole, from a made-up run."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clara.errors import DataError
from clara.evaluation.page import PAPER_FORMS, SCORECARD_FORMS
from clara.evaluation.report import Options, Outputs, build_report
from clara.files import read_json, write_json, write_text
from clara.records import Prediction
from clara.row_files import read_rows, write_rows
from tests.evaluation.conftest import SCRIPT

VOID = {"meta", "br", "input", "link", "img", "hr"}


class Page(HTMLParser):
    """Tags, attributes and ids of a page; fails on tags that are closed in the wrong order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [str(attributes[attribute]) for _, attributes in self.tags if attribute in attributes]


def test_every_output_is_made(built: Outputs) -> None:
    assert all(path.stat().st_size > 0 for path in built)


def test_paired_differences_stand_in_a_file_as_on_the_page(built: Outputs) -> None:
    first, *rows = built.comparisons_csv.read_text().splitlines()
    assert first == "first,second,setting,metric,difference,low,high,questions,verdict"
    text = built.page.read_text()
    table = text[text.index('aria-label="Paired differences"') :]
    assert len(rows) == table[: table.index("</table>")].count("<tr>") - 1
    assert rows[0].startswith("instruction-cr")


def test_the_page_is_well_formed_with_unique_ids_and_labels_that_exist(built: Outputs) -> None:
    page = Page(built.page.read_text())
    ids = page.values("id")
    assert page.open == []
    assert len(ids) == len(set(ids))
    assert set(page.values("aria-labelledby")) <= set(ids)
    assert {value[1:] for value in page.values("href") + page.values("xlink:href") if value[0] == "#"} <= set(ids)


def test_the_page_loads_nothing_from_the_network(built: Outputs) -> None:
    text = built.page.read_text()
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "image"}
    assert page.values("src") == []
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []
    assert all(tag == "a" for tag, attributes in page.tags if str(attributes.get("href", "")).startswith("http"))
    assert "default-src 'none'" in text


def test_markup_in_questions_answers_and_documents_is_shown_and_not_run(built: Outputs) -> None:
    text = built.page.read_text()
    assert SCRIPT not in text
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp;amp; more" in text


def test_links_lead_to_the_files_beside_the_page(built: Outputs, run_with_markup: Any) -> None:
    links = [value for value in Page(built.page.read_text()).values("href") if not value.startswith(("#", "http"))]
    folder = run_with_markup.folder / "paper"
    forms = [folder / f"{name}{ending}" for name in ("table_2", "table_7") for ending in PAPER_FORMS]
    forms += [folder / f"scorecard{ending}" for ending in SCORECARD_FORMS]
    forms += run_with_markup.inputs.paper_figures
    drawn = [
        path.with_suffix(".png") for path in [*built, *run_with_markup.inputs.paper_figures] if path.suffix == ".svg"
    ]
    samples = built.page.parent.parent / "synthesis" / "samples.html"
    expected = sorted([*built[1:], *drawn, *forms, samples])
    assert sorted((built.page.parent / link).resolve() for link in links) == expected
    assert all(path.exists() for path in drawn)


def test_the_page_shows_every_system_checkpoint_setting_and_version(built: Outputs) -> None:
    text = built.page.read_text()
    for shown in (
        "CLaRa CR 16, from instruction",
        "No retrieval",
        "joint CR 4, from instruction",
        "Normal pool",
        "too short",
        "no answer",
        "Toy-1M",
        "libraries / torch",
        "CC BY-SA",
    ):
        assert shown in text


def test_tables_have_captions_or_labels_and_their_heads_have_scopes(built: Outputs) -> None:
    page = Page(built.page.read_text())
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.tags if tag == "th")
    regions = [attributes for _, attributes in page.tags if attributes.get("role") == "region"]
    assert all(attributes.get("aria-label") for attributes in regions)
    assert [tag for tag, _ in page.tags].count("svg") == 6
    assert [tag for tag, _ in page.tags].count("figcaption") == 6


def test_the_scorecard_stands_first_and_names_what_runs_the_other_claims(built: Outputs) -> None:
    text = built.page.read_text()
    ids = [value for value in Page(text).values("id") if value in ("scorecard", "summary", "results", "paper")]
    assert ids == ["scorecard", "summary", "results", "paper"]
    assert re.search(r'<b class="(good|bad|unclear)">(holds|fails|undecided at this size)</b>', text)
    assert "snakemake results/toy/evaluation/metrics/given-instruction-cr16-base.json" in text


def test_averages_over_seeds_stand_below_the_results_and_their_files_are_linked(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    assert "Over seeds" not in build_page(run, options, tmp_path / "alone")
    row = {"system": "instruction-cr4-base", "benchmark": "average", "setting": "oracle", "metric": "f1", "seeds": 3}
    row |= {"mean": 8.12, "spread": 1.94, "least": 6.04, "greatest": 9.8, "low": 4.0, "high": 12.0, "n": 48}
    rows = [row, row | {"benchmark": "nq"}, row | {"metric": "f1_first", "mean": 77.7}]
    file = run.folder / "evaluation/seeds.json"
    write_json(file, {"seeds": [42, 43, 44], "rows": rows})
    write_text(file.with_suffix(".csv"), "system\n")
    run.inputs = run.inputs._replace(seeds=[file])
    text = build_page(run, options, tmp_path / "several")
    assert text.count("<td>3</td><td>8.1</td><td>1.9</td><td>6.0</td><td>9.8</td>") == 1  # the average alone
    assert "<td>77.7</td>" not in text
    assert 'evaluation/seeds.csv">' in text


def test_a_claim_over_several_seeds_shows_the_difference_under_each_and_what_makes_the_others(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    content = read_json(run.inputs.scorecard)
    assert "one training of each system" in build_page(run, options, tmp_path / "alone")
    tested = next(row for row in content["claims"] if row["difference"] is not None)
    tested |= {"by_seed": {"42": 1.25, "43": -2.0}, "commands": ["snakemake the third seed"]}
    write_json(run.inputs.scorecard, content)
    text = build_page(run, options, tmp_path / "seeds")
    assert '<span class="ci">seeds: +1.2, \u22122.0</span>' in text
    assert "the interval spans their scatter as well" in text
    assert "one training of each system" not in text
    assert 'lacks some of the run\'s seeds: <code class="command">snakemake the third seed</code>' in text


def build_page(run: Any, options: Options, folder: Path) -> str:
    """The page of a run."""
    outputs = run.outputs(folder)
    build_report(run.inputs, outputs, options)
    page: str = outputs.page.read_text()
    return page


def test_a_table_of_the_paper_shows_ours_the_papers_and_quoted_rows(built: Outputs) -> None:
    text = built.page.read_text()
    quoted = re.search(r'<tr class="quoted"><th scope="row">DRO-Mistral-7B</th>.*?</tr>', text, re.DOTALL)
    assert quoted
    assert '<span class="quote">51.0</span>' in quoted[0]
    ours = re.search(r'<th scope="row">CLaRa CR 4, from instruction tuning</th>.*?</tr>', text, re.DOTALL)
    assert ours
    assert re.search(r'\d\.\d <span class="quote">\([\d.]+\)</span>', ours[0])
    assert re.search(r">Δ [+\u2212]\d+\.\d</span>", ours[0])


def test_the_papers_figures_stand_in_its_order_with_what_measures_those_that_lack(built: Outputs) -> None:
    text = built.page.read_text()
    assert "The paper's tables and figures" in text.replace("&#39;", "'")
    places = [text.index(said) for said in ('id="caption-logit_lens">Figure 4', 'id="caption-states">Figure 9')]
    assert places == sorted(places)
    assert "snakemake the states" in text


def test_a_run_without_figures_of_the_paper_has_no_section_of_them(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    outputs = run.outputs(tmp_path / "report")
    build_report(run.inputs._replace(paper_figures=[]), outputs, options)
    assert "tables and figures" not in outputs.page.read_text()


def test_costs_are_summed_by_program_and_origins_name_file_hash_and_command(built: Outputs) -> None:
    text = built.page.read_text()
    assert '<th scope="row">train</th>' in text
    assert "snakemake" in text
    assert re.search(r'<code title="[0-9a-f]{64}">[0-9a-f]{12}</code>', text)


def test_a_question_lists_its_candidates_with_scores(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    path = run.inputs.predictions[-1]
    rows = [row.model_copy(update={"scores": [0.125 * n for n in range(8)]}) for row in read_rows(Prediction, path)]
    write_rows(path, rows)
    outputs = run.outputs(tmp_path / "report")
    build_report(run.inputs, outputs, options)
    text = outputs.page.read_text()
    best = rows[0].ranking or []
    assert f"{0.125 * best[0]:.3f} Town {best[0]}" in text
    assert text.count("Candidates with their scores") == len(rows)


def test_headings_descend_without_a_gap(built: Outputs) -> None:
    levels = [int(tag[1]) for tag, _ in Page(built.page.read_text()).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_two_builds_give_the_same_bytes(built: Outputs, run_with_markup: Any, options: Options, tmp_path: Path) -> None:
    again = run_with_markup.outputs(tmp_path)
    build_report(run_with_markup.inputs, again, options)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_the_figures_carry_no_date_and_their_text_is_text(built: Outputs) -> None:
    for path in (built.loss_figure, built.recall_figure, built.memory_use_figure, built.answers_figure):
        text = path.read_text()
        assert "<dc:date>" not in text
        assert "<text" in text


def test_fewer_questions_are_listed_where_the_settings_say_so(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    outputs = run.outputs(tmp_path / "report")
    build_report(run.inputs, outputs, options._replace(questions_shown=1))
    text = outputs.page.read_text()
    assert text.count('<details class="question"') == 4
    assert "(1 of 4 questions)" in text


def test_a_question_that_is_in_no_pool_is_refused_and_no_page_is_left(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    outputs = run.outputs(tmp_path / "report")
    with pytest.raises(
        DataError, match=r"question hotpotqa-0 of hotpotqa \(oracle\) was predicted by no_retrieval, but"
    ):
        build_report(run.inputs._replace(candidates=run.inputs.candidates[:2]), outputs, options)
    assert not outputs.page.exists()


def test_a_pool_with_another_name_is_refused(make_run: Callable[..., Any], options: Options, tmp_path: Path) -> None:
    run = make_run(tmp_path).write()
    odd = run.inputs.candidates[0].rename(tmp_path / "pool.jsonl")
    with pytest.raises(DataError, match=r"pool.jsonl is not named BENCHMARK.test.SETTING.jsonl"):
        build_report(run.inputs._replace(candidates=[odd]), run.outputs(tmp_path / "report"), options)


def test_a_system_given_twice_is_refused(make_run: Callable[..., Any], options: Options, tmp_path: Path) -> None:
    run = make_run(tmp_path).write()
    twice = [*run.inputs.predictions, run.inputs.predictions[0]]
    with pytest.raises(DataError, match="holds the system no_retrieval, as another file does"):
        build_report(run.inputs._replace(predictions=twice), run.outputs(tmp_path / "report"), options)
