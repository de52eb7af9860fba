"""The static page: its content, and its rendering through the template."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from clara.evaluation.comparisons import COMPARED, Comparison
from clara.evaluation.costs import Cost
from clara.evaluation.figure_style import GRID, INK
from clara.evaluation.findings import Finding
from clara.evaluation.grids import Grid, diagnostics_grid, memory_use_grid, result_grids, validation_grid
from clara.evaluation.labels import is_main, metric_label, setting_label, system_label
from clara.evaluation.origins import Records, births, sources
from clara.evaluation.paper.shown import Scorecard, Shown
from clara.evaluation.paper.writing import BACKBONES, panels
from clara.evaluation.provenance import (
    Beside,
    Facts,
    backbones,
    environment_facts,
    read_besides,
    repeatability,
    report_tables,
)
from clara.evaluation.questions import Section
from clara.evaluation.ratios import Effective
from clara.evaluation.results import CheckpointDiagnostics, CheckpointUse, History, Lens, SystemScore
from clara.evaluation.scoring import AVERAGE
from clara.evaluation.seeds import OverSeeds
from clara.evaluation.site import FIGURE_FORMS, PAPER_FORMS, forms

PAPER_FIGURES = {
    "logit_lens": "Figure 4: words that the language model's head reads from a question's memories; those that the "
    "question does not hold stand out.",
    "recall_bars": "Figure 5: supporting documents among the first k of the ranking, with intervals over questions.",
    "validation_loss": "Figure 6: validation loss of pretraining by step, and at its end by compression ratio.",
    "joint_training": "Figure 7: loss and recall on held-out questions while query reasoner and generator learn.",
    "by_k": "Figure 8: answers and recall by the number of documents that are read, with intervals over questions.",
    "states": "Figure 9: mean states of documents and of their memories, projected together; nothing is moved apart.",
}
"""What each figure of the paper shows, in the paper's order."""

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup


class Content(NamedTuple):
    """Everything that the page shows."""

    title: str
    run: str
    license: str | None
    """Licence and authors of the corpus' text; None says nothing."""
    confidence: float
    samples: int
    findings: list[Finding]
    scores: Sequence[SystemScore]
    uses: Sequence[CheckpointUse]
    diagnostics: Sequence[CheckpointDiagnostics]
    comparisons: Sequence[Comparison]
    histories: Sequence[History]
    sections: Sequence[Section]
    history_files: Sequence[Path]
    corpus_report: Mapping[str, Any]
    synthesis_report: Mapping[str, Any]
    figures: dict[str, Path]
    links: Sequence[tuple[str, str]]
    scorecard: Scorecard
    paper: Sequence[Shown]
    costs: Sequence[Cost]
    energy: float | None
    """Kilowatt-hours of the GPUs; null where no record tells."""
    metrics_files: Sequence[Path]
    """`R/evaluation/metrics/{system}.json`, from which every score comes."""
    folder: Path
    """Of the page, which its links start from."""
    copies: Mapping[Path, Path]
    """File of another step → its copy beside the page, to which the page links."""
    scorecard_files: Sequence[Path]
    run_folder: Path
    """`R`."""
    data_files: Sequence[Path]
    """Files of the run whose records lead to its corpus and questions."""
    measured_files: Sequence[Path] = ()
    """Other results that numbers of the page come from."""
    sampled: Sequence[Path] = ()
    """The page of sampled rows, where there is one."""
    seen: Sequence[Facts] = ()
    """Gold documents of the test that training knows, where it is measured."""
    effective: Effective | None = None
    """Effective ratios, where they are measured."""
    paper_figures: Sequence[Path] = ()
    """SVG, with a PNG beside each."""
    seeds: Sequence[OverSeeds] = ()
    """Averages over further trainings, where there are any."""
    seeds_files: Sequence[Path] = ()
    """The table over seeds, beside the page's other tables."""


class SettingTables(NamedTuple):
    """The result tables of one setting."""

    label: str
    main: list[Grid]
    more: list[Grid]


class Training(NamedTuple):
    """First and last validation loss of one checkpoint's training, and what its last process took."""

    label: str
    steps: int
    first: float
    last: float
    seconds: str
    memory: str
    """In MiB, at its peak."""


class Sizes(NamedTuple):
    """What the run consisted of, and how fine its numbers are."""

    benchmarks: int
    questions: int
    """Different test questions, over all benchmarks."""
    systems: int
    checkpoints: int
    ratios: list[int]
    half_width: float
    """Median half width, in points, of the intervals of the average F1; 0 without answers."""


def render(content: Content) -> str:
    """The page as HTML."""
    besides = read_besides(content.history_files)
    drawn = {path.stem: path for path in content.paper_figures}
    records = Records()
    return _template().render(
        content=content,
        sizes=_sizes(content),
        settings=_setting_tables(content.scores),
        memory_use=memory_use_grid(content.uses),
        diagnostics=diagnostics_grid(content.diagnostics),
        validation=validation_grid(content.diagnostics),
        trainings=_trainings(content.histories, besides),
        corpus=report_tables(content.corpus_report),
        synthesis=report_tables(content.synthesis_report),
        backbones=backbones(besides),
        environment=environment_facts(besides),
        repeatability=repeatability(besides),
        besides=besides,
        panels=panels,
        backbone_names=BACKBONES,
        paper_files=_paper_files(content),
        scorecard_files=_addresses(content.scorecard_files, content),
        seeds_files=_addresses(content.seeds_files, content),
        sampled=_addresses(content.sampled, content),
        paper_figures=[
            (name, caption, _addresses(forms(drawn[name], FIGURE_FORMS), content))
            for name, caption in PAPER_FIGURES.items()
            if name in drawn
        ],
        births=births([*content.metrics_files, *content.measured_files], content.run_folder, content.run, records),
        sources=sources(content.data_files, content.run_folder, content.run, records),
        # Of a run with one seed no interval can know of others.
        by_seed=bool(content.seeds) or any(claim.by_seed for claim in content.scorecard.claims),
        words=_words(content.diagnostics),
        svg={name: inline_svg(path, name) for name, path in (content.figures | drawn).items()},
        metric_label=metric_label,
        setting_label=setting_label,
        system_label=system_label,
    )


def _words(diagnostics: Iterable[CheckpointDiagnostics]) -> dict[str, list[tuple[str, Lens]]]:
    """Question → the words of its memories, by checkpoint."""
    found: dict[str, list[tuple[str, Lens]]] = {}
    for row in diagnostics:
        for lens in row.found.questions:
            found.setdefault(lens.question, []).append((row.checkpoint.label, lens))
    return found


@lru_cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).with_name("templates")
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = lambda text: str(text).replace("-", "\N{MINUS SIGN}")
    return environment.get_template("report.html.jinja")


def _paper_files(content: Content) -> dict[str, list[tuple[str, str]]]:
    """Table → names and addresses of its files and forms."""
    return {shown.filled.table.table: _addresses(forms(shown.csv, PAPER_FORMS), content) for shown in content.paper}


def _addresses(files: Iterable[Path], content: Content) -> list[tuple[str, str]]:
    """Names and addresses of files, relative to the page's folder; of what other steps made, those of the copies."""
    found = (content.copies.get(file, file) for file in files)
    return [(file.name, Path(os.path.relpath(file, content.folder)).as_posix()) for file in found]


def _setting_tables(scores: Sequence[SystemScore]) -> list[SettingTables]:
    result = []
    for setting in dict.fromkeys(row.score.setting for row in scores):
        grids = result_grids(scores, setting)
        main = [grid for metric, grid in grids.items() if is_main(metric)]
        more = [grid for metric, grid in grids.items() if not is_main(metric)]
        result.append(SettingTables(setting_label(setting), main, more))
    return result


def _trainings(histories: Sequence[History], besides: Sequence[Beside]) -> list[Training]:
    by_label = {beside.label: beside for beside in besides}
    rows = []
    for history in histories:
        label, losses = history.checkpoint.label, history.losses("validation")
        beside = by_label[label]
        costs = beside.number("wall_seconds"), beside.number("peak_memory_mib")
        if losses:
            rows.append(Training(label, losses[-1][0], losses[0][1], losses[-1][1], *costs))
    return rows


def _sizes(content: Content) -> Sizes:
    averages = [
        row.score for row in content.scores if (row.score.benchmark, row.score.metric) == (AVERAGE, COMPARED[0])
    ]
    questions = {(part.benchmark, part.setting): part.total for part in content.sections}
    benchmarks = {benchmark for benchmark, _ in questions}
    return Sizes(
        benchmarks=len(benchmarks),
        questions=sum(max(n for (other, _), n in questions.items() if other == benchmark) for benchmark in benchmarks),
        systems=len({row.system for row in content.scores}),
        checkpoints=len(content.histories),
        ratios=sorted({history.checkpoint.name.ratio for history in content.histories}),
        half_width=median((score.high - score.low) / 2 for score in averages) if averages else 0.0,
    )


def inline_svg(path: Path, name: str) -> "Markup":
    """The figure as part of the page: page's colours for ink and grid, its own ids, no metadata.

    Args:
        path: an SVG file that `figures` wrote.
        name: put before every id, because several figures share the page.
    """
    from markupsafe import Markup

    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text).replace("url(#", f"url(#{name}-")
    text = text.replace('href="#', f'href="#{name}-')
    text = text.replace(INK, "currentColor").replace(GRID, "var(--grid)")
    text = re.sub(r"<svg ", '<svg role="img" aria-labelledby="caption-' + name + '" ', text, count=1)
    return Markup(text)
