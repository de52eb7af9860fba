"""What systems, checkpoints and metrics are called, and the order in which they are shown."""

import re
from pathlib import Path
from typing import NamedTuple

from clara.errors import DataError

STAGES = ("pretraining", "instruction", "joint")
METRICS = {
    "cover_em": "Cover-EM",
    "f1": "F1",
    "em": "EM",
    "span_em": "Span-EM",
    "cover_em_first": "Cover-EM, first gold",
    "f1_first": "F1, first gold",
    "em_first": "EM, first gold",
}
"""Answer metrics in the order of tables; recall follows by its cut-off."""
MAIN_METRICS = ("cover_em", "f1", "em")
BENCHMARKS = {"nq": "NQ", "hotpotqa": "HotpotQA", "musique": "MuSiQue", "2wiki": "2Wiki", "average": "Average"}
SETTINGS = {"oracle": "Oracle pool", "normal": "Normal pool"}

RELEASED = "released_"
"""What names of systems begin with that are checkpoints of the released code."""
GIVEN = "given-"
"""Begins the name of a system that answers from given documents: `given-text`, `given-hard_words_cr16`,
`given-pretraining-cr16-base`."""
_BASELINES = {
    "no_retrieval": "No retrieval",
    "text_rag": "Text RAG",
    "text_rag_tuned": "Text RAG, LoRA-tuned",
    "hard_words": "Informative words",
    "llmlingua2": "LLMLingua-2",
    "bm25": "BM25",
    "dense": "Dense bi-encoder",
    "cross_encoder": "Cross-encoder",
}
_OF_RATIO = re.compile(r"(?P<baseline>\w+)_cr(?P<ratio>\d+)")
_NAME = re.compile(r"(?:(?P<init>pretraining|instruction)-)?cr(?P<ratio>\d+)-(?P<variant>\w+)")


class Name(NamedTuple):
    """The parts of `{init}-cr{ratio}-{variant}`."""

    init: str
    """Where joint training started; empty for a checkpoint before it."""
    ratio: int
    variant: str

    @property
    def label(self) -> str:
        """Ratio, start and, where it is not base, variant."""
        parts = [f"CR {self.ratio}", f"from {self.init}" if self.init else "", self.variant]
        return ", ".join(part for part in parts if part not in ("", "base"))


class Checkpoint(NamedTuple):
    """A checkpoint, known by the folder that it lies in."""

    stage: str
    name: Name

    @property
    def label(self) -> str:
        """Stage and name in words."""
        return f"{self.stage} {self.name.label}"

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Key that sorts by stage, ratio, variant, start."""
        return STAGES.index(self.stage), self.name.ratio, self.name.variant, self.name.init


def checkpoint_of(path: Path) -> Checkpoint:
    """The checkpoint whose folder holds `path`: `…/{stage}/cr4-base/FILE` or `…/joint/instruction-cr4-base/FILE`.

    Raises:
        DataError: the folders are not named like that.
    """
    path = Path(path)
    match = _NAME.fullmatch(path.parent.name)
    stage = path.parent.parent.name
    if match is None or stage not in STAGES:
        raise DataError(
            f"{path} does not lie in a checkpoint's folder; expected STAGE/crRATIO-VARIANT/{path.name} with a stage of "
            f"{', '.join(STAGES)}"
        )
    return Checkpoint(stage, _name(match))


def _name(match: re.Match[str]) -> Name:
    return Name(match["init"] or "", int(match["ratio"]), match["variant"])


def system_name(system: str) -> Name | None:
    """The parts of a CLaRa system's name; None for baselines."""
    match = _NAME.fullmatch(system)
    return _name(match) if match else None


def system_label(system: str) -> str:
    """How tables call a system."""
    if system.startswith(GIVEN):
        given = system.removeprefix(GIVEN)
        reader = system_name(given)
        named = "Text" if given == "text" else system_label(given)
        return f"{f'Compressor {reader.label}' if reader else named}, documents given"
    name = system_name(system)
    if name:
        return f"CLaRa {name.label}"
    if match := _OF_RATIO.fullmatch(system):
        return f"{_BASELINES.get(match['baseline'], match['baseline'])} CR {match['ratio']}"
    if system.startswith(RELEASED):
        return f"Released CLaRa {system.removeprefix(RELEASED)}"
    return _BASELINES.get(system, system)


def system_order(system: str) -> tuple[int, str, int, str]:
    """Key that sorts baselines first, then CLaRa by start, ratio and variant."""
    name = system_name(system)
    if name:
        return len(_BASELINES) + 1, name.init, name.ratio, name.variant
    match = _OF_RATIO.fullmatch(system)
    base, ratio = (match["baseline"], int(match["ratio"])) if match else (system, 0)
    known = list(_BASELINES)
    return (known.index(base) if base in known else len(known)), base, ratio, ""


def metric_label(metric: str) -> str:
    """How tables call a metric."""
    return f"Recall@{metric.removeprefix('recall@')}" if metric.startswith("recall@") else METRICS.get(metric, metric)


def is_main(metric: str) -> bool:
    """Whether printed tables show it; the others stand in the CSV file and in the page's fold."""
    return metric in MAIN_METRICS or metric.startswith("recall@")


def metric_order(metric: str) -> tuple[int, int, str]:
    """Key that sorts answer metrics in the order of `METRICS`, then recall by cut-off."""
    if metric.startswith("recall@"):
        return len(METRICS), int(metric.removeprefix("recall@")), metric
    return (list(METRICS).index(metric) if metric in METRICS else len(METRICS) + 1), 0, metric


def benchmark_label(benchmark: str) -> str:
    """How tables call a benchmark."""
    return BENCHMARKS.get(benchmark, benchmark)


def benchmark_order(benchmark: str) -> tuple[int, str]:
    """Key that sorts as the paper does, unknown benchmarks before the average."""
    known = list(BENCHMARKS)
    return (known.index(benchmark) * 2 if benchmark in known else 2 * known.index("average") - 1), benchmark


def setting_label(setting: str) -> str:
    """How tables call a setting of the candidate pool."""
    return SETTINGS.get(setting, setting)


def setting_order(setting: str) -> int:
    """Key that sorts settings: oracle, normal."""
    return list(SETTINGS).index(setting) if setting in SETTINGS else len(SETTINGS)
