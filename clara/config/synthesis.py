"""Settings of SCP synthesis."""

from typing import Annotated, Literal

from pydantic import Field

from clara.config.base import ASIDE, Distinct, Location, Strict, matching


class Synthesis(Strict):
    published: Location | None
    """A file of ready SCP data, in our rows or the released layout, instead of synthesis; null synthesizes."""
    engine: Literal["auto", "vllm", "server", "openai", "transformers"]
    """What answers the requests. vllm: in the step's own process. server: a vLLM server that the step starts and ends.
    openai: any OpenAI-compatible server at `base_url`. auto: vllm where it can run and transformers elsewhere."""
    model: Location | None
    """Generator and verifier; null takes the backbone."""
    dtype: Literal["bfloat16", "float16", "float32"]
    """Precision of the model. In float32 a reply does not depend on what else is in its batch, so that an interrupted
    run ends with the same rows."""
    base_url: Annotated[str, matching("https?://.+", "an http(s) address")] | None
    """Address of an OpenAI-compatible server, for engine openai."""
    tensor_parallel: int = Field(ge=1)
    """GPUs over which vLLM splits the model."""
    shards: Annotated[int, Field(ge=1), ASIDE]
    """Jobs that share the passages, each with an engine of its own; the rows are the same for any number."""
    num_passages: int | None = Field(ge=1)
    """Passages to synthesize from, spread over the corpus; null takes all."""
    num_passages_for: dict[Literal["simple", "complex", "paraphrase"], Annotated[int, Field(ge=0)]]
    """Fewer of these passages for a kind that costs much or yields little; kinds not named take all of them."""
    kinds: Distinct[Literal["simple", "complex", "paraphrase"]] = Field(min_length=1)
    """What is asked of each passage; of `published` rows, which kinds are among them. Variants that learn from others
    are left out."""
    question_sources: Distinct[Literal["model", "facts", "templates"]] = Field(min_length=1)
    """Where simple questions come from. model: the model asks and answers (paper). facts: the answer is a span of the
    passage found by form, the model asks for it. templates: question and answer are made by rule. Complex questions
    are the model's."""
    max_rounds: int = Field(ge=1)
    """Rounds of question, answer, validation and supplementary questions; paper 10."""
    questions_per_round: int = Field(ge=1)
    """Questions asked for at most in one round."""
    temperature: float = Field(ge=0)
    """Sampling temperature of questions and paraphrases; answers and judgements are greedy."""
    top_p: float = Field(gt=0, le=1)
    """Nucleus of the sampling."""
    max_new_tokens: int = Field(ge=8)
    """Tokens of a reply at most; a paraphrase may take twice as many."""
    model_validation: bool
    """Ask the model to judge its own pairs as the paper does; false relies on the checks that need no model."""
    max_failed_share: Annotated[float, Field(ge=0, le=1), ASIDE]
    """Share of a shard's passages that may end in quarantine before the step fails."""
    exclude_uncovered: bool
    """Leave out the rows of a passage and kind that did not end covered (paper); how many end otherwise is reported."""
    exclude_leaks: Annotated[bool, ASIDE]
    """Leave out rows that match test questions of the benchmarks; they are reported in any case."""
    exports: Annotated[Distinct[Literal["pairs.jsonl", "released.jsonl"]], ASIDE]
    """Files written to `exports/` beside pairs.parquet: the same rows as JSON lines; the released dataset's layout."""
