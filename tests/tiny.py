"""A world small enough for every test: documents, questions, pairs, and a model with random weights."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from clara.config.training import Optimization
from clara.model import backbone, backbone_folder, checkpoint
from clara.model.adapters import COMPRESSOR
from clara.model.backbone import LoadedBackbone
from clara.model.backbone_card import BackboneCard
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel, Shape
from clara.model.compression import build_store
from clara.records import Pair, Passage, Question, document_id, text_id
from clara.training.examples import Example, pretraining_examples
from clara.training.question_examples import joint_examples

TEXTS = [
    "Aro\nAro is a city in the north.",
    "Bel\nBel was founded in 1887 by 12 people; in 2003 there were 4,596 of them, and many left.",
    "Cid\nThe painter lived in Cid.",
    "Dun\nIt is second to Aro. Yes, it is.",
    "Eor\nWhere the river ends, the town of Eor begins, first of the south.",
    "Fax\nNo.",
]
"""Documents of unequal length, `Title\\nText`."""


def prepare(family: str, folder: Path) -> BackboneCard:
    """A two-layer model of `family` with random weights, prepared under `folder`."""
    return backbone_folder.prepare(
        f"random:{family}", folder / "card.json", seed=7, revision=None, trust_remote_code=False
    )


def tied_otherwise(family: str, folder: Path) -> LoadedBackbone:
    """A random model of `family` whose head is tied where the family's is not, and the other way round."""
    automatic: Any = AutoModelForCausalLM
    card = prepare(family, folder / "first")
    model = automatic.from_pretrained(card.folder).eval()
    tied = model.config.tie_word_embeddings
    if tied:
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().flip(0).clone())
    model.config.tie_word_embeddings = not tied
    model.tie_weights()
    model.save_pretrained(folder / "weights")
    AutoTokenizer.from_pretrained(card.folder).save_pretrained(folder / "weights")
    source = str(folder / "weights")
    prepared = backbone_folder.prepare(source, folder / "card.json", seed=0, revision=None, trust_remote_code=False)
    loaded = backbone.load(prepared, dtype="float32")
    shared = loaded.model.get_output_embeddings().weight is loaded.model.get_input_embeddings().weight
    assert shared == (not tied)
    return loaded


def shape(**changes: Any) -> Shape:
    """Four memories of documents of up to 32 tokens, rank 4, no dropout."""
    values: dict[str, Any] = {
        "num_memory": 4, "document_max_tokens": 32, "form": "pooled", "rank": 4, "alpha": 8, "dropout": 0.0
    }  # fmt: skip
    return Shape(**{**values, **changes})


def model(loaded: LoadedBackbone, **changes: Any) -> ClaraModel:
    """A fresh model on a copy of `loaded`, its adapters stirred so that each says something of its own."""
    made = ClaraModel(fresh(loaded), shape(**changes), seed=3)
    stir(made)
    return made


def fresh(loaded: LoadedBackbone) -> LoadedBackbone:
    """A copy that shares nothing that a test could change."""
    return LoadedBackbone(copy.deepcopy(loaded.model), copy.deepcopy(loaded.tokenizer), loaded.end_of_turn, loaded.card)


def stir(made: ClaraModel, *, seed: int = 0) -> None:
    """Gives every adapter random B matrices: untrained ones are zero and would hide mistakes."""
    chance = torch.Generator().manual_seed(seed)
    for role in made.roles:
        for parameter in made.adapters.parameters(role):
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=chance).to(parameter.device)


def passages() -> list[Passage]:
    """`TEXTS` as passages."""
    rows = [text.split("\n", 1) for text in TEXTS]
    return [Passage(id=document_id(f"{title}\n{text}"), title=title, text=text) for title, text in rows]


def question(number: int, *, docs: Sequence[int], gold: Sequence[int], answer: str = "Aro") -> Question:
    """A question about documents given by their number in `TEXTS`."""
    return Question(
        id=f"q{number}",
        question=f"Where is number {number}?",
        golden_answers=[answer],
        docs=[TEXTS[index] for index in docs],
        pos_index=list(gold),
        bm25=[0.73 if "Where" in TEXTS[index] else 0.0 for index in docs],
    )


def questions() -> list[Question]:
    """Four questions whose pools differ in size."""
    return [
        question(0, docs=[0, 1, 2, 3], gold=[0], answer="north"),
        question(1, docs=[2, 1, 4], gold=[1], answer="1887"),
        question(2, docs=[5, 4, 3, 2, 1, 0], gold=[3], answer="the painter"),
        question(3, docs=[4, 0, 1, 5], gold=[0], answer="Eor, first of the south"),
    ]


def pairs() -> list[Pair]:
    """Two questions and a paraphrase of every document."""
    rows = []
    for text in TEXTS:
        title, body = text.split("\n", 1)
        for kind, asked, answer in (
            ("simple", f"Where is {title}?", body),
            ("simple", f"Who left {title}?", title),
            ("paraphrase", "", f"{body} {title}."),
        ):
            rows.append(
                Pair.model_validate(
                    {
                        "id": text_id(f"{kind}{text}{asked}"),
                        "document_id": document_id(text),
                        "document": text,
                        "kind": kind,
                        "question": asked,
                        "answer": answer,
                    }
                )
            )
    return rows


def pair_examples(made: ClaraModel, **changes: Any) -> list[Example]:
    """Pretraining examples of `pairs`."""
    options: dict[str, Any] = {"kinds": ["simple", "paraphrase"], "qa_target": "answer", "max_target_tokens": 24}
    return list(pretraining_examples(pairs(), made.tokens, **{**options, **changes}))


def question_examples(made: ClaraModel, *, top_k: int = 2) -> list[Example]:
    """Joint examples of `questions`."""
    return list(joint_examples(questions(), made.tokens, top_k=top_k, max_target_tokens=12))


def plan(**changes: Any) -> Optimization:
    """A few steps over batches of four."""
    values: dict[str, Any] = {
        "steps": 6, "batch_size": 4, "micro_batch_size": 2, "micro_batch_tokens": None, "learning_rate": 1e-2,
        "schedule": "cosine", "min_learning_rate_ratio": 0.1, "warmup_ratio": 0.2, "weight_decay": 0.0,
        "max_grad_norm": 1.0, "gradient_checkpointing": False, "log_every": 1, "validate_every": 3, "save_every": 2,
        "validation_examples": 2,
    }  # fmt: skip
    return Optimization(**{**values, **changes})


def save(made: ClaraModel, folder: Path, *, stage: str = "pretraining") -> Path:
    """The card of a checkpoint of `made`."""
    checkpoint.save(folder, made, stage=stage, learned=[COMPRESSOR], parent=None, card_name="card.json")
    return folder / "card.json"


def between(compressor: str, best: Sequence[float]) -> dict[str, Any]:
    """A calibration, as JSON, by which the question with the lowest of the best scores is not answered."""
    lowest, next_ = sorted(best)[:2]
    weight = 20 / (next_ - lowest)
    numbers = {"fitted": 1, "held_out": 1, "auroc": 1.0, "answered": 1.0, "refused": 1.0, "brier": 0.0}
    weights = [weight, 0.0, -weight * (lowest + next_) / 2]
    return {"compressor_hash": compressor, "weights": weights, "threshold": 0.5, **numbers}


def store(loaded: LoadedCheckpoint, folder: Path, **changes: Any) -> Path:
    """The manifest of a store of `passages`."""
    options: dict[str, Any] = {"dtype": "float32", "shard_documents": 4, "batch_tokens": 128}
    manifest = folder / "store" / "manifest.json"
    build_store(loaded, passages(), manifest, state=folder / "state", **{**options, **changes})
    return manifest


def encoder(folder: Path) -> Path:
    """A BERT of two layers with random weights and a vocabulary of a dozen words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(exist_ok=True)
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] aro is a city in the north".split()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder
