"""Where memories and documents lie in the space of last hidden states, before and after alignment (paper, Fig. 9).

Compared are the two means that the alignment loss draws together (eq. 2.1): over a document's tokens and over its
memory tokens. The released plot shifts the two kinds apart by random numbers; nothing is added here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clara.errors import ConfigError, DataError
from clara.losses import alignment_losses
from clara.model.adapters import COMPRESSOR
from clara.model.clara import ClaraModel
from clara.model.encoding import batches_by_length, enough_tokens
from clara.progress import Progress

Points = NDArray[np.float64]

BATCH_TOKENS = 4096
NEIGHBOURS = 10
COMPONENTS = 50
"""Principal components that t-SNE starts from, as in the released plot."""


@torch.inference_mode()
def measure(model: ClaraModel, documents: Sequence[str], *, projection: str, seed: int) -> dict[str, Any]:
    """The content of `states/{checkpoint}.json`: distances of the two kinds, and each mean in two dimensions.

    Args:
        model: its compressor is used.
        documents: texts, at least eight.
        projection: `tsne` or `pca`.
        seed: of t-SNE.

    Raises:
        DataError: there are too few documents.
        ConfigError: t-SNE is asked for and scikit-learn is not installed.
    """
    if len(documents) < 8:
        raise DataError(f"{len(documents)} documents are too few to compare states; give at least 8")
    model.eval()
    inputs = [model.tokens.to_compress(text) for text in documents]
    text, memory = (torch.empty(len(inputs), model.backbone.hidden_size) for _ in range(2))
    done = 0
    with Progress("states", total=len(inputs), unit="documents") as progress:
        lengths, enough = [len(item.ids) for item in inputs], enough_tokens(model.backbone.device)
        for batch in batches_by_length(lengths, BATCH_TOKENS, enough=enough):
            found = model.encode(COMPRESSOR, [inputs[index] for index in batch])
            text[batch] = found.text_mean.float().cpu()
            memory[batch] = found.memory_mean.float().cpu()
            done += len(batch)
            progress.update(done)
    both = torch.cat([text, memory]).double().numpy()
    flat = project(both, projection, seed=seed).round(5)
    return {
        "documents": len(documents),
        "mse": round(float(alignment_losses(text, memory).mean()), 6),
        "cosine": round(float(torch.cosine_similarity(text, memory).mean()), 6),
        "mixing": round(mixing(both), 6),
        "projection": projection,
        "document": flat[: len(documents)].tolist(),
        "memory": flat[len(documents) :].tolist(),
    }


def mixing(points: Points) -> float:
    """Share of each state's nearest neighbours that are of the other kind, all dimensions counted: 0 where the kinds
    lie apart, one half where they lie as if shuffled.

    Args:
        points: as many of the first kind as of the second, one after the other.
    """
    half = len(points) // 2
    squares = (points**2).sum(1)
    distances = squares[:, None] + squares[None] - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(points) - 1)]
    kinds = np.arange(len(points)) >= half
    return float((kinds[nearest] != kinds[:, None]).mean())


def project(points: Points, projection: str, *, seed: int) -> Points:
    """`points` in two dimensions.

    Raises:
        ConfigError: t-SNE is asked for and scikit-learn is not installed.
    """
    if projection == "pca":
        return principal(points, 2)
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ConfigError(
            f"measurements.states.projection = tsne needs scikit-learn ({error}); install it, or set pca"
        ) from error
    perplexity = min(30, max(5, len(points) // 6))  # a third of the documents, as in the released plot
    made: Points = TSNE(n_components=2, init="pca", perplexity=perplexity, random_state=seed, n_jobs=1).fit_transform(
        principal(points, COMPONENTS)
    )
    return made


def principal(points: Points, count: int) -> Points:
    """The first principal components of `points`, at most `count`, each with the sign that makes its largest entry
    positive."""
    centred = points - points.mean(0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    count = min(count, len(sizes))
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    signs[signs == 0] = 1
    found: Points = (left * sizes * signs)[:, :count]
    return found
