"""Scorers: models that rank predictions by features, and the choice of one by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.calibration.features import ALL_FEATURES, COLUMN
from mrc.calibration.selective import Bools, Floats, aurc
from mrc.errors import DataError

Ints = NDArray[np.int64]
Scorer = Callable[[Floats], Floats]  # rows (N, F) -> scores (N,) in 0-1

KINDS: Final = ("max_probability", "mass", "logistic", "forest", "boosting")  # simplest first
PRIOR: Final = "prior"  # the fallback where there is too little data to choose or scale by
LOGISTIC_FEATURES: Final = ("mass", "max_probability", "margin", "entropy", "passage_rank", "support")
LOGISTIC_HYBRID: Final = ("bm25_lead", "dense_lead", "lists_agree")  # as well, where they are known

MIN_ITEMS: Final = 20  # calibration questions; with fewer only a shift of the mass is fitted
MIN_OF_EACH: Final = 5  # right and wrong answers among them, and groups
FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """The kind of scorer chosen, its out-of-fold scores (N,), the mean AURC of all kinds tried, and the reason."""

    kind: str
    scores: Floats
    candidates: dict[str, float]
    note: str


def assign_folds(groups: Sequence[str], *, seed: int) -> Ints:
    """The fold of each row (N,): groups in seeded order, each to the smallest fold so far (ties: the lowest)."""
    names, of_row, sizes = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True, return_counts=True)
    count = min(FOLDS, len(names))
    fold_of_group = np.zeros(len(names), dtype=np.int64)
    filled = np.zeros(count, dtype=np.int64)
    for group in np.random.default_rng(seed).permutation(len(names)):
        fold_of_group[group] = np.argmin(filled)
        filled[fold_of_group[group]] += sizes[group]
    return fold_of_group[of_row]


def choose_scorer(rows: Floats, correct: Bools, folds: Ints, *, seed: int) -> Choice:
    """The simplest kind with a mean AURC within one standard error of the best; PRIOR with too little data."""
    missing = _missing_data(correct, folds)
    if missing:
        note = f"{missing}: no calibrator chosen, the reader's mass is shifted to the smoothed rate of right answers"
        return Choice(PRIOR, rows[:, COLUMN["mass"]], {}, note)
    scores = {kind: _out_of_fold(kind, rows, correct, folds, seed=seed) for kind in KINDS}
    per_fold = {kind: _aurc_of_folds(scores[kind], correct, folds) for kind in KINDS}
    kind, best = simplest_within_one_error(per_fold)
    means = {name: float(np.mean(values)) for name, values in per_fold.items()}
    return Choice(kind, scores[kind], means, f"{kind} is the simplest within one standard error of the best ({best})")


def simplest_within_one_error(per_fold: Mapping[str, Floats]) -> tuple[str, str]:
    """The first kind whose mean risk (FOLDS,) is within one standard error of the best kind's, and the best kind.

    Kinds come simplest first. Differences are paired over folds, because folds differ in difficulty more than kinds do.
    Source: one-standard-error rule, Breiman et al. 1984, section 3.4.3.
    """
    best = min(per_fold, key=lambda kind: float(np.mean(per_fold[kind])))
    for kind, risks in per_fold.items():
        difference = risks - per_fold[best]
        if np.mean(difference) <= np.std(difference, ddof=1) / math.sqrt(len(difference)):
            return kind, best
    return best, best


def _aurc_of_folds(scores: Floats, correct: Bools, folds: Ints) -> Floats:
    return np.array([aurc(scores[folds == fold], correct[folds == fold]) for fold in np.unique(folds)])


def _missing_data(correct: Bools, folds: Ints) -> str | None:
    """Why the data does not allow a choice; None where it does."""
    right, wrong = int(correct.sum()), int((~correct).sum())
    if len(correct) < MIN_ITEMS:
        return f"{len(correct)} calibration questions, {MIN_ITEMS} needed"
    if min(right, wrong) < MIN_OF_EACH:
        return f"{right} right and {wrong} wrong, {MIN_OF_EACH} of each needed"
    if len(np.unique(folds)) < FOLDS:
        return f"fewer than {FOLDS} paragraphs"
    if any(len(np.unique(correct[folds != fold])) < 2 for fold in np.unique(folds)):
        return "all right or all wrong answers are of the same paragraphs"
    return None


def _out_of_fold(kind: str, rows: Floats, correct: Bools, folds: Ints, *, seed: int) -> Floats:
    scores = np.zeros(len(rows))
    for fold in np.unique(folds):
        inside = folds == fold
        scores[inside] = fit_scorer(kind, rows[~inside], correct[~inside], seed=seed)(rows[inside])
    return scores


def fit_scorer(kind: str, rows: Floats, correct: Bools, *, seed: int) -> Scorer:
    """The scorer of this kind fitted on rows (N, F). Raises DataError for an unknown kind."""
    if kind in (PRIOR, "mass", "max_probability"):
        column = COLUMN["mass" if kind == PRIOR else kind]
        return lambda new: new[:, column]
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    columns = list(range(rows.shape[1]))
    if kind == "logistic":
        hybrid = LOGISTIC_HYBRID if len(columns) == len(ALL_FEATURES) else ()
        columns = [COLUMN[name] for name in (*LOGISTIC_FEATURES, *hybrid)]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    elif kind == "forest":
        model = RandomForestClassifier(n_estimators=300, min_samples_leaf=10, random_state=seed)
    elif kind == "boosting":
        model = HistGradientBoostingClassifier(
            max_depth=3, learning_rate=0.05, max_iter=150, min_samples_leaf=20, early_stopping=False, random_state=seed
        )
    else:
        raise DataError(f"unknown kind of calibrator {kind!r}; run the round again to fit a new one")
    model.fit(rows[:, columns], correct)
    return lambda new: np.asarray(model.predict_proba(new[:, columns])[:, 1], dtype=np.float64)
