"""Distances of memory and document states, and their projection."""

import numpy as np
import pytest
import torch

from clara.errors import ConfigError, DataError
from clara.measurements import states
from clara.model.adapters import COMPRESSOR
from clara.model.clara import ClaraModel
from tests import tiny

TEXTS = [*tiny.TEXTS, "Gon\nGon lies by the sea.", "Hux\nHux is new."]


def test_distances_are_those_of_each_document_read_alone(model: ClaraModel) -> None:
    found = states.measure(model, TEXTS, projection="pca", seed=0)
    model.eval()
    with torch.no_grad():
        alone = [model.encode(COMPRESSOR, [model.tokens.to_compress(text)]) for text in TEXTS]
    squares = [float((one.text_mean - one.memory_mean).pow(2).mean()) for one in alone]
    cosines = [float(torch.cosine_similarity(one.text_mean, one.memory_mean)) for one in alone]
    assert found["mse"] == pytest.approx(sum(squares) / len(TEXTS), abs=1e-5)
    assert found["cosine"] == pytest.approx(sum(cosines) / len(TEXTS), abs=1e-5)
    both = torch.cat([*(one.text_mean for one in alone), *(one.memory_mean for one in alone)]).double().numpy()
    flat = states.principal(both, 2)
    assert np.allclose(found["document"], flat[: len(TEXTS)], atol=1e-3)
    assert np.allclose(found["memory"], flat[len(TEXTS) :], atol=1e-3)


def test_mixing_is_zero_of_kinds_apart_and_a_half_of_shuffled_ones() -> None:
    chance = np.random.default_rng(0)
    first, second = chance.normal(size=(200, 6)), chance.normal(size=(200, 6))
    assert states.mixing(np.concatenate([first, second + 100])) == 0.0
    assert states.mixing(np.concatenate([first, second])) == pytest.approx(0.5, abs=0.03)
    # a pair of equal points of both kinds: its one nearest neighbour is always of the other kind
    assert states.mixing(np.array([[0.0, 0], [0, 0]])) == 1.0


def test_principal_components_are_the_eigenvectors_of_the_covariance() -> None:
    points = np.random.default_rng(1).normal(size=(40, 5)) * [5, 3, 1, 1, 1]
    found = states.principal(points, 2)
    values = np.sort(np.linalg.eigvalsh(np.cov(points.T)))[::-1]
    assert np.allclose(found.var(0, ddof=1), values[:2])
    assert np.allclose(states.principal(points + 7, 2), found)
    assert states.principal(points, 50).shape == (40, 5)


def test_t_sne_is_the_same_every_time_and_keeps_neighbours_together() -> None:
    pytest.importorskip("sklearn")
    chance = np.random.default_rng(2)
    points = np.concatenate([chance.normal(size=(20, 8)), chance.normal(size=(20, 8)) + 50])
    first, again = (states.project(points, "tsne", seed=3) for _ in range(2))
    assert np.array_equal(first, again)
    nearest = [int(np.argsort(((first - point) ** 2).sum(1))[1]) for point in first]
    assert all((number < 20) == (other < 20) for number, other in enumerate(nearest))


def test_without_scikit_learn_t_sne_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ConfigError, match=r"measurements.states.projection = tsne needs scikit-learn .* or set pca"):
        states.project(np.zeros((8, 4)), "tsne", seed=0)


def test_a_handful_of_documents_is_too_few(model: ClaraModel) -> None:
    with pytest.raises(DataError, match="6 documents are too few"):
        states.measure(model, tiny.TEXTS, projection="pca", seed=0)
