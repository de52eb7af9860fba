"""Settings of evaluation and report."""

from typing import Annotated, Literal

from pydantic import Field

from clara.config.base import Distinct, Strict, Text, matching

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


class Evaluation(Strict):
    top_k: int = Field(ge=1)
    """Documents that the generator reads; paper 5."""
    generation: Generation
    scoring: Scoring
    baselines: Distinct[Literal["no_retrieval", "text_rag", "bm25"]]
    """no_retrieval: the backbone alone. text_rag: the backbone with the text of BM25's best documents.
    bm25: ranking only."""
    memory_use_examples: int = Field(ge=8)
    """Held-out examples of the memory-use diagnostic."""


class Paper(Strict):
    backbone: PaperBackbone
    """Whose numbers of the paper stand beside ours: Mistral-7B's or Phi4-mini's."""
    complete: Distinct[Annotated[str, matching(r"table_\d+|scorecard", "table_ and its number, or scorecard")]]
    """Tables for which every number is made that ratios, inits and variants name, whatever else is asked for."""


class Report(Strict):
    title: Text
    """Heading of the page."""
    questions_shown: int | None = Field(ge=0)
    """Questions of each benchmark and setting that the page lists with every system's answer; null lists all."""
