"""The stage as a whole: passages in; pairs, rejected pairs and a report out."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clara.config.synthesis import Synthesis
from clara.data.sources import local_file
from clara.errors import ConfigError, DataError
from clara.files import read_json, write_json
from clara.hub import fetch_model
from clara.progress import Progress
from clara.records import Pair
from clara.synthesis import loop, published, report, tables
from clara.synthesis.cache import ReplyCache
from clara.synthesis.engine import Deferred, TextEngine, choose
from clara.synthesis.forecast import FIRST, Forecast, sentence
from clara.synthesis.identity import model_identity, with_threads
from clara.synthesis.outcomes import Outcomes
from clara.synthesis.requests import Drawing
from clara.synthesis.rows import Outcome, Rejected
from clara.synthesis.shard_work import ShardWork, Task, plan_work
from clara.synthesis.shards import part
from clara.synthesis.tasks import TaskPlan, steps

REASONS_SHOWN = 5
"""Reasons of quarantine on the screen; the file has all."""


def synthesize(
    settings: Synthesis,
    *,
    seed: int,
    shard: int,
    passages: Path,
    card: Path,
    state: Path,
    pairs: Path,
    rejected: Path,
    summary: Path,
    cpu_threads: int | None = None,
    estimate: bool = False,
    engine: TextEngine | None = None,
) -> None:
    """Writes pairs, rejected pairs and report of one shard.

    Args:
        settings: the section `synthesis`.
        seed: seed of every draw.
        shard: which of `settings.shards`, counted from 1.
        passages: the corpus.
        card: the backbone's card, the generator where the settings name none.
        state: folder of the cache of replies, and of the list of passages in quarantine.
        pairs: accepted rows, by passage, kind and round.
        rejected: the others, with their reason.
        summary: the report.
        cpu_threads: threads of the transformers engine on a CPU, part of the cache keys; null leaves them as they are.
        estimate: only work on the first passages, print what the whole will cost, and write nothing but the cache.
        engine: answers instead of the one that the settings name.

    Raises:
        ConfigError: there is no such shard.
        DataError: more passages failed than `max_failed_share` allows. The three files are written all the same.
    """
    if not 1 <= shard <= settings.shards:
        raise ConfigError(f"--shard {shard} must lie between 1 and synthesis.shards = {settings.shards}")
    if settings.published is not None:
        if estimate:
            print(f"synthesis.published = {settings.published} is taken over: no requests")
            return
        _take_published(settings, shard, pairs, rejected, summary)
        return
    work = plan_work(settings, passages, shard)
    engine = engine or _engine(settings, settings.dtype, card, state, cpu_threads)
    started = time.monotonic()
    if estimate:
        done = _run(settings, seed, work.start(FIRST), work.forecast, engine, state, lambda outcome: None)
        print(sentence(work.forecast.content(done, start_seconds=_start_seconds(engine)), settings.shards))
        return
    outcomes = Outcomes()
    for path in (pairs, rejected):  # of a run that was killed while it wrote; a shard's folder is its own
        for left in path.parent.glob(f".{path.name}.*.part"):
            left.unlink()
    with tables.writing(Pair, pairs) as accept, tables.writing(Rejected, rejected) as reject:

        def take(outcome: Outcome) -> None:
            outcomes.add(outcome)
            for pair in outcome.accepted:
                accept(pair)
            for pair in outcome.rejected:
                reject(pair)

        done = _run(settings, seed, work, work.forecast, engine, state, take)
    content = report.describe(
        done, outcomes, engine=engine.name, model=engine.model, seconds=time.monotonic() - started
    )
    content["forecast"] = work.forecast.content(done, start_seconds=_start_seconds(engine))
    write_json(summary, content)
    # The workflow removes the files of a step that fails; this one stays.
    write_json(state / "quarantine.json", content["quarantine"])
    _show(outcomes, content)
    _check_failures(content, settings.max_failed_share, state / "quarantine.json")


def _take_published(settings: Synthesis, shard: int, pairs: Path, rejected: Path, summary: Path) -> None:
    assert settings.published is not None
    ready = published.Pairs(local_file(settings.published))
    runs = 1 + max((run for run, _ in published.runs(ready)), default=-1)
    mine = part(range(runs), shard, settings.shards)
    documents, known = 0, set[str]()
    with tables.writing(Pair, pairs) as accept:
        for run, pair in published.runs(ready):
            if run in mine:
                accept(pair)
                documents += pair.document_id not in known
            known.add(pair.document_id)
    tables.write(Rejected, rejected, [])
    # Of the whole file, whichever the shard.
    content = {"published": settings.published, "passages": documents, "rows_repeated": ready.repeated}
    write_json(summary, content)
    if ready.repeated:
        print(f"synthesis: left out {ready.repeated} rows of {settings.published} that repeat others", file=sys.stderr)


def _run(
    settings: Synthesis,
    seed: int,
    tasks: ShardWork | list[Task],
    forecast: Forecast,
    engine: TextEngine,
    state: Path,
    take: Callable[[Outcome], None],
) -> loop.Work:
    plan = TaskPlan(
        tuple(settings.question_sources),
        settings.max_rounds,
        settings.questions_per_round,
        settings.model_validation,
        Drawing(settings.temperature, settings.top_p, settings.max_new_tokens, seed),
        settings.exclude_uncovered,
    )
    told = False

    def watch(outcome: Outcome, done: loop.Work) -> None:
        nonlocal told
        forecast.add(outcome)
        progress.update(forecast.seen.total())
        if not told and forecast.ready():
            told = True
            content = forecast.content(done, start_seconds=_start_seconds(engine))
            print(f"synthesis: {sentence(content, settings.shards)}", file=sys.stderr)

    cache = ReplyCache(state)
    try:
        with Progress("synthesis", total=len(tasks), unit="passages and kinds") as progress:
            return loop.run((steps(*task, plan) for task in tasks), engine, cache, take=take, on_outcome=watch)
    finally:
        cache.close()
        engine.close()


def _start_seconds(engine: TextEngine) -> float:
    return engine.seconds if isinstance(engine, Deferred) else 0.0


def _engine(settings: Synthesis, dtype: str, card: Path, state: Path, cpu_threads: int | None) -> TextEngine:
    if settings.engine == "openai":
        folder = Path(settings.model or str(read_json(card)["path"]))
        identity = f"openai {folder}"
    else:
        folder = _folder(settings.model, card)
        known = {} if settings.model else read_json(card).get("files", {})
        identity = with_threads(model_identity(folder, dtype, state=state, known=known), cpu_threads)

    def start() -> TextEngine:
        return choose(
            settings.engine,
            folder,
            dtype=dtype,
            identity=identity,
            base_url=settings.base_url,
            tensor_parallel=settings.tensor_parallel,
            cpu_threads=cpu_threads,
            log=state / "server.log",
        )

    return Deferred(start, name=settings.engine, model=identity)


def _folder(model: str | None, card: Path) -> Path:
    """The folder of the generator: the backbone's, a given folder, or a download from the Hub."""
    if model is None:
        return Path(card).parent / str(read_json(card)["path"])
    if Path(model).is_dir():
        return Path(model)
    if Path(model).exists() or model.startswith((".", "/", "~")):
        raise ConfigError(f"synthesis.model = {model} is no model folder; name one, or a Hub model")
    return fetch_model(model, revision=None, setting="synthesis.model", trust_remote_code=False)


def _show(outcomes: Outcomes, content: Mapping[str, Any]) -> None:
    counts = {"accepted": outcomes.accepted, "rejected": outcomes.rejected}
    keys = ("passages", "failed_passages", "requests", "requests_from_cache", "seconds")
    shown = counts | {key.replace("_", " "): content[key] for key in keys}
    print("synthesis: " + ", ".join(f"{key} {value}" for key, value in shown.items()), file=sys.stderr)
    for reason, number in Counter(content["quarantine"].values()).most_common(REASONS_SHOWN):
        print(f"synthesis: quarantined {number}: {reason}", file=sys.stderr)


def _check_failures(content: Mapping[str, Any], max_share: float, quarantine: Path) -> None:
    failed = content["failed_passages"]
    if failed > max_share * content["passages"]:
        place, reason = next(iter(content["quarantine"].items()))
        raise DataError(
            f"{failed} of {content['passages']} passages failed, more than synthesis.max_failed_share = {max_share} "
            f"allows; the first was {place}: {reason}; see {quarantine}, then mend the cause and run again"
        )
