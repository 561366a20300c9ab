"""Topics of texts: clusters of their character n-grams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SVD_DIMENSIONS = 32  # of a text's vector: enough to tell topics apart, cheap for k-means
HASH_FEATURES = 2**16  # buckets of character n-grams before the SVD


def topics(texts: Sequence[str], count: int, *, seed: int) -> list[int]:
    """The number of each text's topic, of at most `count`; equal texts have the same one."""
    if len(texts) <= 1 or count <= 1:
        return [0] * len(texts)
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    with threadpool_limits(limits=1):  # several threads sum in any order, which changes ties
        vectors = text_vectors(texts, seed=seed)
        distinct = len(np.unique(vectors.round(9), axis=0))
        found = KMeans(n_clusters=min(count, distinct), n_init=1, random_state=seed).fit_predict(vectors)
    return [int(number) for number in found]


def text_vectors(texts: Sequence[str], *, seed: int) -> NDArray[np.float64]:
    """Vectors (N, min(SVD_DIMENSIONS, N - 1)) of unit length; texts that share character n-grams are close."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=HASH_FEATURES).transform(texts)
    dimensions = min(SVD_DIMENSIONS, len(texts) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # equal texts have no variance to explain
        vectors = TruncatedSVD(dimensions, random_state=seed).fit_transform(hashed)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float64)
