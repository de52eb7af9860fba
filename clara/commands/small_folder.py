"""A run's last checkpoints as a folder small enough for a repository: packed adapters, and a card about them."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from clara.commands.hub_folder import public_settings
from clara.errors import CheckpointError
from clara.evaluation.labels import benchmark_label, metric_label, setting_label
from clara.evaluation.recording import describe
from clara.evaluation.results import read_scores
from clara.files import read_json, sha256_file, write_json, write_text
from clara.folders import atomic_folder
from clara.model import checkpoint, packed
from clara.model.checkpoint import CheckpointCard
from clara.packages import PACKAGE

METRICS = ("f1", "em", "recall@5")


def write_small_folder(
    run: Path, target: Path, *, init: str, variant: str, bits: int, command: str, data: str
) -> dict[str, int]:
    """Writes `cr4/`, `cr16/`, … and `README.md` into a new folder; gives the bytes of each checkpoint.

    The language model is not copied: it is made from its package or fetched from the Hub on first use.

    Args:
        run: `results/NAME` of a finished run.
        target: a folder that is empty or not there yet.
        init: checkpoint that joint training started from.
        variant: of the run.
        bits: precision of the layers' updates, 1 to 8: they are off by 2^-bits of their size.
        command: that made the run.
        data: what it learned from, and the licences of that, in a sentence or two.

    Raises:
        CheckpointError: the run has no such checkpoint, its backbone is a file of this machine, or `target` holds
            files.
    """
    cards = sorted(run.glob(f"joint/{init}-cr*-{variant}/card.json"), key=lambda card: _ratio(card))
    if not cards:
        raise CheckpointError(f"{run} has no checkpoint joint/{init}-cr…-{variant}; name a finished run")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} is a file or is not empty; name a new folder")
    sizes, errors = {}, {}
    with atomic_folder(target) as folder:
        for card in cards:
            name = f"cr{_ratio(card)}"
            errors[name] = _write_checkpoint(card, folder / name, bits)
            sizes[name] = (folder / name / checkpoint.WEIGHTS).stat().st_size
        write_text(folder / "README.md", _readme(run, cards, sizes, errors, bits=bits, command=command, data=data))
    return sizes


def _ratio(card: Path) -> int:
    return int(card.parent.name.split("-")[1].removeprefix("cr"))


def _write_checkpoint(card: Path, folder: Path, bits: int) -> packed.Errors:
    """Gives what packing took from the adapters."""
    said = checkpoint.read_card(card)
    settings = public_settings(card.parent)
    source = str(settings.get("backbone", {}).get("source", ""))
    if not source or (not source.startswith(PACKAGE) and (Path(source).suffix or Path(source).is_absolute())):
        raise CheckpointError(
            f"{card} stands on the backbone {source or 'of no recorded source'}, which others do not have; train on "
            "package:DISTRIBUTION/FILE or a Hub model"
        )
    tensors = packed.read(card.parent / checkpoint.WEIGHTS)
    folder.mkdir()
    weights = folder / checkpoint.WEIGHTS
    packed.write(tensors, weights, bits)
    kept = replace(said, backbone="../backbone/card.json", backbone_source=source, weights_hash=sha256_file(weights))
    write_json(folder / "card.json", asdict(kept))
    write_json(folder / "settings.json", settings)
    return packed.errors(tensors, packed.read(weights))


def _readme(
    run: Path,
    cards: list[Path],
    sizes: dict[str, int],
    errors: dict[str, packed.Errors],
    *,
    bits: int,
    command: str,
    data: str,
) -> str:
    said: CheckpointCard = checkpoint.read_card(cards[0])
    backbone = read_json(checkpoint.read_backbone(cards[0], said).path)
    source = public_settings(cards[0].parent)["backbone"]["source"]
    environments = [read_json(path) for path in sorted(run.glob("*/*/environment.json"))]
    rows, names = [], list(sizes)
    for name, card in zip(sizes, cards, strict=True):
        one = checkpoint.read_card(card)
        memory = f"{one.shape.num_memory} vectors for up to {one.shape.document_max_tokens} tokens"
        size, lost = f"{sizes[name] / 1e6:.1f} MB", errors[name]
        rounding = f"{100 * lost.updates:.0f} % | {100 * lost.learned:.0f} %"
        rows.append(f"| `{name}` | {memory} | {size} | {rounding} | `{one.weights_hash[:16]}` |")
    return f"""# A small checkpoint of our own

CLaRa (compressor, query reasoner, generator) on {Path(source).name}, from the run `{run.name}`.
It shows the mechanism on a language model of a laptop's size; what its answers are worth stands below.{_form(said)}

| folder | a document becomes | size | updates off by | what the reasoner learned off by | weights of the run, SHA-256 |
| --- | --- | --: | --: | --: | --- |
{chr(10).join(rows)}

Adapters of rank {said.shape.rank}, kept as the singular vectors of the layers' updates in {bits} bits and less
(`clara/model/packed.py`): the updates are off by the share that the table says, which is the price of the size. What
the query reasoner learned is its difference from the compressor, which it started as.
The language model is not in here: it is made from `{source}`
on first use and kept in `~/.cache/clara` (or `$CLARA_CACHE`).

## Use

```sh
clara compress my-documents --model THIS_FOLDER/{names[-1]} --store my-store
clara ask "What is albedo?" --model THIS_FOLDER/{names[-1]} --store my-store
```

`clara.load("THIS_FOLDER/{names[0]}")` in Python. A store that the run itself made does not fit: rounding makes it
another compressor.

## Where it is from

{describe(environments, command=command)}
{data}

## Results of the run

Of the unrounded weights, on the run's own test questions; percent with intervals over questions.

{_results(run, cards)}
{_memory_use(cards)}
## Limits

- Trained for minutes: answers are short, often wrong, and say nothing of their doubt. Compare with text RAG on your own
  questions before using it for anything.
- English; short passages of encyclopaedic text.
- One seed. What the language model carries in biases and gaps, this carries too.

The adapters are under this project's licence; the language model's is {backbone.get("license") or "not stated"}.
"""


def _form(said: CheckpointCard) -> str:
    """A line where the method is not the paper's."""
    form, score = said.shape.form, said.shape.score
    if (form, score) == ("plain", "flattened"):
        return ""
    return (
        f"\nIts memories are of the form `{form}` and its documents are scored by `{score}`; the paper's form is "
        "`plain`, its score `flattened`."
    )


def _results(run: Path, cards: Iterable[Path]) -> str:
    names = ["no_retrieval", "bm25", "text_rag", "text_rag_tuned", *(card.parent.name for card in cards)]
    files = [path for name in names if (path := run / "evaluation" / "metrics" / f"{name}.json").exists()]
    if not files:
        return "None: the run was not evaluated.\n"
    scores = [row for row in read_scores(files) if row.score.metric in METRICS and row.score.benchmark == "average"]
    settings = sorted({row.score.setting for row in scores})
    found: dict[str, dict[tuple[str, str], Any]] = {}
    for row in scores:
        found.setdefault(row.system, {})[row.score.setting, row.score.metric] = row.score
    columns = [(setting, metric) for setting in settings for metric in METRICS]
    heads = " | ".join(f"{metric_label(metric)}, {setting_label(setting)}" for setting, metric in columns)
    lines = [f"| {benchmark_label('average')} | {heads} |", "| --- |" + " --: |" * len(columns)]
    for name in (path.stem for path in files):
        cells = [found.get(name, {}).get(column) for column in columns]
        shown = " | ".join(f"{c.value:.1f} [{c.low:.1f}, {c.high:.1f}]" if c else "" for c in cells)
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines) + "\n"


def _memory_use(cards: Iterable[Path]) -> str:
    """Whether the generator reads its memories: what wrong ones cost."""
    lines = []
    for card in cards:
        path = card.with_name("memory_use.json")
        if path.exists():
            content = read_json(path)
            cost = content["wrong_minus_right"]
            lines.append(
                f"- `{card.parent.name}`: wrong documents' memories cost {cost['mean']:.2f} nats a token of the gold "
                f"answer more than the right ones' ({cost['low']:.2f} to {cost['high']:.2f}, {content['n']} questions)."
            )
    return "\n".join(lines) + "\n" * bool(lines)
