"""CLaRa: one frozen backbone, three roles (compressor, query reasoner, generator) in one latent space."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from clara.errors import CheckpointError
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, Adapters
from clara.model.backbone import LoadedBackbone
from clara.model.generator import Generator, TargetLosses
from clara.model.memory import Memories, MemoryEncoder, token_salience
from clara.model.scoring import ScoreForm, cosine_scores, late_interaction_scores
from clara.tokens import AddedIds, CompressorInput, Encoder

MAP_SCALE = 5.0
"""The maps learn so many times as fast as the adapters beside them: they start at nothing, and few steps are to turn a
ranking (docs/experiments.md)."""


@dataclass(frozen=True)
class Shape:
    """What fixes the parameters of a model, besides its backbone."""

    num_memory: PositiveInt
    """Memory vectors of a document."""
    document_max_tokens: PositiveInt
    form: Literal["plain", "pooled"]
    rank: PositiveInt
    alpha: PositiveInt
    dropout: Annotated[float, Field(ge=0, lt=1)]
    score: ScoreForm = "flattened"
    """How memories of a question and of a document are compared."""
    idf_power: Annotated[float, Field(ge=0)] = 4.0
    """Of the weights in pooled memories; 4 in checkpoints that do not say."""


class ClaraModel(nn.Module):
    """The model. Each role is a LoRA adapter plus its own added rows (and gate, and maps); the backbone never learns.

    Args:
        backbone: loaded, frozen.
        shape: sizes and form.
        seed: of the added rows.
    """

    centre: Tensor
    """What late interaction takes from every vector, `[dim]`."""

    def __init__(self, backbone: LoadedBackbone, shape: Shape, *, seed: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.language_model = backbone.model  # registered, so that wrappers see its parameters
        self.shape = shape
        self.added = AddedIds(backbone.vocab_size, shape.num_memory)
        self.tokens = Encoder(
            backbone.tokenizer,
            end_of_turn=backbone.end_of_turn,
            added=self.added,
            document_max_tokens=shape.document_max_tokens,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.adapters = Adapters(backbone.model, rank=shape.rank, alpha=shape.alpha, dropout=shape.dropout)
            self.adapters.add(COMPRESSOR)
            self.adapters.add(GENERATOR)
            rows = _initial_rows(backbone, 2 + shape.num_memory)
        self.roles = nn.ModuleDict(
            {
                COMPRESSOR: MemoryEncoder(rows[:-1], shape.form, vocab_size=backbone.vocab_size),
                GENERATOR: Generator(rows[-1]),
            }
        ).to(backbone.device)
        # Pooled memories are near input embeddings, two thirds of whose length is common to all words.
        centre = backbone.sample_embeddings().mean(0) * (shape.form == "pooled")
        self.register_buffer("centre", centre, persistent=False)
        self.learning: tuple[str, ...] = ()
        """Roles that learn, as `set_learning` left them."""

    @property
    def has_query_reasoner(self) -> bool:
        """Whether the model can encode questions."""
        return QUERY_REASONER in self.roles

    def add_query_reasoner(
        self,
        init: Literal["compressor", "random"],
        *,
        seed: int = 0,
        question_map: bool = False,
        document_map: bool = False,
    ) -> None:
        """Adds the third role, as a copy of the compressor or from new (Table 14).

        Args:
            init: where its adapter, rows and gate start.
            seed: of what starts from new.
            question_map: with a linear map behind it, which starts at the identity.
            document_map: with such a map of the documents that its questions are compared with.
        """
        compressor = self.roles[COMPRESSOR]
        assert isinstance(compressor, MemoryEncoder)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            rows = compressor.rows.detach().clone() if init == "compressor" else None
            if rows is None:
                rows = _initial_rows(self.backbone, 1 + self.shape.num_memory)
            self.adapters.add(QUERY_REASONER, like=COMPRESSOR if init == "compressor" else None)
        reasoner = MemoryEncoder(rows, self.shape.form, vocab_size=self.backbone.vocab_size).to(self.backbone.device)
        if reasoner.gate is not None and compressor.gate is not None:
            reasoner.salience.copy_(compressor.salience)
            if init == "compressor":
                reasoner.gate.data.copy_(compressor.gate.data)
        dim = self.backbone.hidden_size
        if question_map:
            reasoner.question_map = nn.Parameter(torch.zeros(dim, dim, device=self.backbone.device))
        if document_map:
            reasoner.document_map = nn.Parameter(torch.zeros(dim, dim, device=self.backbone.device))
        self.roles[QUERY_REASONER] = reasoner

    def set_salience(self, documents: Iterable[str]) -> None:
        """Weights tokens in pooled memories by how few of `documents` have them; the plain form has no weights."""
        if self.salience is not None:
            ids = (self.tokens.text(text) for text in documents)
            self.salience.copy_(token_salience(ids, self.backbone.vocab_size, power=self.shape.idf_power))

    @property
    def salience(self) -> Float[Tensor, " vocab"] | None:
        """Weight of each token in the compressor's pooled memories; None in the plain form."""
        compressor = self.roles[COMPRESSOR]
        assert isinstance(compressor, MemoryEncoder)
        return None if compressor.gate is None else compressor.salience

    def reset_generator(self, *, seed: int) -> None:
        """Puts the generator's adapter back to a start that changes nothing (B = 0); its SEP row stays."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for parameter in self.adapters.parameters(GENERATOR):
                parameter.data.zero_()
            for index, parameter in enumerate(self.adapters.parameters(GENERATOR)):
                if index % 2 == 0:  # A, then B, of each layer
                    nn.init.kaiming_uniform_(parameter.data, a=5**0.5)

    def role_parameters(self, role: str) -> list[nn.Parameter]:
        """Everything that learns when `role` learns: adapter, added rows, gate, maps."""
        if role not in self.roles:
            raise CheckpointError(f"this model has no {role}; it has {', '.join(self.roles)}")
        return [*self.adapters.parameters(role), *self.roles[role].parameters()]

    def set_learning(self, roles: Sequence[str]) -> list[nn.Parameter]:
        """Lets exactly `roles` learn and gives back their parameters."""
        self.requires_grad_(False)
        self.learning = tuple(roles)
        learning = [parameter for role in roles for parameter in self.role_parameters(role)]
        for parameter in learning:
            parameter.requires_grad_(True)
        return learning

    def train(self, mode: bool = True) -> "ClaraModel":
        """As in torch, but a role that does not learn drops nothing: what is frozen gives the same every time."""
        super().train(mode)
        for role in self.roles:
            self.adapters.set_dropout(role, mode and role in self.learning)
        return self

    def checkpoint_layers(self) -> None:
        """Recomputes the layers in the backward pass, each under the adapter that was at work in the forward pass."""
        self.language_model.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": self.adapters.recomputation}
        )

    def encode(self, role: str, inputs: Sequence[CompressorInput]) -> Memories:
        """Memories of documents (`compressor`) or questions (`query_reasoner`)."""
        encoder = self.roles[role]
        assert isinstance(encoder, MemoryEncoder)
        with self.adapters.using(role):
            memories: Memories = encoder(self.backbone, inputs, self.added)
        return memories._replace(vectors=self.turned(role, memories.vectors))

    def turned(self, role: str, vectors: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """`vectors` of a role behind its map, x + 5 (x - centre) W; as they are where it has none."""
        matrix = getattr(self.roles[role], "question_map", None)
        return vectors if matrix is None else self._behind(matrix, vectors).to(vectors.dtype)

    @property
    def document_map(self) -> nn.Parameter | None:
        """What the query reasoner turns documents by before it compares them; None where it takes them as they are."""
        return getattr(self.roles[QUERY_REASONER], "document_map", None) if self.has_query_reasoner else None

    def compared(self, documents: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Documents' vectors as questions are compared with them: behind their map, float32, where there is one.

        The generator reads them as they are.
        """
        return documents if self.document_map is None else self._behind(self.document_map, documents)

    def _behind(self, matrix: Tensor, vectors: Tensor) -> Tensor:
        centre = self.centre.to(vectors.device)  # memories are compared where they lie: of a search, on the host
        with torch.autocast(vectors.device.type, enabled=False):  # rounded, near documents would tie
            update: Tensor = MAP_SCALE * (vectors.float() - centre) @ matrix.to(vectors.device).float()
        return vectors.float() + update

    def scores(
        self,
        questions: Float[Tensor, "batch memory dim"],
        candidates: Float[Tensor, "batch candidates memory dim"],
        valid: Bool[Tensor, "batch candidates"] | None = None,
    ) -> Float[Tensor, "batch candidates"]:
        """Scores of each question's candidates, float32, at most 1; absent ones (`valid` false) score 0."""
        return self.compare(questions, self.compared(candidates), valid)

    def compare(
        self,
        questions: Float[Tensor, "batch memory dim"],
        candidates: Float[Tensor, "batch candidates memory dim"],
        valid: Bool[Tensor, "batch candidates"] | None = None,
    ) -> Float[Tensor, "batch candidates"]:
        """The same of candidates that `compared` has turned already."""
        if self.shape.score == "flattened":
            return cosine_scores(questions, candidates, valid)
        return late_interaction_scores(questions, candidates, self.centre.to(questions.device), valid)

    def losses(
        self,
        prompts: Sequence[list[int]],
        targets: Sequence[list[int]],
        memories: Float[Tensor, "documents memory dim"] | None,
    ) -> TargetLosses:
        """Losses of targets under the generator; `memories` fill the prompts' slots in order."""
        with self.adapters.using(GENERATOR):
            return self.generator.losses(self.backbone, prompts, targets, memories, self.added)

    @property
    def generator(self) -> Generator:
        """The generator's own rows and methods."""
        generator = self.roles[GENERATOR]
        assert isinstance(generator, Generator)
        return generator


def _initial_rows(backbone: LoadedBackbone, count: int) -> Float[Tensor, "added dim"]:
    """Rows near the mean input embedding, each a little apart."""
    table = backbone.sample_embeddings().cpu()
    rows: Tensor = table.mean(0) + torch.randn(count, table.shape[1]) * table.std()
    return rows
