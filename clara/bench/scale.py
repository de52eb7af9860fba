"""What a store of millions of documents of a large model takes: a simulation from measured rates, not a measurement."""

from collections.abc import Sequence
from dataclasses import dataclass

from clara.bench.report import table
from clara.model.inverted import LISTS_PER_ROOT, PROBED
from clara.model.packing import STORE_TYPES, bytes_per_document
from clara.model.search import RESCORED, WIDTH


@dataclass(frozen=True)
class LanguageModel:
    """The sizes of a language model that cost depends on."""

    name: str
    body_parameters: float
    """Of its layers; embeddings and head do no work in compression."""
    dim: int


MISTRAL_7B = LanguageModel("Mistral-7B", 6.98e9, 4096)
SMOLLM2_135M = LanguageModel("SmolLM2-135M", 0.106e9, 576)


@dataclass(frozen=True)
class Assumptions:
    """What the simulation takes from measurements, and what it supposes. Every number stands in the page it writes."""

    document_tokens: float = 142
    """Measured: mean of the demo's passages."""
    padding: float = 0.02
    """Supposed: share of padding in batches by length; the demo's 455 documents at ratio 16 have 1.6 % in batches of
    4,096 positions."""
    frame: int = 3
    ratio: int = 16
    document_max_tokens: int = 256
    lora_share: float = 0.046
    """Additional work of a rank-16 adapter on SmolLM2; less on larger models."""
    teraflops: float = 989 * 0.4
    """Supposed: an H100's dense bfloat16 peak at 40 % utilisation, not measured (docs/scale.md: what a GPU did)."""
    dollars_per_hour: float = 2.5
    """Supposed: price of an H100 hour."""
    dollars_per_terabyte_month: float = 80.0
    """Supposed: price of SSD storage."""
    index_bytes_per_second: float = 5e9
    """Index rows that one core compares; replaced by the measured rate where a run is given."""
    lists_bytes_per_second: float = 5e9
    """The same of the rows in the lists that a search by lists reads."""
    exact_bytes_per_second: float = 5e8
    """Stored bytes that one core compares exactly; likewise."""
    cores: int = 16
    """Supposed: cores that share a search, without loss."""
    random_reads_per_second: float = 20_000
    """Supposed: documents that an SSD reads in no order, 131 kB each, with many reads at once."""


def simulate(model: LanguageModel, documents: int, given: Assumptions) -> list[list[str]]:
    """Rows of (quantity, value) for a store of so many documents."""
    memory = given.document_max_tokens // given.ratio
    tokens = (given.document_tokens + given.frame + memory) / (1 - given.padding)
    flops = 2 * model.body_parameters * (1 + given.lora_share) * tokens * documents
    hours = flops / (given.teraflops * 1e12) / 3600
    sizes = {dtype: documents * bytes_per_document(memory, model.dim, dtype) for dtype in STORE_TYPES}
    index = documents * WIDTH * 2
    two_stage = index / given.index_bytes_per_second / given.cores + RESCORED / given.random_reads_per_second
    centres = 4 * WIDTH * LISTS_PER_ROOT * documents**0.5
    lists = (index * PROBED + centres) / given.lists_bytes_per_second / given.cores
    lists += RESCORED / given.random_reads_per_second
    exact = sizes["bfloat16"] / given.exact_bytes_per_second / given.cores
    rows = [["compression, GPU hours", f"{hours:,.1f}"]]
    rows += [["compression, dollars", f"{hours * given.dollars_per_hour:,.0f}"]]
    rows += [[f"store, {dtype}", _bytes(size)] for dtype, size in sizes.items()]
    monthly = sizes["int8"] / 1e12 * given.dollars_per_terabyte_month
    return [
        *rows,
        ["storage of int8, dollars a month", f"{monthly:,.0f}"],
        ["index", _bytes(index)],
        [f"two-stage search on {given.cores} cores, index in memory", f"{1000 * two_stage:,.0f} ms"],
        [f"two-stage search by lists on {given.cores} cores, index in memory", f"{1000 * lists:,.0f} ms"],
        [f"exact search on {given.cores} cores, store in memory", f"{exact:,.1f} s"],
    ]


def page(model: LanguageModel, counts: Sequence[int], given: Assumptions) -> str:
    """The simulation as a Markdown table, a column a number of documents."""
    columns = [simulate(model, count, given) for count in counts]
    rows = [[line[0][0], *(value for _, value in line)] for line in zip(*columns, strict=True)]
    return table([model.name, *(f"{count:,} documents" for count in counts)], rows)


def _bytes(size: float) -> str:
    return f"{size / 1e12:.2f} TB" if size >= 1e12 else f"{size / 1e9:.1f} GB"
