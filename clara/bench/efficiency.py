"""What an answer costs, from text and from memories: seconds by part, and bytes (paper, Table 15).

One question at a time, as a person waits for it. Both ways write the same number of tokens. `compress` is the price of
the question's whole pool, which ours pays once for all questions and a run without a store would pay each time.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from clara.bench.measure import seconds
from clara.data.bm25 import Bm25
from clara.data.candidates import rank_candidates
from clara.evaluation.answering import Pool
from clara.model.adapters import GENERATOR, QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.model.packing import bytes_per_document
from clara.model.store import MemoryStore
from clara.records import Question
from clara.tokens import AddedIds, Encoder

BATCH_TOKENS = 4096
Cost = dict[str, float]


def choose(pools: Sequence[Pool], count: int) -> list[Question]:
    """`count` questions, in turn from the pools."""
    longest = max((len(pool.questions) for pool in pools), default=0)
    return [pool.questions[rank] for rank in range(longest) for pool in pools if rank < len(pool.questions)][:count]


def measure(
    model: ClaraModel,
    bare: LoadedBackbone,
    store: MemoryStore,
    questions: Sequence[Question],
    *,
    top_k: int,
    new_tokens: int,
    k1: float,
    b: float,
) -> dict[str, Any]:
    """The content of `efficiency/{system}.json`: medians over the questions, for memories and for text.

    Args:
        model: with a query reasoner.
        bare: the same language model without adapters, for text.
        store: memories of all candidates.
        questions: asked one after the other; the first is asked once more before, to warm up.
        top_k: documents that an answer reads.
        new_tokens: tokens of every answer.
        k1, b: of the BM25 that is timed; the scores of the candidates choose the documents of text.
    """
    ways: dict[str, Callable[[Question], Cost]] = {
        "memories": lambda asked: _from_memories(model, store, asked, top_k, new_tokens),
        "text": lambda asked: _from_text(bare, asked, top_k, new_tokens, k1, b),
    }
    found = {}
    for name, way in ways.items():
        way(questions[0])
        costs = [way(asked) for asked in questions]
        found[name] = {key: _median([cost[key] for cost in costs]) for key in costs[0]}
    device = model.backbone.device
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "dtype": str(model.backbone.dtype).removeprefix("torch."),
        "questions": len(questions),
        "top_k": top_k,
        "new_tokens": new_tokens,
        "stored_bytes_per_document": bytes_per_document(
            store.manifest.num_memory, store.manifest.dim, store.manifest.dtype
        ),
        "ways": found,
    }


def _median(values: Sequence[float]) -> float:
    """Whole numbers as they are, seconds and rates with six digits."""
    middle = statistics.median(values)
    return int(middle) if float(middle).is_integer() else float(f"{middle:.6g}")


def _from_memories(model: ClaraModel, store: MemoryStore, asked: Question, top_k: int, new_tokens: int) -> Cost:
    inputs = [model.tokens.to_compress(text) for text in asked.docs]
    once, _ = seconds(lambda: encode_texts(model, inputs, batch_tokens=BATCH_TOKENS))

    def select() -> Tensor:
        question = encode_texts(model, [model.tokens.to_compress(asked.question)], batch_tokens=BATCH_TOKENS,
                            role=QUERY_REASONER)  # fmt: skip
        memories = store.memories(asked.docs)
        best = model.scores(question, memories[None])[0].topk(min(top_k, len(asked.docs))).indices
        return memories[best]

    search, chosen = seconds(select)
    prompt = model.tokens.answer_prompt(asked.question, len(chosen))

    def embed() -> Tensor:
        ids = torch.tensor([prompt])  # on the host, as embed takes them
        return model.generator.embed(model.backbone, ids, chosen.to(model.backbone.device), model.added)

    with model.adapters.merged(GENERATOR):
        written = _write(model.backbone, embed, new_tokens)
    return _cost(written, compress=once, search=search, prompt_tokens=len(prompt))


def _from_text(bare: LoadedBackbone, asked: Question, top_k: int, new_tokens: int, k1: float, b: float) -> Cost:
    tokens = Encoder(
        bare.tokenizer, end_of_turn=bare.end_of_turn, added=AddedIds(bare.vocab_size, 0), document_max_tokens=1
    )
    index = Bm25(asked.docs, k1=k1, b=b)  # built once for all questions in use, as the store is
    search, _ = seconds(lambda: index.scores(asked.question))
    read = rank_candidates(asked).ranking[:top_k]
    prompt = tokens.answer_prompt(asked.question, [asked.docs[index] for index in read])
    table = bare.model.get_input_embeddings()
    written = _write(bare, lambda: table(torch.tensor([prompt], device=bare.device)), new_tokens)
    return _cost(written, compress=0.0, search=search, prompt_tokens=len(prompt))


def _cost(written: Cost, *, compress: float, search: float, prompt_tokens: int) -> Cost:
    return {
        "compress_seconds": compress,
        "search_seconds": search,
        "prefill_seconds": written["prefill"],
        "first_token_seconds": search + written["prefill"],
        "decode_seconds": written["decode"],
        "answer_seconds": search + written["prefill"] + written["decode"],
        "tokens_per_second": written["tokens_per_second"],
        "prompt_tokens": prompt_tokens,
        "cache_bytes": written["cache"],
        "peak_bytes": written["peak"],
    }


@torch.inference_mode()
def _write(backbone: LoadedBackbone, embed: Callable[[], Tensor], new_tokens: int) -> Cost:
    """Seconds of reading the prompt (its first token included) and of writing the rest, greedily, at full length.

    `peak` counts what the device held above what it held before; 0 on a CPU, which does not tell.
    """
    gpu = backbone.device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats(backbone.device)
    held = torch.cuda.memory_allocated(backbone.device) if gpu else 0
    cache: Any = DynamicCache()
    prefill, token = seconds(lambda: _next(backbone, {"inputs_embeds": embed()}, cache))
    decode, _ = seconds(lambda: _rest(backbone, token, cache, new_tokens - 1))
    size = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    peak = torch.cuda.max_memory_allocated(backbone.device) - held if gpu else 0
    return {
        "prefill": prefill,
        "decode": decode,
        "tokens_per_second": (new_tokens - 1) / decode,
        "cache": size,
        "peak": peak,
    }


def _next(backbone: LoadedBackbone, given: dict[str, Tensor], cache: DynamicCache) -> Tensor:
    read = backbone.model(**given, past_key_values=cache, use_cache=True, logits_to_keep=1)
    token: Tensor = read.logits[:, -1:].argmax(-1)
    return token


def _rest(backbone: LoadedBackbone, token: Tensor, cache: DynamicCache, count: int) -> None:
    for _ in range(count):
        token = _next(backbone, {"input_ids": token}, cache)
