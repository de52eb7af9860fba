"""A made-up run: the files that a report is built from."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clara.evaluation.paper import scorecard
from clara.evaluation.paper.claims import read_claims
from clara.evaluation.paper.commands import Run as RunOfPaper
from clara.evaluation.paper.filling import fill
from clara.evaluation.paper.judging import judge
from clara.evaluation.paper.measured import read_measured
from clara.evaluation.paper.specs import read_table
from clara.evaluation.paper.values import read_values
from clara.evaluation.paper.writing import difference_markdown, latex, macros, markdown, table_csv
from clara.evaluation.report import Inputs, Options, Outputs, build_report
from clara.evaluation.scoring import Resampling, score_file
from clara.files import write_json, write_text
from clara.measurements.figures import draw
from clara.records import Prediction, Question
from clara.row_files import write_rows

PROJECT = Path(__file__).parents[2]
RESAMPLING = Resampling(samples=100, confidence=0.95, seed=3)
SCRIPT = "<script>alert('x')</script>"
"""What a question, an answer and a document of the made-up report hold."""
TABLES = ("results", "memory_use", "comparisons")
"""Of the report, each in three forms."""
SYSTEMS = ("no_retrieval", "text_rag", "bm25", "instruction-cr4-base", "instruction-cr16-base")


class Run:
    """A small run under a folder, made of seeded noise."""

    def __init__(self, folder: Path, *, questions: int = 4, benchmarks: tuple[str, ...] = ("nq", "hotpotqa")) -> None:
        self.folder = folder
        self._random = random.Random(0)
        self.pools = {
            (benchmark, setting): [self._question(benchmark, number) for number in range(questions)]
            for benchmark in benchmarks
            for setting in ("oracle", "normal")
        }
        self.inputs = Inputs(
            metrics=[folder / f"evaluation/metrics/{system}.json" for system in SYSTEMS],
            histories=[at / "history.jsonl" for at in self._checkpoints()],
            memory_use=[at / "memory_use.json" for at in self._checkpoints()],
            diagnostics=[at / "diagnostics.json" for at in self._checkpoints()],
            predictions=[folder / f"evaluation/predictions/{system}.jsonl" for system in SYSTEMS],
            candidates=[folder / f"candidates/{b}.test.{s}.jsonl" for b, s in self.pools],
            corpus_report=folder / "corpus/report.json",
            synthesis_report=folder / "synthesis/report.json",
            scorecard=folder / "paper/scorecard.json",
            paper_tables=[folder / "paper/table_2.csv", folder / "paper/table_7.csv"],
            specifications=sorted((PROJECT / "paper/tables").glob("*.yaml")),
            paper_figures=[folder / "figures/states.svg", folder / "figures/logit_lens.svg"],
            samples=[folder / "synthesis/samples.html"],
            numbers=[
                folder / "evaluation/metrics/given-text.json",
                folder / "measurements/efficiency/instruction-cr4-base.json",
            ],
        )

    def write(self) -> "Run":
        """Writes every input file."""
        for (benchmark, setting), rows in self.pools.items():
            write_rows(self.folder / f"candidates/{benchmark}.test.{setting}.jsonl", rows)
        for system, predictions, metrics in zip(SYSTEMS, self.inputs.predictions, self.inputs.metrics, strict=True):
            rows = [self._prediction(system, *place, row) for place, pool in self.pools.items() for row in pool]
            write_rows(predictions, rows)
            score_file(predictions, metrics, recall_cuts=[1, 3], resampling=RESAMPLING)
        for at in self._checkpoints():
            self._write_checkpoint(at)
        write_json(
            self.inputs.corpus_report,
            {"articles": {"read": 106, "kept": 96}, "passages": 540, "passages_dropped": {"too short": 12}},
        )
        self._write_paper()
        self._write_measured()
        write_json(self.inputs.synthesis_report, {"kept": 210, "engine": "scripted", "rejected": {"no answer": 31}})
        write_text(self.inputs.samples[0], f'<a href="{self.inputs.synthesis_report.name}">All numbers</a>')
        return self

    def outputs(self, folder: Path) -> Outputs:
        """Where a report goes."""
        tables = [folder / f"tables/{name}.{end}" for name in TABLES for end in ("csv", "md", "tex")]
        figures = [folder / f"figures/{name}.svg" for name in ("loss", "recall", "memory_use", "answers")]
        return Outputs(folder / "index.html", *tables, *figures)

    def _write_paper(self) -> None:
        """The shipped claims and tables, on this run's answers and scores."""
        run = RunOfPaper("toy", [4, 16])
        values = {path.stem: read_values(path, "mistral") for path in (PROJECT / "paper/values").glob("*.csv")}
        claims = read_claims(PROJECT / "paper/claims.yaml")
        answered = scorecard.read_question_scores(self.inputs.predictions, [1, 3])
        findings = judge(claims, answered, values, ratios=run.ratios, resampling=RESAMPLING)
        content = scorecard.as_json(findings, run=run, backbone="mistral", confidence=RESAMPLING.confidence)
        write_json(self.inputs.scorecard, content)
        write_text(self.inputs.scorecard.with_suffix(".csv"), scorecard.as_csv(content))
        write_text(self.inputs.scorecard.with_suffix(".md"), scorecard.as_markdown(content))
        write_text(self.inputs.scorecard.with_suffix(".tex"), scorecard.as_latex(content))
        for path in self.inputs.paper_figures:
            draw(path, [], [], [], {"states": []}, command="snakemake the states")
        for path in self.inputs.paper_tables:
            table = read_table(PROJECT / f"paper/tables/{path.stem}.yaml")
            ours = read_measured(table.source, self.inputs.metrics)
            filled = fill(table, values[path.stem], ours, run=run, backbone="mistral")
            write_text(path, table_csv(filled))
            write_text(path.with_suffix(".md"), markdown(filled))
            write_text(path.with_suffix(".tex"), latex(filled))
            write_text(path.with_suffix(".diff.md"), difference_markdown(filled))
            write_text(path.with_suffix(".macros.tex"), macros(filled))

    def _write_measured(self) -> None:
        """Numbers of the paper's tables that are no system's: answers with given documents, and a measurement."""
        given, efficiency = self.inputs.numbers
        answers = self.folder / "evaluation/predictions/given-text.jsonl"
        read = {str(self.inputs.candidates[0]): "c" * 64, str(self.folder / "corpus/documents.parquet"): "d" * 64}
        for path, program, inputs, device in (
            (given, "score.py", {str(answers): "a" * 64}, "cpu"),
            (answers, "predict_given_text.py", read, "H100"),
            (efficiency, "measure_efficiency.py", read, "H200"),
        ):
            write_json(path, {})
            made = {"command": [program], "inputs": inputs, "commit": path.stem[:7], "device": device}
            write_json(path.parent / "provenance" / f"{path.stem}.json", made | {"outputs": {path.name: "b" * 64}})

    def _checkpoints(self) -> list[Path]:
        names = [(stage, f"cr{ratio}-base") for stage in ("pretraining", "instruction") for ratio in (4, 16)]
        names += [("joint", f"instruction-cr{ratio}-base") for ratio in (4, 16)]
        return [self.folder / stage / name for stage, name in names]

    def _question(self, benchmark: str, number: int) -> Question:
        return Question(
            id=f"{benchmark}-{number}",
            question=f"Which river crosses town {number}?",
            golden_answers=[f"River {number}", f"{number} River"],
            docs=[f"Town {i}\nTown {i} lies on the River {i}, which is long." for i in range(8)],
            pos_index=[number % 8],
            type="single",
        )

    def _prediction(self, system: str, benchmark: str, setting: Any, row: Question) -> Prediction:
        ranking = self._random.sample(range(8), 8) if system not in ("no_retrieval", "text_rag") else None
        right = self._random.random() < 0.2 + 0.1 * SYSTEMS.index(system)
        answer = row.golden_answers[0] if right else "It is not known"
        return Prediction(
            system=system,
            benchmark=benchmark,
            setting=setting,
            id=row.id,
            question=row.question,
            golden_answers=row.golden_answers,
            prediction=None if system == "bm25" else answer,
            ranking=ranking,
            scores=None,
            selected=(ranking or [0, 1, 2])[:3] if system not in ("no_retrieval", "bm25") else [],
            pos_index=row.pos_index,
        )

    def _diagnostics(self, *, joint: bool) -> dict[str, Any]:
        asked = [{"question": "Which river?", "words": ["river", "long"], "new": ["long"]}]
        return {
            "steps": 20,
            "validation_loss": {"first": 4.0, "last": 2.25},
            "gradient_norms": {"generator": 0.5, **({"query_reasoner": 0.25} if joint else {"compressor": 0.125})},
            "documents": [{"document": "Town 0\nTown 0 lies on the River 0.", "nearest": [["River", "<b>"], ["0"]]}],
            "share_named": 0.5,
            "questions": asked if joint else [],
        }

    def _write_checkpoint(self, at: Path) -> None:
        noise = self._random.random
        at.mkdir(parents=True)
        points: list[dict[str, Any]] = []
        for step in range(21):
            level = 2 + 2 * 0.9**step
            points.append({"step": step, "split": "train", "loss": level + noise() / 2, "learning_rate": 0.1})
            if step % 5 == 0:
                points.append({"step": step, "split": "validation", "loss": level + noise() / 20})
        (at / "history.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
        means = {"right": 2.5, "wrong": 2.5 + noise() / 3, "none": 3.1, "text": 2.2}
        gap = means["wrong"] - means["right"]
        losses = {key: {"mean": mean, "low": mean - 0.2, "high": mean + 0.2} for key, mean in means.items()}
        wrong_minus_right = {"mean": gap, "low": gap - 0.08, "high": gap + 0.08}
        use = {"n": 64, "confidence": 0.95, "losses": losses, "wrong_minus_right": wrong_minus_right}
        write_json(at / "memory_use.json", use)
        write_json(at / "diagnostics.json", self._diagnostics(joint=at.parent.name == "joint"))
        environment = {"command": ["train.py"], "libraries": {"torch": "2.13"}, "device": at.name, "wall_seconds": 61.5}
        write_json(at / "environment.json", environment)
        write_json(at / "settings.json", {"seed": 42, "backbone": {"source": "package:toy/toy/Toy-1M.gguf"}})


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    """Makes a run in a folder; change its `pools` before `write` to change the questions."""
    return Run


@pytest.fixture(scope="session")
def options() -> Options:
    """Settings of a report."""
    return Options(
        title="Toy run",
        run="toy",
        license="CC BY-SA 4.0, Wikipedia contributors",
        questions_shown=None,
        recall_cuts=[1, 3],
        resampling=RESAMPLING,
    )


@pytest.fixture(scope="session")
def run_with_markup(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose first questions, answers and documents hold markup."""
    run = Run(tmp_path_factory.mktemp("markup"))
    for pool in run.pools.values():
        row = pool[0]
        documents = [f"{SCRIPT}\n{SCRIPT} &amp; more", *row.docs[1:]]
        pool[0] = row.model_copy(update={"question": SCRIPT, "golden_answers": [SCRIPT], "docs": documents})
    return run.write()


@pytest.fixture(scope="session")
def built(run_with_markup: Run, options: Options, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """The report of that run."""
    outputs = run_with_markup.outputs(tmp_path_factory.mktemp("report"))
    build_report(run_with_markup.inputs, outputs, options)
    return outputs
