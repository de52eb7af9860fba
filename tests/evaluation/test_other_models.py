"""Baselines' models, tiny and random: their scores by a plain twin, and refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    BertTokenizerFast,
)

from clara.errors import CheckpointError, ConfigError, ResourceError
from clara.evaluation.other_models import BiEncoder, CrossEncoder, OtherModel, TokenClassifier, model_folder

WORDS = "the sea moon is blue cold where".split()
DOCUMENTS = ["the sea is blue", "the moon", "the sea is cold the moon is cold the sea"]


def write(folder: Path, kind: Any, **changes: Any) -> Path:
    """A random model of `kind` with a vocabulary of nine words."""
    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(4)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, initializer_range=0.5, **changes,
    )  # fmt: skip
    kind(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "bi-encoder": write(root / "dense", BertModel),
        "cross-encoder": write(root / "cross", BertForSequenceClassification, num_labels=1),
        "two labels": write(root / "two", BertForSequenceClassification, num_labels=2),
        "token classifier": write(root / "tokens", BertForTokenClassification, num_labels=2),
        "three labels": write(root / "three", BertForTokenClassification, num_labels=3),
    }


def load(folders: dict[str, Path], name: str, kind: str, batch_size: int = 8) -> OtherModel:
    return OtherModel(folders[name], kind, max_tokens=12, batch_size=batch_size)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_dense_scores_are_cosines_of_each_text_alone(folders: dict[str, Path], pooling: Any, batch_size: int) -> None:
    model = load(folders, "bi-encoder", "bi-encoder", batch_size)
    ranker = BiEncoder(model, pooling=pooling, question_prefix="where ", document_prefix="the ")
    found = ranker.scores("is the moon", DOCUMENTS)
    vectors = []
    for text in ["where is the moon", *(f"the {text}" for text in DOCUMENTS)]:
        inputs = model.tokenizer(text, return_tensors="pt", truncation=True, max_length=12)
        with torch.no_grad():
            states = model.model(**inputs).last_hidden_state[0]
        vectors.append(states.mean(0) if pooling == "mean" else states[0])
    expected = [float(torch.cosine_similarity(vectors[0], vector, dim=0)) for vector in vectors[1:]]
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["cross-encoder", "two labels"])
def test_a_cross_encoder_reads_question_and_document_together(folders: dict[str, Path], name: str) -> None:
    model = load(folders, name, "cross-encoder")
    found = CrossEncoder(model).scores("where is the moon", DOCUMENTS)
    for text, value in zip(DOCUMENTS, found, strict=True):
        inputs = model.tokenizer("where is the moon", text, return_tensors="pt", truncation=True, max_length=12)
        with torch.no_grad():
            logits = model.model(**inputs).logits[0]
        assert value == pytest.approx(float(logits[-1] - (logits[0] if len(logits) == 2 else 0)), abs=1e-5)


def test_a_classifier_values_words_by_their_tokens_in_pieces_that_fit(folders: dict[str, Path]) -> None:
    model = load(folders, "token classifier", "token classifier")
    words = (DOCUMENTS[2] + " is blue").split()  # twelve words of one token; ten fit beside two special ones
    found = TokenClassifier(model)(words)
    for piece in (range(10), range(10, 12)):
        inputs = model.tokenizer(" ".join(words[place] for place in piece), return_tensors="pt")
        with torch.no_grad():
            keep = model.model(**inputs).logits[0].softmax(-1)[1:-1, 1]
        assert [found[place] for place in piece] == pytest.approx(keep.tolist(), abs=1e-5)
    assert TokenClassifier(model)([]) == []


def test_models_of_another_kind_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no trained cross-encoder: it lacks classifier"):
        load(folders, "bi-encoder", "cross-encoder")
    with pytest.raises(CheckpointError, match="needs the labels drop and keep, this one has 3"):
        TokenClassifier(load(folders, "three labels", "token classifier"))
    with pytest.raises(CheckpointError, match="cannot be read as a bi-encoder"):
        OtherModel(tmp_path, "bi-encoder", max_tokens=8, batch_size=1)


def test_a_source_is_a_folder_a_package_or_a_hub_model(folders: dict[str, Path], tmp_path: Path) -> None:
    def find(source: str) -> Path:
        return model_folder(source, revision=None, setting="evaluation.dense.source")

    assert find(str(folders["bi-encoder"])) == folders["bi-encoder"]
    with pytest.raises(ResourceError, match=r"the package no-such-model is not installed.*pip install no-such-model"):
        find("package:no-such-model/model")
    with pytest.raises(ConfigError, match=r"evaluation.dense.source = .*is no folder of a model"):
        find(str(tmp_path / "missing"))
