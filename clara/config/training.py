"""Settings of the three training stages and of compression."""

from typing import Annotated, Literal

from pydantic import Field

from clara.config.base import ASIDE, Distinct, Strict


class Optimization(Strict):
    steps: int = Field(ge=0)
    """Optimizer steps; 0 leaves everything as it starts, validated and saved (Table 3, no pretraining)."""
    batch_size: int = Field(ge=1)
    """Examples of one optimizer step, over all processes and accumulated micro-batches."""
    micro_batch_size: int = Field(ge=1)
    """Examples of one micro-batch at most; bounds memory, does not change results beyond rounding."""
    micro_batch_tokens: int | None = Field(ge=1)
    """Positions of all forward passes over one micro-batch at most, padding included, of examples sorted by length; a
    longer example goes alone. null: no such bound, and every micro-batch has micro_batch_size examples."""
    learning_rate: float = Field(gt=0)
    """Peak learning rate of AdamW; paper 1e-4 (pretraining, instruction), 5e-6 (joint)."""
    schedule: Literal["cosine", "constant"]
    """cosine falls to min_learning_rate_ratio of the peak; both warm up first."""
    min_learning_rate_ratio: float = Field(ge=0, le=1)
    """Last learning rate of the cosine, as a share of the peak."""
    warmup_ratio: float = Field(ge=0, lt=1)
    """Share of the steps in which the learning rate rises from 0; paper 0.03."""
    weight_decay: float = Field(ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(gt=0)
    """Gradients are scaled down to this norm; paper 1.0."""
    gradient_checkpointing: bool
    """Recompute layers in the backward pass: less memory, about a third more time, same gradients."""
    log_every: int = Field(ge=1)
    """Steps between two logged training losses."""
    validate_every: int = Field(ge=1)
    """Steps between two validations; one more runs before the first and after the last step."""
    save_every: Annotated[int, Field(ge=1), ASIDE]
    """Steps between two saved states to resume from."""
    validation_examples: int = Field(ge=1)
    """Examples held out for validation, at most a fifth of all."""


class Pretraining(Strict):
    optimization: Optimization
    mse_weight: float = Field(ge=0)
    """Weight of the alignment loss (eq. 2.1); paper 0.1."""
    mse_reduction: Literal["mean", "sum"]
    """Over the width: mean as in the released code, sum as in the paper's formula, read literally."""
    qa_target: Literal["list", "answer"]
    """list: the model writes all questions and answers of a document (paper). answer: the question is given, the
    answer is written, one pair an example."""
    rows: Literal["accepted", "all", "templates"]
    """Which synthesized rows are trained on. all: rejected ones too, among the others. templates: accepted ones made by
    rule alone."""
    kinds: Distinct[Literal["simple", "complex", "paraphrase"]] = Field(min_length=1)
    """Of which kinds (Tables 3 and 19)."""
    document_share: float = Field(gt=0, le=1)
    """Of which share of the documents (Table 11); a smaller choice is part of a larger one."""
    pairs_together: int = Field(ge=1)
    """Examples of one document that follow one another; in one micro-batch their document is compressed once."""
    max_target_tokens: int = Field(ge=8)
    """Longest target; a list is shortened by whole pairs, other targets by their end."""


class Instruction(Strict):
    optimization: Optimization
    mse_weight: float = Field(ge=0)
    """Weight of the alignment loss; the released script keeps 0.1."""
    mse_reduction: Literal["mean", "sum"]
    """As in pretraining."""
    answers: Literal["gold", "teacher"]
    """What is learnt: the first gold answer, or, as in the paper and in PISCO (Louis et al. 2025), what the backbone
    answers from the documents' text."""
    top_k: int = Field(ge=1)
    """Documents given with a question; paper 5."""
    max_target_tokens: int = Field(ge=8)
    """Longest answer."""
    reset_generator: bool
    """Start the generator adapter anew, as the released code does; false keeps the pretrained one."""
    learns: Distinct[Literal["compressor", "generator"]] = Field(min_length=1)
    """What is trained; [generator] gives the paper's Table 12."""


class Joint(Strict):
    optimization: Optimization
    objective: Literal["answer", "ranking"]
    """answer: the loss of the answer, no relevance labels (paper). ranking: multi-positive InfoNCE on the labels, for
    the query reasoner alone: the supervised reranker that the paper compares with (Table 7, rows `Sup-`); of the other
    settings it reads temperature, temperature_end, reasoner_init, both maps and, for the logged recall, top_k."""
    top_k: int = Field(ge=1)
    """Documents selected; paper 5."""
    candidates: int | None = Field(ge=1)
    """Candidates of each training question: the gold ones and the first of the others; null keeps all of the pool."""
    temperature: float = Field(gt=0)
    """Softmax temperature of the selection's gradient at the first step, in units of cosine; released code 0.02."""
    temperature_end: float = Field(gt=0)
    """The same at the last step; in between it moves geometrically."""
    selection: Literal["straight_through", "gumbel", "soft", "marginal"]
    """straight_through: Algorithm 1. gumbel: the same with Gumbel noise on the scores. soft: mixture of documents.
    marginal: -log of the answer's probability summed over the selected documents, each read alone and weighted by the
    softmax of its score (the probability path of appendix A); answers still read all of them together."""
    mask_epsilon: float = Field(ge=0, lt=1)
    """What is left of the mask of a document that an earlier slot took: 0 excludes it (eq. 3.3); the released code's
    1.0e-8, whose logarithm is added after the division by the temperature (Algorithm 1), lets it through."""
    max_target_tokens: int = Field(ge=8)
    """Longest answer."""
    reasoner_init: Literal["compressor", "random"]
    """Where the query reasoner starts (Table 14)."""
    question_map: bool
    """Whether the query reasoner's vectors go through a linear map, which starts at the identity and learns five times
    as fast as its adapter (ours). In the pooled form most of a vector is input embeddings, which nothing else
    trains."""
    document_map: bool
    """Whether documents go through such a map, too, wherever a question is compared with them (ours). It is a part of
    the query reasoner; the store stays as it is, and the generator reads what is stored."""
    learns: Distinct[Literal["query_reasoner", "generator"]] = Field(min_length=1)
    """What objective answer trains; [generator] gives the paper's Table 13."""

    def trained(self) -> list[str]:
        """The roles that learn: ranking reaches none but the query reasoner."""
        return ["query_reasoner"] if self.objective == "ranking" else list(self.learns)


class Compression(Strict):
    dtype: Literal["bfloat16", "float32", "int8", "int4"]
    """Precision of the stored memories; int8 halves bfloat16, int4 takes a little over a quarter (docs/store.md)."""
    shard_documents: int = Field(ge=1)
    """Documents of one shard file."""
    batch_tokens: int = Field(ge=64)
    """Tokens of one forward pass, padding included."""
