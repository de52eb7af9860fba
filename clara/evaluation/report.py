"""The report: tables, figures and one static page, from the files that the stages left."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clara.errors import DataError
from clara.evaluation import page, seeds, tables
from clara.evaluation.answering import read_pools
from clara.evaluation.comparisons import Comparison, compare, random_order
from clara.evaluation.costs import read_costs, read_energy
from clara.evaluation.figure_style import Palette
from clara.evaluation.figures import draw_bars, draw_losses, draw_memory_use
from clara.evaluation.findings import findings
from clara.evaluation.grids import Grid, comparison_grids, main_grids, memory_use_grid, seed_grids
from clara.evaluation.labels import MAIN_METRICS, is_main, system_name, system_order
from clara.evaluation.paper.shown import read_scorecard, read_tables
from clara.evaluation.provenance import seen_documents
from clara.evaluation.questions import by_id, sections
from clara.evaluation.ratios import read_effective
from clara.evaluation.results import (
    CheckpointUse,
    History,
    SystemScore,
    read_diagnostics,
    read_histories,
    read_memory_use,
    read_scores,
)
from clara.evaluation.scoring import AVERAGE, Resampling, check
from clara.evaluation.site import FIGURE_FORMS, PAPER_FORMS, SCORECARD_FORMS, TABLE_FORMS, forms, gather
from clara.files import read_json, write_text
from clara.records import Prediction
from clara.row_files import read_rows


class Inputs(NamedTuple):
    """The files that a report is made of."""

    metrics: Sequence[Path]
    histories: Sequence[Path]
    """In their checkpoints' folders; `settings.json` and `environment.json` beside them are read when present."""
    memory_use: Sequence[Path]
    """In their checkpoints' folders."""
    diagnostics: Sequence[Path]
    """In their checkpoints' folders."""
    predictions: Sequence[Path]
    candidates: Sequence[Path]
    """Test pools, `{benchmark}.test.{setting}.jsonl`."""
    corpus_report: Path
    synthesis_report: Path
    scorecard: Path
    """The paper's claims, `scorecard.json`."""
    paper_tables: Sequence[Path]
    """The paper's tables, filled, as CSV."""
    specifications: Sequence[Path]
    """Of these tables, `paper/tables/*.yaml`."""
    data: Sequence[Path] = ()
    """`measurements/data.json`, where it is measured."""
    paper_figures: Sequence[Path] = ()
    """The paper's figures of this run, SVG with a PNG beside each."""
    seeds: Sequence[Path] = ()
    """`evaluation/seeds.json`, where the run has further seeds."""
    samples: Sequence[Path] = ()
    """`synthesis/samples.html`, which links to the report of synthesis."""
    numbers: Sequence[Path] = ()
    """Further files that numbers of the paper's tables, figures and scorecard come from."""


class Outputs(NamedTuple):
    """The files of a report; beside each figure lies the same as PNG."""

    page: Path
    results_csv: Path
    results_md: Path
    results_tex: Path
    memory_use_csv: Path
    memory_use_md: Path
    memory_use_tex: Path
    comparisons_csv: Path
    comparisons_md: Path
    comparisons_tex: Path
    loss_figure: Path
    recall_figure: Path
    memory_use_figure: Path
    answers_figure: Path


class Options(NamedTuple):
    """What the settings say about a report."""

    title: str
    run: str
    license: str | None
    """Licence and authors of the corpus' text; None says nothing."""
    questions_shown: int | None
    """Questions listed of each benchmark and setting; None lists all."""
    recall_cuts: Sequence[int]
    resampling: Resampling


class Site(NamedTuple):
    """What the report's folder holds besides `Outputs`."""

    seeds: list[Path]
    """The table over seeds, where there are any."""
    copies: dict[Path, Path]
    """File of another step → its copy, so that the folder can be moved."""


def build_report(inputs: Inputs, outputs: Outputs, options: Options) -> Site:
    """Writes every file of `outputs` and what the page links to beside; the page last, so that it stands for the whole.

    Raises:
        ConfigError: an input lies where the copies come.
        DataError: an input is malformed or does not fit the others.
    """
    scores, uses = read_scores(inputs.metrics), read_memory_use(inputs.memory_use)
    histories = read_histories(inputs.histories)
    predictions = _read_predictions(inputs.predictions)
    shown = sections(predictions, by_id(read_pools(inputs.candidates)), shown=options.questions_shown)
    reports = read_json(inputs.corpus_report), read_json(inputs.synthesis_report)
    chance = random_order([row for rows in predictions.values() for row in rows], options.recall_cuts)
    compared = compare(predictions, options.recall_cuts, options.resampling)
    over_seeds = seeds.read_seeds(inputs.seeds)
    scorecard = read_scorecard(inputs.scorecard)
    paper = read_tables(inputs.paper_tables, inputs.specifications, scorecard)
    _write_tables(outputs, scores, uses, compared)
    site = Site(_write_seeds(outputs, over_seeds), gather(outputs.page, _offered(inputs)))
    palette = _palette(scores, histories)
    draw_losses(outputs.loss_figure, histories, palette)
    recall = [f"recall@{k}" for k in options.recall_cuts]
    draw_bars(outputs.recall_figure, scores, recall, palette, chance=chance)
    draw_bars(outputs.answers_figure, scores, MAIN_METRICS, palette)
    draw_memory_use(outputs.memory_use_figure, uses)
    content = page.Content(
        title=options.title,
        run=options.run,
        license=options.license,
        confidence=options.resampling.confidence,
        samples=options.resampling.samples,
        findings=findings(uses, histories, scores, compared, chance),
        scores=scores,
        uses=uses,
        diagnostics=read_diagnostics(inputs.diagnostics),
        comparisons=compared,
        histories=histories,
        sections=shown,
        history_files=inputs.histories,
        corpus_report=reports[0],
        synthesis_report=reports[1],
        figures={
            "answers": outputs.answers_figure,
            "recall": outputs.recall_figure,
            "memory_use": outputs.memory_use_figure,
            "loss": outputs.loss_figure,
        },
        links=_links(outputs),
        scorecard=scorecard,
        scorecard_files=forms(inputs.scorecard, SCORECARD_FORMS),
        paper=paper,
        costs=read_costs(inputs.corpus_report.parents[1]),
        energy=read_energy(inputs.corpus_report.parents[1]),
        metrics_files=inputs.metrics,
        folder=outputs.page.parent,
        copies=site.copies,
        run_folder=inputs.corpus_report.parents[1],
        data_files=[*inputs.candidates, inputs.corpus_report, inputs.synthesis_report, *inputs.histories],
        measured_files=[
            *inputs.numbers,
            *inputs.histories,
            *inputs.memory_use,
            *inputs.diagnostics,
            inputs.corpus_report,
            inputs.synthesis_report,
            *inputs.data,
            *inputs.seeds,
            inputs.scorecard,
            *inputs.paper_tables,
            *inputs.paper_figures,
        ],
        sampled=inputs.samples,
        seen=seen_documents(inputs.data),
        effective=read_effective(inputs.data),
        paper_figures=inputs.paper_figures,
        seeds=[row for row in over_seeds if row.benchmark == AVERAGE and is_main(row.metric)],
        seeds_files=[*site.seeds, *inputs.seeds],
    )
    write_text(outputs.page, page.render(content))
    return site


def _offered(inputs: Inputs) -> list[Path]:
    """The files of other steps that the page offers."""
    filled = [form for table in inputs.paper_tables for form in forms(table, PAPER_FORMS)]
    figures = [form for figure in inputs.paper_figures for form in forms(figure, FIGURE_FORMS)]
    samples = [*inputs.samples, inputs.synthesis_report] if inputs.samples else []
    return [*forms(inputs.scorecard, SCORECARD_FORMS), *filled, *figures, *inputs.seeds, *samples]


def _read_predictions(files: Sequence[Path]) -> dict[str, list[Prediction]]:
    """System → its predictions, in the order of tables.

    Raises:
        DataError: a file cannot be scored, or two hold the same system.
    """
    predictions: dict[str, list[Prediction]] = {}
    for path in files:
        rows = read_rows(Prediction, path)
        check(rows, str(path))
        if rows[0].system in predictions:
            raise DataError(f"{path} holds the system {rows[0].system}, as another file does; give each system once")
        predictions[rows[0].system] = rows
    return {system: predictions[system] for system in sorted(predictions, key=system_order)}


def _palette(scores: Sequence[SystemScore], histories: Sequence[History]) -> Palette:
    names = [system_name(row.system) for row in scores]
    return Palette([name for name in names if name] + [history.checkpoint.name for history in histories])


def _write_tables(
    outputs: Outputs, scores: Sequence[SystemScore], uses: Sequence[CheckpointUse], compared: Sequence[Comparison]
) -> None:
    write_text(outputs.results_csv, tables.results_csv(scores))
    write_text(outputs.memory_use_csv, tables.memory_use_csv(uses))
    write_text(outputs.comparisons_csv, tables.comparisons_csv(compared))
    _write_grids(outputs.results_md, outputs.results_tex, main_grids(scores))
    _write_grids(outputs.memory_use_md, outputs.memory_use_tex, [memory_use_grid(uses)])
    _write_grids(outputs.comparisons_md, outputs.comparisons_tex, comparison_grids(compared))


def _write_seeds(outputs: Outputs, rows: Sequence[seeds.OverSeeds]) -> list[Path]:
    """The table over seeds beside that of results; without rows none is left of an earlier run's."""
    files = forms(outputs.results_csv.with_name("seeds.csv"), TABLE_FORMS)
    if not rows:
        for file in files:
            file.unlink(missing_ok=True)
        return []
    write_text(files[0], seeds.as_csv(rows))
    _write_grids(files[1], files[2], seed_grids(rows))
    return files


def _write_grids(markdown: Path, latex: Path, grids: Sequence[Grid]) -> None:
    write_text(markdown, "\n".join(map(tables.markdown, grids)))
    write_text(latex, "\n".join(map(tables.latex, grids)))


def _links(outputs: Outputs) -> list[tuple[str, str]]:
    """Names and addresses, relative to the page, of the other files."""
    folder = outputs.page.parent
    drawn = [path.with_suffix(".png") for path in outputs if path.suffix == ".svg"]
    others = [path for path in [*outputs, *drawn] if path != outputs.page]
    return [(path.name, Path(os.path.relpath(path, folder)).as_posix()) for path in others]
