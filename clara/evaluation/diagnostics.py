"""Diagnostics of a checkpoint: words that its memories lie near, how its training ended, which adapter moved.

Measured beside memory use, on a few test questions; cheap, and not a measure of quality.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clara.json_lines import read_json_lines
from clara.model.adapters import COMPRESSOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.records import Question

TEXTS = 2
"""Documents that are looked at."""
ASKED = 64
"""Questions of each pool whose words are read for the report's list of questions."""
LENS_TOKENS = 50
"""Tokens of each query memory under the head, as in the paper's case study."""
WORDS_SHOWN = 12
NEAREST = 3
"""Tokens listed for each document memory."""
BATCH_TOKENS = 4096
GRADIENT_NORM = "grad_norm_"
"""Begins the name of an adapter's gradient norm in a history."""


@torch.inference_mode()
def diagnose(
    model: ClaraModel, questions: Sequence[Question], history: Path | None, *, asked: Iterable[str] | None = None
) -> dict[str, Any]:
    """The content of `diagnostics.json`.

    Args:
        model: compressor and, where there is one, query reasoner are used.
        questions: the first gold document of each of the first `TEXTS` is looked at.
        asked: questions whose memories' words are read, equal ones once; by default these `TEXTS`.
        history: the checkpoint's `history.jsonl`; None for one that was trained elsewhere.
    """
    chosen = questions[:TEXTS]
    documents = list(dict.fromkeys(question.docs[question.pos_index[0]] for question in chosen))
    memories = _memories(model, COMPRESSOR, documents)
    read_of = []
    if model.has_query_reasoner:
        texts = list(dict.fromkeys(asked or (question.question for question in chosen)))
        for text, vectors in zip(texts, _memories(model, QUERY_REASONER, texts), strict=True):
            words = lens_words(model, vectors)
            read_of.append(
                {"question": text, "words": words, "new": [w for w in words if w.lower() not in text.lower()]}
            )
    read = [
        {"document": text, "nearest": nearest_tokens(model, vectors)}
        for text, vectors in zip(documents, memories, strict=True)
    ]
    return {**training_end(history), "documents": read, "share_named": _share_named(read), "questions": read_of}


def training_end(history: Path | None) -> dict[str, Any]:
    """First and last validation loss and, by adapter, the gradient norm of the last logged step."""
    rows: list[dict[str, Any]] = [row for _, row in read_json_lines(history)] if history else []
    validation = [row["loss"] for row in rows if row["split"] == "validation"]
    steps = [row for row in rows if row["split"] == "train"]
    last = steps[-1] if steps else {}
    norms = {key.removeprefix(GRADIENT_NORM): value for key, value in last.items() if key.startswith(GRADIENT_NORM)}
    ends = {"first": validation[0], "last": validation[-1]} if validation else None
    return {"steps": last.get("step", 0), "validation_loss": ends, "gradient_norms": norms}


def lens_words(model: ClaraModel, memory: Float[Tensor, "memory dim"]) -> list[str]:
    """Logit lens: words that the language model's head gives most probability at a question's memories, best first.

    Tokens without a letter or digit are left out (paper, case study). Meant for the plain form, whose memories are
    last hidden states; memories of the pooled form lie among the input embeddings, which the head knows where it is
    tied to them.
    """
    logits = model.backbone.logits(memory.to(model.backbone.device, model.backbone.dtype))
    best = logits.log_softmax(-1).topk(min(LENS_TOKENS, logits.shape[-1]), dim=-1)
    found: dict[str, float] = {}
    for token, value in zip(best.indices.flatten().tolist(), best.values.flatten().tolist(), strict=True):
        word = _word(model, token)
        if word and value > found.get(word, -float("inf")):
            found[word] = value
    return sorted(found, key=lambda word: (-found[word], word))[:WORDS_SHOWN]


def nearest_tokens(model: ClaraModel, memory: Float[Tensor, "memory dim"]) -> list[list[str]]:
    """For each memory vector the tokens whose input embeddings have the highest cosine with it, nearest first."""
    table = model.backbone.model.get_input_embeddings().weight
    vectors = torch.nn.functional.normalize(memory.to(table.device).float(), dim=-1)
    scores = vectors @ torch.nn.functional.normalize(table.float(), dim=-1).T
    tokens = scores.topk(NEAREST, dim=-1).indices.tolist()
    return [[model.backbone.tokenizer.decode([token]).strip() for token in row] for row in tokens]


def _memories(model: ClaraModel, role: str, texts: Sequence[str]) -> Tensor:
    inputs = [model.tokens.to_compress(text) for text in texts]
    return encode_texts(model, inputs, batch_tokens=BATCH_TOKENS, role=role)


def _word(model: ClaraModel, token: int) -> str:
    text: str = model.backbone.tokenizer.decode([token]).strip()
    special = token in model.backbone.tokenizer.all_special_ids
    return text if not special and any(character.isalnum() for character in text) else ""


def _share_named(read: Sequence[Mapping[str, Any]]) -> float:
    """Share of document memories of whose nearest tokens one with a letter or digit occurs in the document."""
    named = [
        any(token.lower() in entry["document"].lower() for token in tokens if any(map(str.isalnum, token)))
        for entry in read
        for tokens in entry["nearest"]
    ]
    return round(sum(named) / max(len(named), 1), 4)
