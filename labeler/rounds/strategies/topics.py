"""Topics of texts: clusters of their character n-grams.

Up to `WHOLE` texts are clustered as a whole. Of more, vectors are fitted to a sample and clusters to batches, so that
memory holds 32 numbers of each text, and the n-grams of `WHOLE` texts at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SVD_DIMENSIONS: Final = 32  # of a text's vector: enough to tell topics apart, cheap for k-means
HASH_FEATURES: Final = 2**16  # buckets of character n-grams before the SVD
WHOLE: Final = 20_000  # texts
BATCH: Final = 4096  # texts of an update of the clusters of more


def topics(texts: Sequence[str], count: int, *, seed: int) -> list[int]:
    """The number of each text's topic, of at most `count`; equal texts have the same one."""
    if len(texts) <= 1 or count <= 1:
        return [0] * len(texts)
    return [int(number) for number in clusters(texts, count, seed=seed)[0]]


def clusters(texts: Sequence[str], count: int, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cluster of each text, of at most `count`, and its distance to that cluster's centre, both (N,).

    k-means, or of more than `WHOLE` texts mini-batch k-means. Source: Sculley, "Web-scale k-means clustering", 2010.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    with threadpool_limits(limits=1):  # several threads sum in any order, which changes ties
        vectors = text_vectors(texts, seed=seed)
        distinct = len(np.unique(vectors.round(9), axis=0))
        model = _k_means(min(count, distinct), seed=seed, whole=len(texts) <= WHOLE).fit(vectors)
    distance = np.linalg.norm(vectors - model.cluster_centers_[model.labels_], axis=1)
    return np.asarray(model.labels_, dtype=np.int64), np.round(distance, 12)


def _k_means(count: int, *, seed: int, whole: bool) -> Any:
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if whole:
        return KMeans(n_clusters=count, n_init=1, random_state=seed)
    return MiniBatchKMeans(n_clusters=count, n_init=1, random_state=seed, batch_size=BATCH)


def text_vectors(texts: Sequence[str], *, seed: int) -> NDArray[np.float64]:
    """Vectors (N, min(SVD_DIMENSIONS, N - 1)) of unit length; texts that share character n-grams are close."""
    from sklearn.decomposition import TruncatedSVD

    svd = TruncatedSVD(min(SVD_DIMENSIONS, len(texts) - 1), random_state=seed)
    with np.errstate(invalid="ignore", divide="ignore"):  # equal texts have no variance to explain
        if len(texts) <= WHOLE:
            vectors = svd.fit_transform(_n_grams(texts))
        else:
            svd.fit(_n_grams(_sample(texts, seed=seed)))
            vectors = np.concatenate([svd.transform(_n_grams(part)) for part in _parts(texts)])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float64)


def _n_grams(texts: Sequence[str]) -> Any:
    """(N, HASH_FEATURES) sparse counts of the texts' character n-grams, of length 1."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=HASH_FEATURES).transform(texts)


def _sample(texts: Sequence[str], *, seed: int) -> list[str]:
    """`WHOLE` texts drawn at random, in their order."""
    drawn = np.random.default_rng(seed).choice(len(texts), size=WHOLE, replace=False)
    return [texts[place] for place in np.sort(drawn)]


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), WHOLE):
        yield texts[start : start + WHOLE]
