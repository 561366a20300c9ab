"""Comparison of the current index with a stored one or with other settings, on the same questions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from db import queries
from labeler.core import convert
from labeler.core.config import load_config
from labeler.core.errors import ConfigError, NotReady
from labeler.core.runtime import Runtime
from labeler.evaluation.retrieval_metrics import BOOTSTRAP_SEED, RetrievalResults, search
from labeler.retrieval.tuning import index_config
from mrc.metrics import paired_interval
from mrc.retrieve.fuse import FusionWeight

if TYPE_CHECKING:
    from mrc.retrieve.dense.config import DenseConfig
    from mrc.retrieve.dense.hybrid import Dense
    from mrc.retrieve.index import Index

_COMPARABLE = {"model", "weight", "fusion", "rrf_constant"}  # settings of [dense] that need no other vectors
_FINGERPRINT = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of current minus other, 0-1, with the 95% interval of the paired bootstrap by document."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The current index compared with another one."""

    index: str  # fingerprint
    other: str  # fingerprint
    differences: Mapping[str, Difference]  # by metric
    better: int  # questions whose gold passage has a better rank than in the other
    worse: int


def compare_indexes(runtime: Runtime, results: RetrievalResults, index: Index, against: str) -> Comparison:
    """Compare `results` of the current index with another one; `against` and errors: see `other_index`."""
    other = other_index(runtime, against)
    ours, theirs = results.scores(), search(runtime, other, results.entries).scores()
    differences = {}
    for name, values in ours.items():
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        found = paired_interval(values, theirs[name], results.clusters, rng=rng)
        differences[name] = Difference(found.mean, found.low, found.high)
    changes = [after - before for after, before in zip(ours["mrr"], theirs["mrr"], strict=True)]
    better, worse = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    return Comparison(index.fingerprint, other.fingerprint, differences, better, worse)


def other_index(runtime: Runtime, name: str) -> Index:
    """A stored index by the beginning of its fingerprint, or one with other settings (`method=okapi,k1=0.5`).

    Other settings are those of [index], and `dense.weight`, `dense.fusion`, `dense.rrf_constant`, `dense.model=none`.
    All others, and the re-ranking, are those of the current index. Such an index is built in memory.

    Raises:
        NotReady: no stored index matches, or several do.
        StaleIndex: it was built from other passages.
        ConfigError: an unknown setting, a value out of range, or a setting that needs other vectors.
    """
    if "=" in name:
        return _built(runtime, name)
    folders = sorted(runtime.workspace.index_folder.glob(f"{name}*")) if _FINGERPRINT.fullmatch(name) else []
    if len(folders) != 1:
        stored = ", ".join(
            folder.name for folder in sorted(runtime.workspace.index_folder.iterdir()) if folder.is_dir()
        )
        raise NotReady(f"{len(folders)} stored indexes begin with {name!r}; stored are: {stored}; or give KEY=VALUE")
    with runtime.database.read() as session:
        corpus = queries.corpus_state(session).fingerprint
    return runtime.load_index(folders[0], expect_corpus=corpus)


def _built(runtime: Runtime, settings: str) -> Index:
    """An index of the current corpus under other settings."""
    from mrc.retrieve.index import Index

    pairs = [setting.strip() for setting in settings.split(",")]
    keys = [setting.partition("=")[0].strip() for setting in pairs]
    qualified = [setting if "." in key else f"index.{setting}" for setting, key in zip(pairs, keys, strict=True)]
    try:
        given = load_config(overrides=qualified, environ={})
    except ConfigError as error:
        raise ConfigError(str(error).replace("--set", "--compare", 1)) from error
    if foreign := [key for key in keys if "." in key and key.partition(".")[0] not in ("index", "dense")]:
        raise ConfigError(f"--compare {foreign[0]}: no setting of the index; it may be one of [index] or [dense]")
    lexical = {key.removeprefix("index.") for key in keys if "." not in key or key.startswith("index.")}
    dense_keys = {key.removeprefix("dense.") for key in keys if key.startswith("dense.")}
    config = dataclasses.replace(index_config(runtime), **{key: getattr(given.index, key) for key in lexical})
    with runtime.database.read() as session:
        passages = [convert.to_passage(row) for row in queries.iter_passages(session)]
    fingerprint = runtime.current_index()
    current = runtime.index(fingerprint)  # of the same passages in the same order, so its vectors fit
    built = Index.build(passages, config, reuse=runtime.index_folder(fingerprint))
    dense = _other_dense(current.dense, given.dense, dense_keys)
    return dataclasses.replace(built, dense=dense, reranking=current.reranking)


def _other_dense(dense: Dense | None, given: DenseConfig, keys: Set[str]) -> Dense | None:
    """The dense part with other settings of `keys`; None for `dense.model=none`."""
    if other := sorted(keys - _COMPARABLE):
        raise ConfigError(
            f"--compare dense.{other[0]}: needs other vectors; build that index, and compare by its fingerprint"
        )
    if "model" in keys:
        if given.model is not None:
            raise ConfigError("--compare dense.model: only none; build the other index, and compare by its fingerprint")
        return None
    if not keys:
        return dense
    if dense is None:
        raise ConfigError("--compare dense.*: the current index is lexical only")
    config = dataclasses.replace(dense.config, **{key: getattr(given, key) for key in keys})
    weight = dense.weight if given.weight is None else FusionWeight(given.weight, given.weight, given.weight)
    return dataclasses.replace(dense, config=config, weight=weight)
