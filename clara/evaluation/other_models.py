"""Trained models that are not ours, for baselines: a bi-encoder, a cross-encoder, a classifier of tokens.

Each is a transformers folder, a model of the Hub, or a folder within an installed package; nothing is trained here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from clara.config import evaluation as config
from clara.config.locations import expand
from clara.errors import CheckpointError, ConfigError
from clara.hub import fetch_model
from clara.packages import PACKAGE, package_file

HEADS = {"bi-encoder": "AutoModel", "cross-encoder": "AutoModelForSequenceClassification"}
HEADS["token classifier"] = "AutoModelForTokenClassification"
"""What a kind of model is called in transformers."""
UNUSED = ("pooler.", "embeddings.position_ids")
"""Parts that a checkpoint may lack: nothing here reads them."""


def model_folder(source: str, *, revision: str | None, setting: str) -> Path:
    """The folder of a model: `package:DISTRIBUTION/FOLDER`, a local folder, or a name on the Hub.

    Args:
        source: as above.
        revision: of a Hub model.
        setting: the configuration's key, for messages.

    Raises:
        ResourceError: the package is not installed, or the Hub model cannot be fetched; says what to do.
        ConfigError: the path is no folder.
    """
    if source.startswith(PACKAGE):
        return package_file(f"{source.removeprefix(PACKAGE).rstrip('/')}/config.json").parent
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.exists() or source.startswith((".", "/", "~")):
        raise ConfigError(f"{setting} = {source} is no folder of a model; name one, a package's or a Hub model")
    return fetch_model(source, revision=revision, setting=setting, trust_remote_code=False)


class OtherModel:
    """A loaded model with its tokenizer, in evaluation mode on the best device.

    Args:
        folder: config, safetensors and tokenizer.
        kind: a key of `HEADS`.
        max_tokens: of a text or a pair of texts, special tokens included; the rest is cut.
        batch_size: texts of one forward pass.

    Raises:
        CheckpointError: the folder holds no such model, or one whose head was never trained.
    """

    def __init__(self, folder: Path, kind: str, *, max_tokens: int, batch_size: int) -> None:
        import transformers

        try:
            model, found = getattr(transformers, HEADS[kind]).from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True
            )
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        except Exception as error:  # transformers raises many kinds
            raise CheckpointError(f"{folder} cannot be read as a {kind} ({error}); name another model") from error
        if lacking := [name for name in sorted(found["missing_keys"]) if not any(part in name for part in UNUSED)]:
            raise CheckpointError(f"{folder} is no trained {kind}: it lacks {lacking[0]}; name another model")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model: Any = model.eval().to(device)
        self.max_tokens = max_tokens
        self.batch_size = batch_size

    def batches(self, texts: Sequence[str | tuple[str, str]]) -> list[tuple[list[int], Any, Any]]:
        """(numbers of the texts, their encoding, the model's output) by batch, texts of like length together."""
        order = sorted(range(len(texts)), key=lambda number: sum(map(len, texts[number])))
        result = []
        for start in range(0, len(order), self.batch_size):
            numbers = order[start : start + self.batch_size]
            encoding = self.tokenizer(
                [texts[number] for number in numbers],
                truncation=True,
                max_length=self.max_tokens,
                padding=True,
                return_tensors="pt",
            ).to(self.model.device)
            with torch.inference_mode():
                result.append((numbers, encoding, self.model(**encoding)))
        return result


def load(settings: config.OtherModel, kind: str, *, setting: str) -> OtherModel:
    """The model that a section of the settings names.

    Args:
        settings: the section.
        kind: a key of `HEADS`.
        setting: the section's path in the configuration, for messages.

    Raises:
        ConfigError: the section names none; further as `model_folder` and `OtherModel`.
    """
    if settings.source is None:
        raise ConfigError(f"{setting}.source = None: should name a {kind}: a folder, a package's or a Hub model")
    folder = model_folder(expand(settings.source), revision=settings.revision, setting=f"{setting}.source")
    return OtherModel(folder, kind, max_tokens=settings.max_tokens, batch_size=settings.batch_size)


class BiEncoder:
    """Dense retrieval: cosine of the question's vector with each document's.

    Args:
        model: a bi-encoder.
        pooling: mean over a text's tokens, or the first token's state.
        question_prefix: what the model expects before a question, such as `query: `.
        document_prefix: and before a document.
    """

    def __init__(
        self, model: OtherModel, *, pooling: Literal["mean", "first"], question_prefix: str, document_prefix: str
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.prefixes = question_prefix, document_prefix

    def scores(self, question: str, documents: Sequence[str]) -> list[float]:
        """A cosine for each document."""
        ask, show = self.prefixes
        vectors = self.encode([ask + question, *(show + text for text in documents)])
        return [float(value) for value in vectors[1:] @ vectors[0]]

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors `[texts, dim]`."""
        rows: list[Tensor] = [torch.empty(0)] * len(texts)
        for numbers, encoding, output in self.model.batches(texts):
            states = output.last_hidden_state
            mask = encoding["attention_mask"][..., None].to(states.dtype)
            pooled = states[:, 0] if self.pooling == "first" else (states * mask).sum(1) / mask.sum(1)
            for number, row in zip(numbers, torch.nn.functional.normalize(pooled, dim=-1).cpu(), strict=True):
                rows[number] = row
        return torch.stack(rows)


class CrossEncoder:
    """Question and document read together; one logit, or of two labels the second's less the first's.

    Raises:
        CheckpointError: the model has more labels than two.
    """

    def __init__(self, model: OtherModel) -> None:
        self.model = model
        if model.model.config.num_labels > 2:
            raise CheckpointError(
                f"a cross-encoder needs one label or two, this one has {model.model.config.num_labels}; name another"
            )

    def scores(self, question: str, documents: Sequence[str]) -> list[float]:
        """How relevant each document is, in logits."""
        found = [0.0] * len(documents)
        for numbers, _, output in self.model.batches([(question, text) for text in documents]):
            logits = output.logits.float()
            relevance = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
            for number, value in zip(numbers, relevance.tolist(), strict=True):
                found[number] = float(value)
        return found


class TokenClassifier:
    """LLMLingua-2 (Pan et al. 2024): the probability that a word is kept, the mean over its tokens.

    Raises:
        CheckpointError: the model's labels are not two (drop, keep).
    """

    def __init__(self, model: OtherModel) -> None:
        self.model = model
        if model.model.config.num_labels != 2:
            raise CheckpointError(
                f"a token classifier needs the labels drop and keep, this one has {model.model.config.num_labels}; "
                "name another model"
            )

    def __call__(self, words: Sequence[str]) -> list[float]:
        """A probability for each word; long texts are read in pieces that fit the model."""
        found = [0.0] * len(words)
        for piece in self._pieces(words):
            encoding = self.model.tokenizer(
                [[words[place] for place in piece]],
                is_split_into_words=True,
                truncation=True,
                max_length=self.model.max_tokens,
                return_tensors="pt",
            )
            with torch.inference_mode():
                logits = self.model.model(**encoding.to(self.model.model.device)).logits[0]
            keep = logits.float().softmax(-1)[:, 1].tolist()
            tokens: dict[int, list[float]] = {}
            for word, value in zip(encoding.word_ids(0), keep, strict=True):
                if word is not None:
                    tokens.setdefault(word, []).append(value)
            for word, values in tokens.items():
                found[piece[word]] = sum(values) / len(values)
        return found

    def _pieces(self, words: Sequence[str]) -> list[list[int]]:
        room = self.model.max_tokens - self.model.tokenizer.num_special_tokens_to_add()
        sizes = [len(self.model.tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words]
        pieces: list[list[int]] = [[]]
        used = 0
        for place, size in enumerate(sizes):
            if pieces[-1] and used + size > room:
                pieces.append([])
                used = 0
            pieces[-1].append(place)
            used += size
        return [piece for piece in pieces if piece]
