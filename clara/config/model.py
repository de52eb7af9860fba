"""Settings of the model: backbone, memory, adapters."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from clara.config.base import Location, Strict, Text

RANDOM = "random:"
RANDOM_FAMILIES = ("llama", "mistral", "qwen2", "phi3", "gemma")
"""Architectures of which a small model with random weights can be made on the spot."""


def _of_known_family(source: str) -> str:
    if source.startswith(RANDOM) and source.removeprefix(RANDOM) not in RANDOM_FAMILIES:
        raise ValueError(f"should be one of {', '.join(RANDOM + name for name in RANDOM_FAMILIES)}")
    return source


BackboneSource = Annotated[Location, AfterValidator(_of_known_family)]


class Backbone(Strict):
    source: BackboneSource
    """Where the language model comes from: `package:DISTRIBUTION/FILE.gguf`, a local folder, a GGUF file, a Hub name,
    or `random:FAMILY` (a two-layer model with random weights, for tests)."""
    revision: Text | None
    """Commit or tag of a Hub model; null takes its default branch."""
    dtype: Literal["bfloat16", "float16", "float32"]
    """Precision of weights and arithmetic; adapters are trained in float32 all the same. float16 is for what learns
    nothing: trainings do not scale their loss."""
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    """Attention implementation."""
    compile: bool
    """Compile the model's body for training and compressing (torch.compile): a minute or more at the start, then faster
    on GPUs; sums may be rounded otherwise. Not together with gradient_checkpointing."""
    cpu_threads: int = Field(ge=1)
    """Threads of each job's computation where it has no GPU. More are faster and round sums otherwise, so the number is
    part of what results depend on; what a profile gives a job (set-threads) is not."""
    trust_remote_code: bool
    """Run Python code that comes with a Hub model. Leave false unless you have read that code."""

    def loading(self) -> dict[str, Any]:
        """What loading the prepared backbone needs to know."""
        return {
            "dtype": self.dtype,
            "attention": self.attention,
            "compiled": self.compile,
            "cpu_threads": self.cpu_threads,
            "trust_remote_code": self.trust_remote_code,
            "verified": True,
        }


class Memory(Strict):
    document_max_tokens: int = Field(ge=8)
    """Tokens of a document, frame excluded; the paper's 256. A memory has document_max_tokens // ratio vectors."""
    form: Literal["plain", "pooled"]
    """plain: last hidden states at the memory tokens (paper). pooled: mean input embedding of each of the
    document's segments plus a gated, normalised hidden state (ours: learns with far less data)."""
    idf_power: float = Field(ge=0)
    """Of the pooled form: a token counts in its segment's mean by the power of its inverse document frequency. 4 leaves
    hardly more than the segment's rarest word, which a generator learns to read soonest; 1 keeps more of what tells
    documents apart (docs/experiments.md); 0 counts all alike."""
    score: Literal["flattened", "late_interaction"]
    """How a question's memories are compared with a document's. flattened: cosine of all vectors as one (paper,
    eq. 3.1). late_interaction: mean over the question's vectors of the best cosine with one of the document's, less
    the common part of all embeddings in the pooled form (ours: docs/experiments.md)."""


class Lora(Strict):
    rank: int = Field(ge=1)
    """Rank of each adapter; paper 16 (Table 10)."""
    alpha: int = Field(ge=1)
    """Scale numerator: the update is multiplied by alpha / rank; paper 32."""
    dropout: float = Field(ge=0, lt=1)
    """Dropout before the low-rank product while training; paper 0.1."""
