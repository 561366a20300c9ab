"""Confidence: the estimated probability that an answer is right. Calibrators (no torch).

A calibrator is fitted on questions with known answers that were not trained on. A *scorer* ranks predictions; five
kinds are tried, from the reader's own probability to a forest, and the simplest that is not clearly worse than the
best is chosen: across tasks nothing beats the probability consistently (Varshney, Mishra & Baral 2022), while on
out-of-domain questions a forest raised coverage at 80% accuracy from 48 to 56% (Kamath, Jia & Liang 2020). Platt
scaling then turns its score into a confidence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from mrc.calibration.features import ALL_FEATURES, COLUMN, FEATURES
from mrc.calibration.platt import Platt, cross_scale, fit_platt, fit_shift
from mrc.calibration.quality import PRECISIONS, quality
from mrc.calibration.scorers import PRIOR, Choice, Scorer, assign_folds, choose_scorer, fit_scorer
from mrc.calibration.selective import Bools, Floats
from mrc.errors import DataError

_REFIT_TOLERANCE: Final = 1e-9  # of confidences after loading; another scikit-learn grows other trees


@dataclass(frozen=True, slots=True)
class CalibrationMetrics:
    """Quality of the confidences on questions that they were not fitted on (out of fold); rates are 0-1."""

    items: int
    correct: int
    aurc: float  # area under the risk-coverage curve: mean error of the most confident k, over all k; less is better
    auroc: float  # chance that a right answer is more confident than a wrong one
    coverage_at: Mapping[str, float]  # "0.80" -> largest share of items that keeps this precision
    ece: float  # expected calibration error over equal-mass bins
    brier: float
    intervals: Mapping[str, Sequence[float]]  # 95%, of each number above: [low, high]; paragraphs are drawn whole
    changes: Mapping[str, Sequence[float]]  # from the reader's own probability: [change, low, high]
    candidates: Mapping[str, float]  # kind -> mean AURC over folds, of those that could be tried
    note: str  # why this kind, or why the fallback


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Calibrator:
    """A fitted scorer with its Platt scaling. Made by `fit` or `from_state`."""

    features: tuple[str, ...]  # columns of its rows: FEATURES, or ALL_FEATURES
    kind: str  # one of KINDS, or PRIOR
    platt: Platt
    metrics: CalibrationMetrics
    out_of_fold: Floats  # (N,) confidences of the calibration rows by calibrators that did not see them
    seed: int
    _rows: Floats
    _correct: Bools
    _groups: tuple[str, ...]
    _scorer: Scorer

    def __repr__(self) -> str:
        return (
            f"Calibrator({self.kind}, {len(self.features)} features, {self.metrics.items} questions, "
            f"ECE {self.metrics.ece:.3f}, AURC {self.metrics.aurc:.3f})"
        )

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
        """The calibrator of a `state`; its confidences are bit for bit the same under the same scikit-learn.

        Raises: DataError where the features are others, or the refitted confidences differ from the stored ones.
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
            _scorer=fit_scorer(state["kind"], rows, correct, seed=state["seed"]),
        )
        if not np.allclose(calibrator.confidence(rows), state["confidence"], rtol=0, atol=_REFIT_TOLERANCE):
            raise DataError("the calibrator gives other confidences than when it was fitted (another scikit-learn?); "
                            "run the round again to fit a new one")  # fmt: skip
        return calibrator

    @property
    def hash(self) -> str:
        """SHA-256 in hexadecimal of the state as canonical JSON."""
        return hashlib.sha256(json.dumps(self.state(), sort_keys=True).encode()).hexdigest()


def fit(rows: Floats, correct: Bools, groups: Sequence[str], *, seed: int) -> Calibrator:
    """Fit a calibrator on `rows` (N, F) of `feature_rows`, `correct` (N,) and `groups`, N paragraph keys.

    Rows have the columns of FEATURES, or of ALL_FEATURES for a hybrid index. The scorer is chosen by out-of-fold AURC
    in folds that keep groups whole (`choose_scorer`). With too few questions nothing is chosen: the mass is shifted on
    the logit scale to the smoothed rate of right answers, and `metrics.note` says so.

    Raises: DataError without rows; ValueError for shapes that do not match.
    """
    rows, correct = np.asarray(rows, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    if not len(rows):
        raise DataError("no calibration questions with an answer: scores stay uncalibrated; add gold questions")
    features = ALL_FEATURES if rows.shape[1:] == (len(ALL_FEATURES),) else tuple(FEATURES)
    if rows.shape != (len(correct), len(features)) or len(groups) != len(correct):
        raise ValueError(f"rows {rows.shape}, correct {correct.shape} and {len(groups)} groups do not fit together")
    folds = assign_folds(groups, seed=seed)
    choice = choose_scorer(rows, correct, folds, seed=seed)
    scale = fit_shift if choice.kind == PRIOR else fit_platt
    confidence = cross_scale(choice.scores, correct, folds, scale)
    return Calibrator(
        features=features,
        kind=choice.kind,
        platt=scale(choice.scores, correct),
        metrics=_measure(confidence, rows[:, COLUMN["max_probability"]], correct, groups, choice=choice, seed=seed),
        out_of_fold=confidence,
        seed=seed,
        _rows=rows,
        _correct=correct,
        _groups=tuple(groups),
        _scorer=fit_scorer(choice.kind, rows, correct, seed=seed),
    )


def _measure(
    confidence: Floats, own: Floats, correct: Bools, groups: Sequence[str], *, choice: Choice, seed: int
) -> CalibrationMetrics:
    """The metrics of out-of-fold confidences, against the reader's `own` probability of the same answers."""
    values, changes = quality(confidence, own, correct, groups, seed=seed)
    return CalibrationMetrics(
        items=len(correct),
        correct=int(correct.sum()),
        aurc=values["aurc"].mean,
        auroc=values["auroc"].mean,
        coverage_at={f"{each:.2f}": values[f"coverage_{each:.2f}"].mean for each in PRECISIONS},
        ece=values["ece"].mean,
        brier=values["brier"].mean,
        intervals={name: [each.low, each.high] for name, each in values.items()},
        changes={name: [each.mean, each.low, each.high] for name, each in changes.items()},
        candidates=choice.candidates,
        note=choice.note,
    )
