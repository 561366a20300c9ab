"""Do certificates keep their promise? Predictions are frozen, the audit is drawn again and again.

    python benchmarks/certificates.py                                   # synthetic rankings, no workspace
    python benchmarks/certificates.py --workspace WS --dump rows.csv    # confidence,correct of the newest predictions
    python benchmarks/certificates.py --rows rows.csv --targets 0.5,0.6,0.7
    python benchmarks/certificates.py --rows replay/seed-*/arm-default/round-1.json --targets 0.5,0.6,0.7

A draw *misses* if it certifies a non-empty set whose true precision is below the target. Ours: the plan and the tests
of `labeler certify`. Naive: the lowest confidence whose measured precision on as many judged questions, drawn from the
whole pool, reaches the target over at least 30 of them. Coverage is the certified share of the pool, the oracle's that
of the largest prefix of the ranking whose true precision is the target. Noise flips that share of the judgements,
either way. `shifted`: the evidence that plans rest on comes from a set with 15 points more right answers than the pool.
Several files of rows, such as those of a replay's seeds, are pools of their own, whose misses are added up.
`looks`: the audit is looked at after each quarter and ends once enough is certified, as `labeler certify --looks` does.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parent.parent))
from mrc.calibration.audit_plan import choose_sets, precision_curves
from mrc.calibration.certification import certified, nested_sizes, required, run_tests
from mrc.calibration.intervals import exact_interval
from mrc.calibration.looks import LOOKS, Look, planned_looks
from mrc.calibration.selective import release_threshold

AUROC = 0.82
EVIDENCE = 200  # judged questions that plans are made of
OTHER_EVIDENCE = (50, 1000)  # of the synthetic pool: little and much
LOOK_DRAWS = 100  # of audits with looks, whose exact tests take longer
Floats, Bools = NDArray[np.float64], NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pool:
    """A frozen ranking, most confident first, and the evidence of earlier answers."""

    confidence: Floats
    correct: Bools
    evidence: Floats
    right: Bools


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table before it is measured."""

    name: str
    pool: Pool
    audits: int = 300
    noise: float = 0.0
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one setting."""

    target: float
    setting: str
    audits: float  # on average
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
        cells = (f"{self.target:.2f}", f"{self.audits:.0f}", self.setting, missed, f"{naive:.1f}")
        return f"| {' | '.join(cells)} | {self.coverage:.3f} | {self.oracle:.3f} | {share:.2f} |"


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


def measure(setting: Setting, *, target: float, delta: float, draws: int, seed: int) -> Row:
    """Draw the audit again and again."""
    rng = np.random.default_rng(seed)
    pool, size = setting.pool, len(setting.pool.correct)
    every = nested_sizes(size, ranked=size, coverage=1.0)
    curves = precision_curves(every, pool.confidence.tolist(), pool.evidence, pool.right)
    chosen = choose_sets(every, curves, audits=setting.audits, target=target, delta=delta)
    sizes = every[: chosen.last + 1]
    looks = planned_looks(min(setting.audits, sizes[-1]), delta=delta, count=setting.looks)
    draws = draws if setting.looks == 1 else min(draws, LOOK_DRAWS)
    missed = naive = 0
    covered, used = [], []
    for _ in range(draws):
        ranks = rng.choice(sizes[-1], looks[-1].audits, replace=False)
        judged = pool.correct[ranks] ^ (rng.random(len(ranks)) < setting.noise)
        how = {"start": chosen.start, "target": target}
        kept, audits = audit(sizes, ranks.tolist(), judged.tolist(), looks, chosen.hoped or sizes[-1], **how)
        missed += bool(kept) and bool(pool.correct[:kept].sum() < required(kept, target=target))
        covered.append(kept / size)
        used.append(audits)
        naive += _naive_misses(pool, setting.audits, target, setting.noise, rng)
    means = float(np.mean(used)), float(np.mean(covered))
    return Row(target, setting.name, means[0], missed, draws, naive, means[1], oracle(pool, target))


def audit(
    sizes: Sequence[int],
    ranks: Sequence[int],
    judged: Sequence[bool],
    looks: Sequence[Look],
    enough: int,
    *,
    start: int,
    target: float,
) -> tuple[int, int]:
    """The size of the certified set, 0 for none, and how many of the drawn questions were asked."""
    kept = 0
    for number, look in enumerate(looks, start=1):
        asked = ranks[: look.audits], judged[: look.audits]
        found = certified(run_tests(sizes, *asked, start=start, target=target, looks=looks[:number]))
        kept = found.size if found else 0
        if kept >= enough:
            return kept, look.audits
    return kept, looks[-1].audits


def _naive_misses(pool: Pool, audits: int, target: float, noise: float, rng: np.random.Generator) -> bool:
    sample = rng.choice(len(pool.correct), min(audits, len(pool.correct)), replace=False)
    judged = pool.correct[sample] ^ (rng.random(len(sample)) < noise)
    rule = release_threshold(pool.confidence[sample], judged, target=target)
    if rule.threshold is None:
        return False
    kept = int((pool.confidence >= rule.threshold).sum())
    return bool(pool.correct[:kept].sum() < required(kept, target=target))


def settings(arguments: argparse.Namespace, usual: Pool, others: Iterable[tuple[str, Pool]]) -> Iterator[Setting]:
    """What is measured for each target. `others`: the pool with other evidence."""
    yield Setting("exact reviewers", usual, audits=150)
    yield Setting("exact reviewers", usual)
    yield Setting(f"{arguments.noise:.0%} of reviews wrong", usual, noise=arguments.noise)
    yield from (Setting(name, pool) for name, pool in others)
    yield Setting("looks", usual, looks=LOOKS)


def read_rows(path: Path) -> tuple[Floats, Bools]:
    """Confidences and correctness of a CSV file, or of the predictions that a round of a replay began with."""
    if path.suffix == ".json":
        judged = json.loads(path.read_text(encoding="utf-8"))["judged"]
        return np.array([row[1] for row in judged]), np.array([row[3] for row in judged], dtype=np.bool_)
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


def pools(arguments: argparse.Namespace) -> list[tuple[Pool, list[tuple[str, Pool]]]]:
    """Each pool, and the same with other evidence; rows of a file lend a part as evidence."""
    rng = np.random.default_rng(arguments.seed)
    if arguments.rows:
        return [(lending(*read_rows(path), rng), []) for path in arguments.rows]
    confidence, correct = synthetic(arguments.size, arguments.accuracy, rng)
    usual = pool_of(confidence, correct, synthetic(EVIDENCE, arguments.accuracy, rng))
    elsewhere = synthetic(EVIDENCE, min(0.97, arguments.accuracy + 0.15), rng)
    amounts = {f"evidence {count}": synthetic(count, arguments.accuracy, rng) for count in OTHER_EVIDENCE}
    named = {"shifted": elsewhere} | amounts
    return [(usual, [(name, replace(usual, evidence=each[0], right=each[1])) for name, each in named.items()])]


def lending(confidence: Floats, correct: Bools, rng: np.random.Generator) -> Pool:
    """The pool of these rows without some that are the evidence, drawn at random."""
    order = rng.permutation(len(correct))
    lent, rest = order[:EVIDENCE], order[EVIDENCE:]
    return pool_of(confidence[rest], correct[rest], (confidence[lent], correct[lent]))


def pooled(rows: Sequence[Row]) -> Row:
    """One setting over all pools: draws and misses added up, the rest averaged."""
    return replace(
        rows[0],
        audits=float(np.mean([row.audits for row in rows])),
        missed=sum(row.missed for row in rows),
        draws=sum(row.draws for row in rows),
        naive_missed=sum(row.naive_missed for row in rows),
        coverage=float(np.mean([row.coverage for row in rows])),
        oracle=float(np.mean([row.oracle for row in rows])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="dump its newest predictions and stop")
    parser.add_argument("--dump", type=Path, default=Path("rows.csv"))
    parser.add_argument("--rows", type=Path, nargs="+", help="files of real predictions instead of synthetic rankings")
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
    known = pools(arguments)
    for usual, _ in known:
        print(f"{len(usual.correct)} questions, {100 * usual.correct.mean():.1f} % right, delta {arguments.delta}")
    print(HEADER)
    for target in map(float, arguments.targets.split(",")):
        for same in zip(*(settings(arguments, usual, others) for usual, others in known), strict=True):
            how = {"delta": arguments.delta, "draws": arguments.draws, "seed": arguments.seed}
            print(pooled([measure(setting, target=target, **how) for setting in same]).text(), flush=True)


if __name__ == "__main__":
    main()
