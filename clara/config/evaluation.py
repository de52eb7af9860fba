"""Settings of evaluation and report."""

from typing import Annotated, Literal

from pydantic import Field

from clara.config.base import Distinct, Location, Strict, Text, matching

PER_RATIO = ("hard_words", "llmlingua2")
"""Baselines that shorten text to the tokens of a memory: one system a ratio, `hard_words_cr16`."""

Baseline = Literal[
    "no_retrieval", "text_rag", "text_rag_tuned", "hard_words", "llmlingua2", "bm25", "dense", "cross_encoder"
]
PaperBackbone = Literal["mistral", "phi4"]


class Generation(Strict):
    max_new_tokens: int = Field(ge=1)
    """Tokens of an answer at most."""
    batch_size: int = Field(ge=1)
    """Questions answered together."""
    engine: Literal["auto", "transformers", "vllm"]
    """What writes answers. vllm: many at once, memories as prompt embeddings; in float32 the same answers as
    transformers', in bfloat16 close decisions may turn. auto: vllm on a GPU where it can run, else transformers."""


class Scoring(Strict):
    recall_at: Distinct[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    """Cut-offs of Recall@k."""
    bootstrap_samples: int = Field(ge=100)
    """Resamples behind each interval."""
    confidence: float = Field(gt=0.5, lt=1)
    """Coverage of the intervals."""


class OtherModel(Strict):
    source: Location | None
    """`package:DISTRIBUTION/FOLDER`, a local folder, or a Hub name; null: none."""
    revision: Text | None
    """Commit or tag of a Hub model; null takes its default branch."""
    max_tokens: int = Field(ge=8)
    """Tokens of a text, or of a question with a document, that the model reads; the rest is cut."""
    batch_size: int = Field(ge=1)
    """Texts read together."""


class Dense(OtherModel):
    pooling: Literal["mean", "first"]
    """How a text's states become one vector: their mean, or that of the first token."""
    question_prefix: str
    """What the model expects before a question (`query: ` of E5)."""
    document_prefix: str
    """And before a document."""


class Released(Strict):
    source: Location
    """Folder of a checkpoint of the released code, of its last stage."""
    base: Text | None
    """Its base model, a folder or Hub name; null takes the one that the checkpoint names."""


class Evaluation(Strict):
    top_k: int = Field(ge=1)
    """Documents that the generator reads; paper 5."""
    generation: Generation
    scoring: Scoring
    baselines: Distinct[Baseline]
    """Other systems, each asked the same questions: docs/evaluation.md says what each does."""
    dense: Dense
    """The bi-encoder of baseline `dense`."""
    cross_encoder: OtherModel
    """The model for sequence classification of baseline `cross_encoder`."""
    llmlingua2: OtherModel
    """The model for token classification (drop, keep) of baseline `llmlingua2`."""
    released: dict[str, Released]
    """Checkpoints of the released code by a name of ours, each a system `released_NAME`."""
    memory_use_examples: int = Field(ge=8)
    """Held-out examples of the memory-use diagnostic."""


class Paper(Strict):
    backbone: PaperBackbone
    """Whose numbers of the paper stand beside ours: Mistral-7B's or Phi4-mini's."""
    complete: Distinct[
        Annotated[
            str,
            matching(
                r"table_\d+|ablation_[a-z]+|scorecard", "table_ and its number, ablation_ and a word, or scorecard"
            ),
        ]
    ]
    """Tables for which every number is made that ratios, inits and variants name, whatever else is asked for."""
    lies_over: Distinct[Text]
    """Configuration files that a run's own lies over: a run without them is refused, and commands name them first."""


class Report(Strict):
    title: Text
    """Heading of the page."""
    questions_shown: int | None = Field(ge=0)
    """Questions of each benchmark and setting that the page lists with every system's answer; null lists all."""
