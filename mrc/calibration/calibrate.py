"""Confidence: what a reader's score is worth. Features and calibrators (no torch).

A calibrator is fitted on questions with known answers that trained nothing. A *scorer* ranks predictions; five are
tried, from the reader's own probability to a forest, and the simplest that is not clearly worse than the best is
taken: across tasks nothing beats the probability consistently (Varshney, Mishra & Baral 2022), while on questions of
a shifted kind a forest raised coverage at 80% accuracy from 48 to 56% (Kamath, Jia & Liang 2020). Platt scaling then
turns its score into a confidence.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mrc.calibration.selective import Bools, Floats, aurc, coverage_at, ece
from mrc.calibration.selective import ReleaseRule as ReleaseRule  # this module is the one door to confidence
from mrc.calibration.selective import release_threshold as release_threshold
from mrc.calibration.selective import reliability_bins as reliability_bins
from mrc.errors import DataError

# What `Prediction.features` must hold, and its unit. None of them needs the answer key.
FEATURES: Final[Mapping[str, str]] = {
    "mass": "m(a): share of all spans of all passages read that say the best answer (Answer.score), 0-1",
    "max_probability": "of its best single span (Answer.probability), 0-1",
    "margin": "mass minus that of the best answer of another text that does not overlap it; mass if none, 0-1",
    "entropy": "of the n-best masses divided by their sum, nats",
    "start_entropy": "of the start distribution over all passages read, nats",
    "end_entropy": "of the end distribution over all passages read, nats",
    "null_score": "mass of 'not in these passages', 0-1",
    "retrieval_score": "of the answer's passage, as retrieved; 0 if the passage was given",
    "retrieval_gap": "retrieval_score minus the score of the passage ranked next; 0 if there is none",
    "passage_rank": "of the answer's passage, from 0",
    "support": "number of passages read that hold the answer's text among their candidate spans, from 1",
    "answer_length": "code points",
    "question_length": "code points",
    "question_overlap": "share of the question's words that stand within 50 code points of the span, 0-1",
}
# What it holds besides where passages were also found by meaning.
HYBRID_FEATURES: Final[Mapping[str, str]] = {
    "bm25_score": "of the answer's passage by terms; 0 where that list does not hold it",
    "bm25_lead": "bm25_score minus the best one of the other passages read; 0 where there is none",
    "dense_score": "cosine of the question and the answer's passage; 0 where that list does not hold it",
    "dense_lead": "dense_score minus the best one of the other passages read; 0 where there is none",
    "lists_agree": "1 where one passage leads by terms and by meaning, else 0",
}
ALL_FEATURES: Final = (*FEATURES, *HYBRID_FEATURES)
LOGISTIC_FEATURES: Final = ("mass", "max_probability", "margin", "entropy", "passage_rank", "support")
LOGISTIC_HYBRID: Final = ("bm25_lead", "dense_lead", "lists_agree")  # as well, where they are known
KINDS: Final = ("max_probability", "mass", "logistic", "forest", "boosting")  # simplest first
PRIOR: Final = "prior"  # the fallback where there is too little to choose or scale by

MIN_ITEMS: Final = 20  # calibration questions, below which only a shift of the mass is fitted
MIN_OF_EACH: Final = 5  # right and wrong ones among them, and groups
FOLDS: Final = 5
PRECISIONS: Final = (0.80, 0.85, 0.90)  # at which coverage is reported

_COLUMN: Final = {name: number for number, name in enumerate(ALL_FEATURES)}
_SURE: Final = 1e-6  # probabilities are kept this far from 0 and 1 before their logit
_REFIT_TOLERANCE: Final = 1e-9  # of confidences after loading; another scikit-learn grows other trees

Scorer = Callable[[Floats], Floats]  # rows (N, F) -> scores (N,) in 0-1


@dataclass(frozen=True, slots=True)
class Platt:
    """confidence = sigmoid(slope * logit(score) + offset), slope >= 0, so that the ranking stands."""

    slope: float
    offset: float

    def __call__(self, score: Floats) -> Floats:
        return _sigmoid(self.slope * _logit(score) + self.offset)


@dataclass(frozen=True, slots=True)
class CalibrationMetrics:
    """How the confidence does on questions that it was not fitted on (out of fold). All but the counts are 0-1."""

    items: int
    correct: int
    aurc: float  # area under the risk-coverage curve: mean error of the most confident k, over all k; less is better
    coverage_at: Mapping[str, float]  # "0.80" -> largest share of items that keeps this precision
    ece: float  # expected calibration error over equal-mass bins
    brier: float
    candidates: Mapping[str, float]  # kind -> mean AURC over folds, of those that could be tried
    note: str  # why this kind; a fallback says so


@dataclass(frozen=True, slots=True, eq=False)
class Calibrator:
    """A fitted scorer with its Platt scaling. Made by `fit` or `from_state`."""

    features: tuple[str, ...]  # what its rows hold: FEATURES, or ALL_FEATURES
    kind: str  # one of KINDS, or PRIOR
    platt: Platt
    metrics: CalibrationMetrics
    out_of_fold: Floats  # (N,) confidences of the calibration rows by calibrators that did not see them
    seed: int
    _rows: Floats
    _correct: Bools
    _groups: tuple[str, ...]
    _scorer: Scorer

    def confidence(self, rows: Floats) -> Floats:
        """Calibrated probabilities of being right `(M,)` for `feature_rows` `(M, F)` of its features."""
        if rows.ndim != 2 or rows.shape[1] != len(self.features):
            raise ValueError(f"rows must be (M, {len(self.features)}), not {rows.shape}")
        return self.platt(self._scorer(rows)) if len(rows) else np.zeros(0)

    def state(self) -> dict[str, Any]:
        """JSON values from which `from_state` makes this calibrator again: data and seed, never a pickle."""
        return {
            "kind": self.kind,
            "features": list(self.features),
            "rows": self._rows.tolist(),
            "correct": self._correct.tolist(),
            "groups": list(self._groups),
            "seed": self.seed,
            "platt": asdict(self.platt),
            "out_of_fold": self.out_of_fold.tolist(),
            "confidence": self.confidence(self._rows).tolist(),
            "metrics": asdict(self.metrics),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Calibrator:
        """The calibrator that gave the state, its confidences equal bit for bit under the same scikit-learn.

        Raises DataError where the features are others, or the refitted confidences differ from the stored ones.
        """
        features = tuple(state["features"])
        if features not in (tuple(FEATURES), ALL_FEATURES):
            raise DataError("the calibrator was fitted on other features; run the round again to fit a new one")
        rows = np.asarray(state["rows"], dtype=np.float64).reshape(-1, len(features))
        correct = np.asarray(state["correct"], dtype=np.bool_)
        calibrator = cls(
            features=features,
            kind=state["kind"],
            platt=Platt(**state["platt"]),
            metrics=CalibrationMetrics(**state["metrics"]),
            out_of_fold=np.asarray(state["out_of_fold"], dtype=np.float64),
            seed=state["seed"],
            _rows=rows,
            _correct=correct,
            _groups=tuple(state["groups"]),
            _scorer=_fit_scorer(state["kind"], rows, correct, seed=state["seed"]),
        )
        if not np.allclose(calibrator.confidence(rows), state["confidence"], rtol=0, atol=_REFIT_TOLERANCE):
            raise DataError("the calibrator gives other confidences than when it was fitted (another scikit-learn?); "
                            "run the round again to fit a new one")  # fmt: skip
        return calibrator

    @property
    def hash(self) -> str:
        """SHA-256 in hexadecimal of the state as canonical JSON."""
        return hashlib.sha256(json.dumps(self.state(), sort_keys=True).encode()).hexdigest()


class Predicted(Protocol):
    """A prediction, fresh or stored."""

    @property
    def question_id(self) -> str: ...
    @property
    def features(self) -> Mapping[str, float]: ...


def known_features(predictions: Sequence[Predicted]) -> tuple[str, ...]:
    """ALL_FEATURES where every prediction holds those of two lists, which only a hybrid index gives; else FEATURES."""
    hybrid = bool(predictions) and all(HYBRID_FEATURES.keys() <= each.features.keys() for each in predictions)
    return ALL_FEATURES if hybrid else tuple(FEATURES)


def feature_rows(predictions: Sequence[Predicted], features: Sequence[str] = tuple(FEATURES)) -> Floats:
    """Features in the order given `(N, F)`; predictions without answers have none, leave them out.

    Raises DataError naming the question whose feature is missing or not finite.
    """
    rows = np.zeros((len(predictions), len(features)))
    for row, prediction in zip(rows, predictions, strict=True):
        for column, name in enumerate(features):
            value = prediction.features.get(name, math.nan)
            if not math.isfinite(value):
                state = "is not finite" if name in prediction.features else "is missing"
                raise DataError(f"prediction for {prediction.question_id}: feature {name} {state}; predict again")
            row[column] = value
    return rows


def fit(rows: Floats, correct: Bools, groups: Sequence[str], *, seed: int) -> Calibrator:
    """The calibrator of these predictions: `rows` (N, F) of `feature_rows`, `correct` (N,), `groups` N paragraph keys.

    As wide as FEATURES, or as ALL_FEATURES: those of the two lists of a hybrid index are looked at then, too.

    Out-of-fold AURC in FOLDS folds that keep groups whole; among the kinds whose mean difference from the best is
    within one standard error (over folds, paired: folds differ in difficulty more than kinds do) the simplest wins.
    Below MIN_ITEMS rows, or MIN_OF_EACH right, wrong or groups, nothing is chosen: the mass is shifted on the logit
    scale to the smoothed rate of right answers (PRIOR), and `metrics.note` says so.

    Raises DataError where there are no rows. Source: one-standard-error rule, Breiman et al. 1984, section 3.4.3.
    """
    rows, correct = np.asarray(rows, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    if not len(rows):
        raise DataError("no calibration questions with an answer: scores stay uncalibrated; add gold questions")
    features = ALL_FEATURES if rows.shape[1:] == (len(ALL_FEATURES),) else tuple(FEATURES)
    if rows.shape != (len(correct), len(features)) or len(groups) != len(correct):
        raise ValueError(f"rows {rows.shape}, correct {correct.shape} and {len(groups)} groups do not fit together")
    folds = _folds(groups, seed=seed)
    kind, scores, candidates, note = _choose(rows, correct, folds, seed=seed)
    scale = _fit_shift if kind == PRIOR else _fit_platt
    confidence = _cross_scaled(scores, correct, folds, scale)
    return Calibrator(
        features=features,
        kind=kind,
        platt=scale(scores, correct),
        metrics=_measure(confidence, correct, candidates=candidates, note=note),
        out_of_fold=confidence,
        seed=seed,
        _rows=rows,
        _correct=correct,
        _groups=tuple(groups),
        _scorer=_fit_scorer(kind, rows, correct, seed=seed),
    )


def _folds(groups: Sequence[str], *, seed: int) -> NDArray[np.int64]:
    """The fold of each row (N,): groups in seeded order, each to the smallest fold so far (ties: the lowest)."""
    names, of_row, sizes = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True, return_counts=True)
    count = min(FOLDS, len(names))
    fold_of_group = np.zeros(len(names), dtype=np.int64)
    filled = np.zeros(count, dtype=np.int64)
    for group in np.random.default_rng(seed).permutation(len(names)):
        fold_of_group[group] = np.argmin(filled)
        filled[fold_of_group[group]] += sizes[group]
    return fold_of_group[of_row]


def _choose(
    rows: Floats, correct: Bools, folds: NDArray[np.int64], *, seed: int
) -> tuple[str, Floats, dict[str, float], str]:
    """The kind chosen, its out-of-fold scores (N,), the AURC of all tried, and why."""
    lacking = _lacking(correct, folds)
    if lacking:
        note = f"{lacking}: no calibrator chosen, the reader's mass is shifted to the smoothed rate of right answers"
        return PRIOR, rows[:, _COLUMN["mass"]], {}, note
    scores = {kind: _out_of_fold(kind, rows, correct, folds, seed=seed) for kind in KINDS}
    per_fold = {kind: _aurc_of_folds(scores[kind], correct, folds) for kind in KINDS}
    means = {kind: float(np.mean(values)) for kind, values in per_fold.items()}
    best = min(KINDS, key=lambda kind: means[kind])
    for kind in KINDS:
        difference = per_fold[kind] - per_fold[best]
        if np.mean(difference) <= np.std(difference, ddof=1) / math.sqrt(len(difference)):
            break
    note = f"{kind} is the simplest within one standard error of the best ({best})"
    return kind, scores[kind], means, note


def _aurc_of_folds(scores: Floats, correct: Bools, folds: NDArray[np.int64]) -> Floats:
    return np.array([aurc(scores[folds == fold], correct[folds == fold]) for fold in np.unique(folds)])


def _lacking(correct: Bools, folds: NDArray[np.int64]) -> str | None:
    """What is missing to choose and scale, in words."""
    right, wrong = int(correct.sum()), int((~correct).sum())
    if len(correct) < MIN_ITEMS:
        return f"{len(correct)} calibration questions, {MIN_ITEMS} needed"
    if min(right, wrong) < MIN_OF_EACH:
        return f"{right} right and {wrong} wrong, {MIN_OF_EACH} of each needed"
    if len(np.unique(folds)) < FOLDS:
        return f"fewer than {FOLDS} paragraphs"
    if any(len(np.unique(correct[folds != fold])) < 2 for fold in np.unique(folds)):
        return "all right or all wrong ones are of the same paragraphs"
    return None


def _out_of_fold(kind: str, rows: Floats, correct: Bools, folds: NDArray[np.int64], *, seed: int) -> Floats:
    scores = np.zeros(len(rows))
    for fold in np.unique(folds):
        inside = folds == fold
        scores[inside] = _fit_scorer(kind, rows[~inside], correct[~inside], seed=seed)(rows[inside])
    return scores


def _fit_scorer(kind: str, rows: Floats, correct: Bools, *, seed: int) -> Scorer:
    if kind in (PRIOR, "mass", "max_probability"):
        column = _COLUMN["mass" if kind == PRIOR else kind]
        return lambda new: new[:, column]
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    columns = list(range(rows.shape[1]))
    if kind == "logistic":
        hybrid = LOGISTIC_HYBRID if len(columns) == len(ALL_FEATURES) else ()
        columns = [_COLUMN[name] for name in (*LOGISTIC_FEATURES, *hybrid)]
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


def _cross_scaled(
    scores: Floats, correct: Bools, folds: NDArray[np.int64], scale: Callable[[Floats, Bools], Platt]
) -> Floats:
    """Confidences (N,), those of each fold scaled by what the other folds show (by itself if it is the only one)."""
    numbers = np.unique(folds)
    if len(numbers) == 1:
        return scale(scores, correct)(scores)
    confidence = np.zeros(len(scores))
    for fold in numbers:
        inside = folds == fold
        confidence[inside] = scale(scores[~inside], correct[~inside])(scores[inside])
    return confidence


def _fit_platt(scores: Floats, correct: Bools) -> Platt:
    """The likeliest scaling towards smoothed targets; a falling slope is set to 0, with the smoothed rate for all.

    Source: Platt 1999 (targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2)), fitted on the logit of the score.
    """
    from scipy.optimize import minimize

    x = _logit(scores)
    right = int(correct.sum())
    target = np.where(correct, (right + 1) / (right + 2), 1 / (len(correct) - right + 2))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * x + parameters[1]
        error = _sigmoid(z) - target
        return float(np.sum(np.logaddexp(0, z) - target * z)), np.array([error @ x, error.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    if found[0] <= 0:
        return Platt(0.0, float(_logit(np.array([(right + 1) / (len(correct) + 2)]))[0]))
    return Platt(float(found[0]), float(found[1]))


def _fit_shift(scores: Floats, correct: Bools) -> Platt:
    """Slope 1 and the offset that makes the mean confidence the smoothed rate (right + 1) / (N + 2)."""
    from scipy.optimize import brentq

    rate = (int(correct.sum()) + 1) / (len(correct) + 2)
    x = _logit(scores)
    return Platt(1.0, float(brentq(lambda offset: float(np.mean(_sigmoid(x + offset))) - rate, -60.0, 60.0)))


def _logit(probability: Floats) -> Floats:
    kept = np.clip(probability, _SURE, 1 - _SURE)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))


def _measure(confidence: Floats, correct: Bools, *, candidates: Mapping[str, float], note: str) -> CalibrationMetrics:
    return CalibrationMetrics(
        items=len(correct),
        correct=int(correct.sum()),
        aurc=aurc(confidence, correct),
        coverage_at={f"{p:.2f}": coverage_at(confidence, correct, precision=p) for p in PRECISIONS},
        ece=ece(confidence, correct),
        brier=float(np.mean((confidence - correct) ** 2)),
        candidates=dict(candidates),
        note=note,
    )
