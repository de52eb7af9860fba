"""Settings of the corpus, the benchmarks and their candidate pools."""

from typing import Annotated, Literal

from pydantic import Field

from clara.config.base import Distinct, Location, Strict, Text, matching


class Source(Strict):
    location: Location
    """`package:DISTRIBUTION/FILE`, a path, or an http(s) URL."""
    sha256: Annotated[str, matching("[0-9a-fA-F]{64}", "64 hexadecimal digits")] | None
    """Expected SHA-256 of the file; null accepts any."""
    format: Literal["mediawiki", "jsonl"]
    """mediawiki: export XML, plain or .bz2. jsonl: rows {"title", "text"}, plain or .gz."""


class Passages(Strict):
    words: int = Field(ge=20)
    """Words a passage aims at; sentences are kept whole where they can be."""
    per_article: int | None = Field(ge=1)
    """Passages kept of each article, from its start; null keeps all."""
    max_articles: int | None = Field(ge=1)
    """Articles read, from the start; null reads all."""


class Corpus(Strict):
    source: Source
    license: Text | None
    """Licence and authors of the text, named on the report; null prints nothing."""
    passages: Passages


class Benchmark(Strict):
    format: Literal["supports", "rows", "nq", "hotpotqa", "musique", "2wiki"]
    """supports: questions that name supporting articles of the corpus. rows: questions with 20 candidate documents
    (`docs`, `pos_index`), the released evaluation files among them. The others: the official release files."""
    train: Location | None
    """File with training questions; null: the questions of `test` beyond the first `num_test`."""
    test: Location
    """File with test questions. `$NAME` in a path stands for an environment variable."""
    test_normal: Location | None
    """File with test questions whose candidates come from retrieval; null: made here by BM25 over the corpus."""
    num_train: int | None = Field(ge=1)
    """Training questions kept; null keeps all."""
    num_test: int | None = Field(ge=1)
    """Test questions kept; null keeps all."""


class Candidates(Strict):
    size: int = Field(ge=2)
    """Documents in a question's pool; paper 20."""
    train_size: int | None = Field(ge=2)
    """Documents in a training question's pool; null: as many as `size`. Each is compressed once for every ratio."""
    settings: Distinct[Literal["oracle", "normal"]] = Field(min_length=1)
    """oracle: the gold documents are among them. normal: the retriever's best, gold not forced."""
    bm25_k1: float = Field(ge=0)
    """BM25 term saturation."""
    bm25_b: float = Field(ge=0, le=1)
    """BM25 length normalisation."""
