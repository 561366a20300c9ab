"""Frozen rankings for `certificates.py`: synthetic ones, those of real predictions, and pools unlike their seeds."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from db.rows import CertificateItem, SpanRow
from labeler.certify.ranking import Ranking
from labeler.replay.redraw import Judged

AUROC = 0.82
EVIDENCE = 200  # judged questions that plans are made of
COLUMNS = ("confidence", "correct", "probability", "document")
_SPAN = SpanRow("x", "p", 0, 1)  # whatever was answered: audits look at ranks alone
Floats, Bools = NDArray[np.float64], NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pool:
    """A frozen ranking, most confident first, and the evidence of earlier answers.

    `seeds`: the judged questions that a naive threshold is chosen on; None: questions of the pool.
    """

    confidence: Floats
    correct: Bools
    evidence: Judged
    seeds: Judged | None = None

    def ranking(self) -> Ranking:
        """The ranking as `labeler certify` freezes it."""
        items = [
            CertificateItem(rank, f"q{rank}", _SPAN, each, each) for rank, each in enumerate(self.confidence.tolist())
        ]
        ids = [item.question_id for item in items]
        return Ranking(1, ids, items, {}, self.evidence.confidence, self.evidence.right)


@dataclass(frozen=True, slots=True)
class Rows:
    """Predictions of one pool. `probability` and `documents` are None where the file does not have them."""

    confidence: Floats
    correct: Bools
    probability: Floats | None
    documents: Sequence[str] | None


def synthetic(size: int, accuracy: float, rng: np.random.Generator) -> Judged:
    """Calibrated confidences of this AUROC, and correctness: scores of right and wrong answers are two normals."""
    distance = float(np.sqrt(2) * norm.ppf(AUROC))
    correct = rng.random(size) < accuracy
    score = rng.normal(size=size) + distance * correct
    odds = accuracy / (1 - accuracy) * np.exp(distance * score - distance**2 / 2)
    return Judged(odds / (1 + odds), correct)


def pool_of(confidence: Floats, correct: Bools, evidence: Judged, seeds: Judged | None = None) -> Pool:
    order = np.argsort(-confidence, kind="stable")
    return Pool(confidence[order], correct[order], evidence, seeds)


def lending(rows: Rows, rng: np.random.Generator) -> Pool:
    """The pool of these rows without some that are the evidence, drawn at random."""
    order = rng.permutation(len(rows.correct))
    lent, rest = order[:EVIDENCE], order[EVIDENCE:]
    return pool_of(rows.confidence[rest], rows.correct[rest], Judged(rows.confidence[lent], rows.correct[lent]))


def shifted(rows: Rows, rng: np.random.Generator) -> dict[str, Pool]:
    """The pool from other documents than all that is known; nothing where the rows do not say their documents.

    `other documents`: half of the questions, by documents drawn at random. `worst documents`: the half whose documents
    have the fewest right answers. The other half are the seeds: the confidences are fitted on them, the plan's
    evidence is a part of them that is not fitted on, and the naive threshold is chosen on them.
    """
    if rows.documents is None or rows.probability is None:
        return {}
    names = sorted(set(rows.documents))
    rights = {name: [] for name in names}  # type: dict[str, list[bool]]
    for name, right in zip(rows.documents, rows.correct.tolist(), strict=True):
        rights[name].append(right)
    drawn = [names[place] for place in rng.permutation(len(names))]
    worst = sorted(names, key=lambda name: (float(np.mean(rights[name])), name))
    orders = {"other documents": drawn, "worst documents": worst}
    return {name: _elsewhere(rows, _half(order, rights), rng) for name, order in orders.items()}


def _half(order: Sequence[str], rights: dict[str, list[bool]]) -> set[str]:
    """The first documents that have half of the questions together."""
    found: set[str] = set()
    wanted = sum(map(len, rights.values())) / 2
    for name in order:
        if sum(len(rights[each]) for each in found) >= wanted:
            break
        found.add(name)
    return found


def _elsewhere(rows: Rows, documents: set[str], rng: np.random.Generator) -> Pool:
    """The pool of these documents, with confidences, evidence and seeds of the others."""
    from sklearn.linear_model import LogisticRegression

    assert rows.documents is not None
    assert rows.probability is not None
    scores = np.stack([_logits(rows.confidence), _logits(rows.probability)], axis=1)
    inside = np.array([name in documents for name in rows.documents])
    seeds = rng.permutation(np.flatnonzero(~inside))
    lent, fitted = seeds[:EVIDENCE], seeds[EVIDENCE:]
    model = LogisticRegression(max_iter=1000).fit(scores[fitted], rows.correct[fitted])
    confidence = model.predict_proba(scores)[:, 1]
    known = [Judged(confidence[part], rows.correct[part]) for part in (lent, seeds)]
    return pool_of(confidence[inside], rows.correct[inside], *known)


def _logits(rates: Floats) -> Floats:
    kept = np.clip(rates, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(kept / (1 - kept)), dtype=np.float64)


# --- files ----------------------------------------------------------------------------------------


def read_rows(path: Path) -> Rows:
    """The rows of a CSV file (`dump`), or the predictions that a round of a replay began with."""
    if path.suffix == ".json":
        judged = json.loads(path.read_text(encoding="utf-8"))["judged"]
        return _rows([(each[1], each[3], each[2], each[4] if len(each) > 4 else None) for each in judged])
    with path.open(encoding="utf-8", newline="") as file:
        return _rows([tuple(row.get(name) for name in COLUMNS) for row in csv.DictReader(file)])


def _rows(read: Sequence[tuple[Any, ...]]) -> Rows:
    confidence, correct, probability, documents = zip(*read, strict=True)
    return Rows(
        np.array(confidence, dtype=np.float64),
        np.array([int(each) for each in correct], dtype=np.bool_),
        np.array(probability, dtype=np.float64) if all(probability) else None,
        [str(each) for each in documents] if all(documents) else None,
    )


def dump(workspace: Path, path: Path) -> int:
    """Write the newest predictions of the pool that have hidden answers as rows; returns how many."""
    from db import queries
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace
    from labeler.evaluation.pseudo_precision import judged_answers

    opened = open_workspace(workspace)
    database = opened.database()
    metric = Runtime(opened, database).metric
    with database.read() as session:
        judged = judged_answers(session, queries.predicted_rounds(session)[-1], metric=metric)
    database.close()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((each.confidence, int(each.right), each.probability, each.document) for each in judged)
    return len(judged)
