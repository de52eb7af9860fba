"""The report as a whole, from a made-up run."""

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clara.errors import ConfigError, DataError
from clara.evaluation.report import Options, Outputs, build_report
from clara.evaluation.site import FIGURE_FORMS, FOLDER, PAPER_FORMS, SCORECARD_FORMS, TABLE_FORMS, forms
from clara.files import read_json, write_json
from clara.records import Prediction
from clara.row_files import read_rows, write_rows
from tests.evaluation.conftest import SCRIPT

SEEDED = {
    "system": "instruction-cr4-base", "benchmark": "average", "setting": "oracle", "metric": "f1", "seeds": 3,
    "mean": 8.12, "spread": 1.94, "least": 6.04, "greatest": 9.8, "low": 4.0, "high": 12.0, "n": 48,
}  # fmt: skip
"""A row of `seeds.json`."""
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


def test_paired_differences_are_tables_of_systems_by_baselines(built: Outputs) -> None:
    text = built.comparisons_md.read_text()
    assert "**F1 (points), Oracle pool: system minus baseline, bold where the interval leaves out zero**" in text
    assert "| System | No retrieval (n = 8) | Text RAG (n = 8) |" in text
    decided = sum(",higher" in line or ",lower" in line for line in built.comparisons_csv.read_text().splitlines())
    rows = [line for line in text.splitlines() if line.startswith("| CLaRa")]
    assert sum(len(re.findall(r"\*\*[+-]\d", row)) for row in rows) == decided > 0
    latex = built.comparisons_tex.read_text()
    assert latex.count(r"\begin{table}") == text.count("| System |")
    assert latex.count(r"\textbf{") == decided


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


def linked(page: Path) -> list[Path]:
    """The files that a page links to."""
    document = Page(page.read_text())
    addresses = [value for name in ("href", "src", "xlink:href") for value in document.values(name)]
    return [(page.parent / value).resolve() for value in addresses if not value.startswith(("#", "http"))]


def test_the_page_offers_its_own_files_and_copies_of_those_of_other_steps(built: Outputs, run_with_markup: Any) -> None:
    inputs = run_with_markup.inputs
    offered = [form for table in inputs.paper_tables for form in forms(table, PAPER_FORMS)]
    offered += [form for figure in inputs.paper_figures for form in forms(figure, FIGURE_FORMS)]
    offered += [*forms(inputs.scorecard, SCORECARD_FORMS), *inputs.samples]
    copies = [built.page.parent / FOLDER / path.name for path in offered]
    drawn = [path.with_suffix(".png") for path in built if path.suffix == ".svg"]
    assert sorted(linked(built.page)) == sorted([*built[1:], *drawn, *copies])
    assert [copy.read_bytes() for copy in copies] == [path.read_bytes() for path in offered]


def test_a_report_that_is_moved_keeps_every_download(built: Outputs, tmp_path: Path) -> None:
    there = Path(shutil.copytree(built.page.parent, tmp_path / "other" / "site")).resolve()
    pages = sorted(there.rglob("*.html"))
    assert [page.name for page in pages] == ["samples.html", "index.html"]
    files = {file for page in pages for file in linked(page)}
    assert len(files) > 30
    assert [file for file in files if not (file.is_relative_to(there) and file.is_file())] == []
    assert [path for path in there.rglob("*") if path.is_symlink()] == []


def test_what_an_earlier_report_offered_and_this_one_does_not_is_gone(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    file = run.folder / "evaluation/seeds.json"
    write_json(file, {"seeds": [42, 43], "rows": [SEEDED]})
    outputs = run.outputs(tmp_path / "report")
    seeds = forms(outputs.results_csv.with_name("seeds.csv"), TABLE_FORMS)
    build_report(run.inputs._replace(seeds=[file]), outputs, options)
    assert (outputs.page.parent / FOLDER / "table_7.tex").is_file()
    assert all(path.is_file() for path in seeds)
    fewer = run.inputs._replace(paper_tables=run.inputs.paper_tables[:1], paper_figures=[], samples=[])
    build_report(fewer, outputs, options)
    left = {path.name for path in (outputs.page.parent / FOLDER).iterdir()}
    assert left == {f"table_2{ending}" for ending in PAPER_FORMS} | {f"scorecard{ending}" for ending in SCORECARD_FORMS}
    assert not any(path.exists() for path in seeds)
    assert "samples.html" not in outputs.page.read_text()
    assert all(path.is_file() for path in linked(outputs.page))


def test_a_report_beside_files_that_it_would_remove_is_refused(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    there = run.inputs.paper_figures[0].parent.rename(tmp_path / FOLDER)
    inputs = run.inputs._replace(paper_figures=[there / "states.svg"])
    with pytest.raises(ConfigError, match=r"states.svg lies in .*files, which the report empties; give another folder"):
        build_report(inputs, run.outputs(tmp_path), options)
    assert (there / "states.svg").is_file()


def test_a_form_that_is_missing_is_named(make_run: Callable[..., Any], options: Options, tmp_path: Path) -> None:
    run = make_run(tmp_path).write()
    (run.folder / "paper/table_7.macros.tex").unlink()
    outputs = run.outputs(tmp_path / "report")
    with pytest.raises(DataError, match=r"table_7.macros.tex does not exist; check its path, or run the step"):
        build_report(run.inputs, outputs, options)
    assert not outputs.page.exists()


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
    rows = [SEEDED, SEEDED | {"benchmark": "nq"}, SEEDED | {"metric": "f1_first", "mean": 77.7}]
    file = run.folder / "evaluation/seeds.json"
    write_json(file, {"seeds": [42, 43, 44], "rows": rows})
    run.inputs = run.inputs._replace(seeds=[file])
    text = build_page(run, options, tmp_path / "several")
    assert text.count("<td>3</td><td>8.1</td><td>1.9</td><td>6.0</td><td>9.8</td>") == 1  # the average alone
    assert "<td>77.7</td>" not in text
    links = {
        path.relative_to(tmp_path / "several").as_posix(): path for path in linked(tmp_path / "several/index.html")
    }
    assert links.keys() >= {*(f"tables/seeds{ending}" for ending in TABLE_FORMS), f"{FOLDER}/seeds.json"}
    assert links["tables/seeds.csv"].read_text().count("instruction-cr4-base") == 3
    table = "| System | NQ (n = 48) | Average (n = 48) |\n| --- | --: | --: |\n"
    assert table + "| CLaRa CR 4, from instruction | 8.1 ± 1.9 [6.0, 9.8] |" in links["tables/seeds.md"].read_text()
    assert r"8.1 \textpm{} 1.9 {\scriptsize [6.0, 9.8]}" in links["tables/seeds.tex"].read_text()
    assert "77.7" not in links["tables/seeds.md"].read_text()


def test_what_intervals_cover_is_told_of_one_seed_and_of_several(
    make_run: Callable[..., Any], options: Options, tmp_path: Path
) -> None:
    run = make_run(tmp_path).write()
    one, several = (
        "The intervals cover the choice of questions alone.",
        "the interval covers the training seed as well.",
    )
    text = build_page(run, options, tmp_path / "one")
    assert one in text
    assert several not in text
    file = run.folder / "evaluation/seeds.json"
    write_json(file, {"seeds": [42, 43], "rows": [SEEDED]})
    run.inputs = run.inputs._replace(seeds=[file])
    text = build_page(run, options, tmp_path / "several")
    assert one not in text
    assert several in text


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


def test_every_file_behind_a_number_stands_among_the_origins_with_the_device_that_answered(
    built: Outputs, run_with_markup: Any
) -> None:
    text = built.page.read_text()
    inputs = run_with_markup.inputs
    table = text[text.index('aria-label="Files of results"') : text.index('aria-label="Files of corpus and questions"')]
    listed = re.findall(r'<td class="text"><code>([^<]+)</code>', table)
    behind = [*inputs.metrics, *inputs.numbers, *inputs.histories, *inputs.memory_use, *inputs.diagnostics]
    behind += [inputs.corpus_report, inputs.synthesis_report, inputs.scorecard]
    behind += [*inputs.paper_tables, *inputs.paper_figures]
    assert listed == [path.as_posix() for path in behind]
    given = re.search(r'<th scope="row">given-text</th>.*?</tr>', table)
    measured = re.search(r'<th scope="row">measurements/efficiency/instruction-cr4-base</th>.*?</tr>', table)
    assert given
    assert measured
    assert f'<code title="{"b" * 64}">{"b" * 12}</code>' in given[0]
    assert '<td class="text">H100</td>' in given[0]
    assert '<td class="text">H200</td>' in measured[0]


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
    with pytest.raises(DataError, match=r"pool.jsonl must be named BENCHMARK.test.oracle.jsonl"):
        build_report(run.inputs._replace(candidates=[odd]), run.outputs(tmp_path / "report"), options)


def test_a_system_given_twice_is_refused(make_run: Callable[..., Any], options: Options, tmp_path: Path) -> None:
    run = make_run(tmp_path).write()
    twice = [*run.inputs.predictions, run.inputs.predictions[0]]
    with pytest.raises(DataError, match="holds the system no_retrieval, as another file does"):
        build_report(run.inputs._replace(predictions=twice), run.outputs(tmp_path / "report"), options)
