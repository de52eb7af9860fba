"""The stage as a whole: passages in; pairs, rejected pairs and a report out."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from clara.config.synthesis import Synthesis
from clara.data.sources import local_file
from clara.errors import DataError
from clara.files import read_json, write_json
from clara.progress import Progress
from clara.records import Passage, read_rows, write_rows
from clara.synthesis import loop, published, report
from clara.synthesis.cache import ReplyCache
from clara.synthesis.engine import Deferred, TextEngine, choose, model_identity
from clara.synthesis.passages import spread
from clara.synthesis.requests import Drawing
from clara.synthesis.rows import KINDS
from clara.synthesis.tasks import Plan, Steps, steps


def synthesize(
    settings: Synthesis,
    *,
    seed: int,
    dtype: str,
    passages: Path,
    card: Path,
    state: Path,
    pairs: Path,
    rejected: Path,
    summary: Path,
    engine: TextEngine | None = None,
) -> None:
    """Writes pairs, rejected pairs and report.

    Args:
        settings: the section `synthesis`.
        seed: seed of every draw.
        dtype: precision of the model.
        passages: the corpus.
        card: the backbone's card, the generator where the settings name none.
        state: folder of the cache of replies.
        pairs: accepted rows, by passage, kind and round.
        rejected: the others, with their reason.
        summary: the report.
        engine: answers instead of the one that the settings name.

    Raises:
        DataError: more passages failed than `max_failed_share` allows. The three files are written all the same.
    """
    if settings.published is not None:
        ready = published.read(local_file(settings.published))
        write_rows(pairs, ready)
        write_rows(rejected, [])
        documents = len({pair.document_id for pair in ready})
        write_json(
            summary,
            {"published": settings.published, "passages": documents, "accepted": len(ready)} | report.content(ready),
        )
        return
    started = time.monotonic()
    chosen = spread(read_rows(Passage, passages), settings.num_passages)
    engine = engine or _engine(settings, dtype, card)
    work = _work(settings, seed, chosen, engine, state)
    outcomes = work.outcomes
    write_rows(pairs, [pair for outcome in outcomes for pair in outcome.accepted])
    write_rows(rejected, [pair for outcome in outcomes for pair in outcome.rejected])
    content = report.describe(work, engine=engine.name, model=engine.model, seconds=time.monotonic() - started)
    write_json(summary, content)
    _show(content)
    failed = report.failed_passages(outcomes)
    if failed > settings.max_failed_share * len(chosen):
        first = next(iter(content["quarantine"].items()))
        raise DataError(
            f"{failed} of {len(chosen)} passages failed, more than synthesis.max_failed_share = "
            f"{settings.max_failed_share} allows; "
            f"the first was {first[0]}: {first[1]}; see {summary}, then mend the cause and run again"
        )


def _work(settings: Synthesis, seed: int, chosen: list[Passage], engine: TextEngine, state: Path) -> loop.Work:
    drawing = Drawing(settings.temperature, settings.top_p, settings.max_new_tokens, seed)
    plan = Plan(
        tuple(settings.question_sources),
        settings.max_rounds,
        settings.questions_per_round,
        settings.model_validation,
        drawing,
    )
    asked = {
        kind: {passage.id for passage in spread(chosen, settings.num_passages_for.get(kind))}
        for kind in KINDS
        if kind in settings.kinds
    }

    def tasks() -> Iterator[Steps]:
        for passage in chosen:
            for kind, ids in asked.items():
                if passage.id in ids:
                    yield steps(passage, kind, plan)

    cache = ReplyCache(state)
    try:
        with Progress("synthesis", total=sum(map(len, asked.values())), unit="passages and kinds") as progress:
            return loop.run(tasks(), engine, cache, on_outcome=progress.update)
    finally:
        cache.close()
        engine.close()


def _engine(settings: Synthesis, dtype: str, card: Path) -> TextEngine:
    if settings.engine == "openai":
        served = settings.model or str(read_json(card)["path"])
        return choose("openai", Path(served), dtype=dtype, identity=f"openai {served}", base_url=settings.base_url)
    folder = _folder(settings.model, card)
    identity = model_identity(folder, dtype)

    def start() -> TextEngine:
        return choose(
            settings.engine,
            folder,
            dtype=dtype,
            identity=identity,
            base_url=None,
            tensor_parallel=settings.tensor_parallel,
        )

    return Deferred(start, name=settings.engine, model=identity)


def _folder(model: str | None, card: Path) -> Path:
    """The folder of the generator: the backbone's, a given folder, or a download from the Hub."""
    if model is None:
        return Path(card).parent / str(read_json(card)["path"])
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model))


def _show(content: dict[str, object]) -> None:
    shown = ("accepted", "rejected", "passages", "failed_passages", "requests", "requests_from_cache", "seconds")
    print("synthesis: " + ", ".join(f"{key.replace('_', ' ')} {content[key]}" for key in shown), file=sys.stderr)
