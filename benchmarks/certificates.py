"""Do certificates keep their promise? Predictions are frozen, the audit is drawn again and again.

    python benchmarks/certificates.py                                   # synthetic rankings, no workspace
    python benchmarks/certificates.py --workspace WS --dump rows.csv    # confidence,correct of the newest predictions
    python benchmarks/certificates.py --rows rows.csv --targets 0.5,0.6,0.7

A draw *misses* if it certifies a non-empty set whose true precision is below the target. Ours: the plan and the tests
of `labeler certify`. Naive: the lowest confidence whose measured precision on as many judged questions, drawn from the
whole pool, reaches the target over at least 30 of them. Coverage is the certified share of the pool, the oracle's that
of the largest prefix of the ranking whose true precision is the target. Noise flips that share of the judgements,
either way. `shifted`: the evidence that plans rest on comes from a set with 15 points more right answers than the pool.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parent.parent))
from mrc.calibration.certification import (
    STEPS,
    certified,
    choose_start,
    largest_coverage,
    nested_sizes,
    precision_by_set,
    required,
    run_tests,
)
from mrc.calibration.intervals import exact_interval
from mrc.calibration.selective import release_threshold

AUROC = 0.82
EVIDENCE = 200  # judged questions that plans are made of
Floats, Bools = NDArray[np.float64], NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pool:
    """A frozen ranking, most confident first, and the evidence of earlier answers."""

    confidence: Floats
    correct: Bools
    evidence: Floats
    right: Bools


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one setting."""

    target: float
    audits: int
    setting: str
    missed: int
    draws: int
    naive_missed: int
    coverage: float
    oracle: float

    def text(self) -> str:
        low, high = exact_interval(self.missed, self.draws)
        naive = 100 * self.naive_missed / self.draws
        share = self.coverage / self.oracle if self.oracle else float("nan")
        missed = f"{100 * self.missed / self.draws:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        cells = (f"{self.target:.2f}", self.audits, self.setting, missed, f"{naive:.1f}")
        return f"| {' | '.join(map(str, cells))} | {self.coverage:.3f} | {self.oracle:.3f} | {share:.2f} |"


HEADER = """| target | audits | setting | missed % [95%] | naive missed % | coverage | oracle's | share of it |
|---|---|---|---|---|---|---|---|"""


def synthetic(size: int, accuracy: float, rng: np.random.Generator) -> tuple[Floats, Bools]:
    """Calibrated confidences of this AUROC, and correctness: scores of right and wrong answers are two normals."""
    distance = float(np.sqrt(2) * norm.ppf(AUROC))
    correct = rng.random(size) < accuracy
    score = rng.normal(size=size) + distance * correct
    odds = accuracy / (1 - accuracy) * np.exp(distance * score - distance**2 / 2)
    return odds / (1 + odds), correct


def pool_of(confidence: Floats, correct: Bools, evidence: tuple[Floats, Bools]) -> Pool:
    order = np.argsort(-confidence, kind="stable")
    return Pool(confidence[order], correct[order], *evidence)


def oracle(pool: Pool, target: float) -> float:
    """The largest share of the pool, from the top of the ranking, that has the target precision."""
    right = np.cumsum(pool.correct)
    good = [k for k in range(1, len(right) + 1) if right[k - 1] >= required(k, target=target)]
    return good[-1] / len(right) if good else 0.0


def measure(
    pool: Pool, *, target: float, audits: int, delta: float, noise: float, draws: int, setting: str, seed: int
) -> Row:
    """Draw the audit again and again."""
    rng = np.random.default_rng(seed)
    size = len(pool.correct)
    confidences = pool.confidence.tolist()
    every = nested_sizes(size, ranked=size, coverage=1.0)
    expected = precision_by_set(every, confidences, pool.evidence, pool.right)
    assert len(every) == STEPS
    sizes = nested_sizes(size, ranked=size, coverage=largest_coverage(expected, target=target))
    count = min(audits, sizes[-1])
    start = choose_start(sizes, expected[: len(sizes)], audits=count, target=target, delta=delta)
    missed = naive = 0
    covered = []
    for _ in range(draws):
        ranks = rng.choice(sizes[-1], count, replace=False)
        judged = pool.correct[ranks] ^ (rng.random(count) < noise)
        found = certified(run_tests(sizes, ranks.tolist(), judged.tolist(), start=start, target=target, delta=delta))
        kept = found.size if found else 0
        missed += bool(kept) and bool(pool.correct[:kept].sum() < required(kept, target=target))
        covered.append(kept / size)
        naive += _naive_misses(pool, audits, target, noise, rng)
    return Row(target, audits, setting, missed, draws, naive, float(np.mean(covered)), oracle(pool, target))


def _naive_misses(pool: Pool, audits: int, target: float, noise: float, rng: np.random.Generator) -> bool:
    sample = rng.choice(len(pool.correct), min(audits, len(pool.correct)), replace=False)
    judged = pool.correct[sample] ^ (rng.random(len(sample)) < noise)
    rule = release_threshold(pool.confidence[sample], judged, target=target)
    if rule.threshold is None:
        return False
    kept = int((pool.confidence >= rule.threshold).sum())
    return bool(pool.correct[:kept].sum() < required(kept, target=target))


def settings(
    arguments: argparse.Namespace, usual: Pool, shifted: Pool | None
) -> Iterator[tuple[Pool, int, float, str]]:
    """Pool, audits, noise and name of each setting."""
    for audits in (150, 300):
        yield usual, audits, 0.0, "exact reviewers"
    yield usual, 300, arguments.noise, f"{arguments.noise:.0%} of reviews wrong"
    if shifted is not None:
        yield shifted, 300, 0.0, "shifted"


def read_rows(path: Path) -> tuple[Floats, Bools]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(float(row["confidence"]), row["correct"] == "1") for row in csv.DictReader(file)]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def dump(workspace: Path, path: Path) -> int:
    """Write confidence and correctness of the newest predictions of the pool, by hidden answers; returns how many."""
    from db import hidden_answers, queries
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace
    from mrc.metrics import exact_match

    opened = open_workspace(workspace)
    database = opened.database()
    metric = Runtime(opened, database).metric
    with database.read() as session:
        rows = [
            row
            for row in queries.predictions(session, queries.predicted_rounds(session)[-1])
            if row.question_role == "pool" and row.answers and row.confidence is not None
        ]
        known = hidden_answers.answers(session, [row.question_id for row in rows])
    database.close()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("confidence", "correct"))
        for row in rows:
            golds = known[row.question_id].answers if row.question_id in known else ()
            right = any(exact_match(row.answers[0].text, gold.text, metric) == 1 for gold in golds)
            writer.writerow((row.confidence, int(right)))
    return len(rows)


def pools(arguments: argparse.Namespace) -> tuple[Pool, Pool | None]:
    """The pool, and the same with evidence from elsewhere; rows of a file lend a part as evidence."""
    rng = np.random.default_rng(arguments.seed)
    if arguments.rows is None:
        confidence, correct = synthetic(arguments.size, arguments.accuracy, rng)
        usual = pool_of(confidence, correct, synthetic(EVIDENCE, arguments.accuracy, rng))
        elsewhere = synthetic(EVIDENCE, min(0.97, arguments.accuracy + 0.15), rng)
        return usual, pool_of(confidence, correct, elsewhere)
    confidence, correct = read_rows(arguments.rows)
    order = rng.permutation(len(correct))
    lent, rest = order[:EVIDENCE], order[EVIDENCE:]
    return pool_of(confidence[rest], correct[rest], (confidence[lent], correct[lent])), None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="dump its newest predictions and stop")
    parser.add_argument("--dump", type=Path, default=Path("rows.csv"))
    parser.add_argument("--rows", type=Path, help="a file of confidence,correct instead of synthetic rankings")
    parser.add_argument("--targets", default="0.8,0.85,0.9")
    parser.add_argument("--accuracy", type=float, default=0.7, help="of the synthetic reader")
    parser.add_argument("--size", type=int, default=5000, help="of the synthetic pool")
    parser.add_argument("--delta", type=float, default=0.1)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.workspace is not None:
        print(f"{dump(arguments.workspace, arguments.dump)} rows written to {arguments.dump}")
        return
    usual, shifted = pools(arguments)
    print(f"{len(usual.correct)} questions, {100 * usual.correct.mean():.1f} % right, delta {arguments.delta}")
    print(HEADER)
    for target in map(float, arguments.targets.split(",")):
        for pool, audits, noise, setting in settings(arguments, usual, shifted):
            how = {"delta": arguments.delta, "noise": noise, "draws": arguments.draws, "seed": arguments.seed}
            print(measure(pool, target=target, audits=audits, setting=setting, **how).text(), flush=True)


if __name__ == "__main__":
    main()
