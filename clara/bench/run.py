"""A benchmark run: everything that is measured, in one process, and the files that say so."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from clara.bench import report
from clara.bench.break_even import BreakEven, break_even
from clara.bench.large import Searched, search_store
from clara.bench.measure import measure, profile_of
from clara.bench.store_types import compare_types, pool_of_pairs
from clara.bench.throughput import ON_CPU, ON_GPU, Throughput, shaped, throughput
from clara.bench.works import BATCH_TOKENS, Bench, pretraining_examples, works
from clara.config.evaluation import Generation
from clara.environment import describe
from clara.evaluation.answering import read_pools
from clara.files import write_json, write_text
from clara.model import backbone as backbones
from clara.model import checkpoint
from clara.model.adapters import QUERY_REASONER
from clara.model.backbone_card import read_backbone_card
from clara.model.checkpoint import CheckpointCard, LoadedCheckpoint
from clara.model.clara import ClaraModel, Shape
from clara.model.compression import build_store
from clara.model.encoding import encode_texts
from clara.model.store import DOCUMENTS, MemoryStore
from clara.records import Pair, Passage, Question, document_id
from clara.row_files import read_rows

PARTS = ("throughput", "works", "search", "break_even")
RATIO = 16
SHORT, LONG = 142, 256
"""Tokens of a document: the demo's mean, and the most."""
TIMED_DOCUMENTS = 32
TIMED_QUESTIONS = 32


def everything(
    backbone: Path,
    documents: Path,
    candidates: Sequence[Path],
    output: Path,
    *,
    dtype: str,
    attention: str,
    rounds: int,
    count: int,
    batches: Sequence[int],
    parts: Sequence[str] = PARTS,
    compiled: bool = False,
    profiled: bool = False,
) -> None:
    """Measures throughput, works, search and break-even and writes each to a file of `output`.

    Args:
        backbone: card of a prepared backbone; its adapters are untrained, which costs the same as trained.
        documents: passages to compress.
        candidates: questions with pools of those passages.
        output: a folder.
        dtype: precision.
        attention: attention implementation.
        rounds: pairs of timings of each work.
        count: documents of the store that is searched.
        batches: questions answered together, for the break-even.
        parts: what is measured, of PARTS.
        compiled: compile the body for training and compressing, as backbone.compile does.
        profiled: also write where the time of compressing goes, by kernel, to profile.txt.
    """
    set_up: dict[str, Any] = describe(inputs=[backbone, documents, *candidates])
    set_up |= {"dtype": dtype, "attention": attention, "compiled": compiled, "ratio": RATIO}
    set_up |= {"torch_threads": torch.get_num_threads()}
    set_up |= {"gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none at hand"}
    passages = read_rows(Passage, documents)
    asked = [question for path in candidates for question in read_rows(Question, path)]
    tables = []

    def kept(part: str, rows: list[dict[str, Any]], table: str) -> None:
        write_json(output / f"{part}.json", {"set_up": set_up, part: rows})
        tables.append(table)
        print(table)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = _bench(backbone, passages, asked, folder, dtype=dtype, attention=attention, compiled=compiled)
        for part in parts:
            print(f"measuring {part}", file=sys.stderr)
            if part == "throughput":
                rates = _throughput(bench, passages, profile=output / "profile.txt" if profiled else None)
                kept(part, *_rows(rates))
            elif part == "works":
                measured = [measure(work, rounds=rounds) for work in works(bench)]
                kept(part, report.rows(measured), report.works_table(measured))
            elif part == "search":
                searched = _searches(bench, folder, count)
                kept(part, [asdict(found) for found in searched], report.searches_table(searched))
            else:
                kept(part, *_rows([_break_even(bench, tokens, batch) for tokens in (SHORT, LONG) for batch in batches]))
    write_text(output / "README.md", report.page(set_up, tables))


def _ready(bench: Bench) -> ClaraModel:
    """The model as it answers."""
    model = bench.loaded.model
    model.set_learning([])
    model.adapters.cast(model.backbone.dtype)
    return model.eval()


def _searches(bench: Bench, folder: Path, count: int) -> list[Searched]:
    """Of a store of `count` documents and of one of a quarter: time grows, memory does not."""
    model, store = _ready(bench), MemoryStore(bench.store)
    inputs = [model.tokens.to_compress(question.question) for question in bench.questions]
    queries = encode_texts(model, inputs, batch_tokens=BATCH_TOKENS, role=QUERY_REASONER).float()
    memories = store.rows(range(store.manifest.num_documents))
    return [search_store(memories, queries, folder / str(size), count=size) for size in (count // 4, count)]


def _break_even(bench: Bench, tokens: int, batch: int) -> BreakEven:
    return break_even(_ready(bench), bench.bare, document_tokens=tokens, batch=batch, top_k=5, max_new_tokens=24)


def _rows(found: Sequence[Any]) -> tuple[list[dict[str, Any]], str]:
    """Dataclasses as plain data and as a table."""
    rows = [asdict(row) for row in found]
    return rows, report.table(*_columns(rows))


def store_types(
    card: Path, store: Path, candidates: Sequence[Path], output: Path, *, dtype: str, pairs: Path | None = None
) -> None:
    """Compares the types of store by a trained checkpoint's Recall@5 and F1 and writes `store_types.json`."""
    loaded = checkpoint.load(card, dtype=dtype, inference=True)
    generation = Generation(max_new_tokens=24, batch_size=32, engine="transformers")
    with tempfile.TemporaryDirectory() as folder:
        pools = read_pools(candidates)
        if pairs is not None:
            pools.append(pool_of_pairs(read_rows(Pair, pairs), read_rows(Passage, store.parent / DOCUMENTS)))
        found = compare_types(loaded, store, pools, Path(folder), top_k=3, generation=generation)
    rows = [asdict(row) for row in found]
    set_up = describe(inputs=[card, store, *candidates, *([pairs] if pairs else [])])
    write_json(output / "store_types.json", {"set_up": set_up, "store_types": rows})
    print(report.table(*_columns(rows)))


def _throughput(bench: Bench, passages: Sequence[Passage], *, profile: Path | None) -> list[Throughput]:
    """Of the bench's model, and on a GPU of one shaped like a 7B model too, with random weights."""
    gpu = torch.cuda.is_available()
    models = [bench.loaded.model]
    if gpu:
        shape = replace(bench.loaded.model.shape, form="plain")
        models.append(ClaraModel(shaped(bench.loaded.model.backbone), shape).eval())
    texts = [passage.document for passage in passages]
    texts = texts[:: max(1, len(texts) // ON_CPU.documents)]
    rates = []
    for model in models:
        examples = pretraining_examples(model, bench.questions)
        rates += throughput(model, texts, examples, ON_GPU if gpu else ON_CPU)
        if profile is not None:
            inputs = [model.tokens.to_compress(text) for text in texts[:64]]
            kernels = profile_of(partial(encode_texts, model, inputs, batch_tokens=BATCH_TOKENS))
            write_text(profile, kernels if model is models[0] else profile.read_text("utf-8") + kernels)
    return rates


def _bench(
    card: Path,
    passages: Sequence[Passage],
    asked: Sequence[Question],
    folder: Path,
    *,
    dtype: str,
    attention: str,
    compiled: bool,
) -> Bench:
    """The model, and a store of the documents that the timed works read, and as many more as are compressed."""
    origin = read_backbone_card(card)
    bare = backbones.load(origin, dtype=dtype, attention=attention)
    backbone = backbones.load(origin, dtype=dtype, attention=attention, compiled=compiled)
    model = ClaraModel(backbone, Shape(256 // RATIO, 256, "pooled", 16, 32, 0.0))
    model.set_salience([passage.document for passage in passages])
    model.add_query_reasoner("compressor")
    about = CheckpointCard(
        stage="joint", shape=model.shape, backbone=str(card), model_hash="", tokenizer_hash="", learned=[],
        roles=list(model.roles),
    )  # fmt: skip
    loaded = LoadedCheckpoint(model.requires_grad_(False).eval(), about, "bench")
    needed = {document_id(text) for question in asked[: Bench.answered] for text in question.docs}
    stored = [passage for passage in passages if passage.id in needed]
    manifest = folder / "store" / "manifest.json"
    # Adapters still train, in float32; afterwards `works` casts them.
    with torch.autocast(backbone.device.type, dtype=backbone.dtype, enabled=backbone.dtype != torch.float32):
        build_store(
            loaded, stored, manifest, state=folder / "state", dtype="bfloat16", shard_documents=2048,
            batch_tokens=BATCH_TOKENS,
        )  # fmt: skip
    # Every k-th, so that the timed documents have the lengths of all.
    timed = passages[:: max(1, len(passages) // TIMED_DOCUMENTS)][:TIMED_DOCUMENTS]
    return Bench(loaded, bare, timed, asked[:TIMED_QUESTIONS], manifest)


def _columns(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    shown = [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    return [name.replace("_", " ") for name in rows[0]], shown
