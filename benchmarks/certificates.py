"""Do certificates keep their promise? Predictions are frozen, the audit is drawn again and again.

    python benchmarks/certificates.py                                   # synthetic rankings, no workspace
    python benchmarks/certificates.py --workspace WS --dump rows.csv    # the newest predictions, by hidden answers
    python benchmarks/certificates.py --rows rows.csv --targets 0.5,0.6,0.7
    python benchmarks/certificates.py --rows replay/seed-*/arm-default/round-1.json --targets 0.5,0.6,0.7

A draw *misses* if it certifies a non-empty set whose true precision is below the target. Ours: the plan and the tests
of `labeler certify`, drawn by the code of `labeler simulate`. Naive: the lowest confidence whose measured precision on
as many judged questions, drawn from the whole pool, reaches the target over at least 30 of them. Coverage is the
certified share of the pool, the oracle's that of the largest prefix of the ranking whose true precision is the target.
Noise flips that share of the judgements, either way. `shifted`: the evidence that plans rest on comes from a set with
15 points more right answers than the pool. Several files of rows, such as those of a replay's seeds, are pools of their
own, whose misses are added up. `other documents`, `worst documents`: half of the documents of the rows are the seeds,
on which the confidences, the plan and the naive threshold rest; the others, drawn at random or those with the fewest
right answers, are the pool. `looks`: the audit is looked at after each quarter and ends once enough is certified, as
`labeler certify --looks` does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.certificate_pools import EVIDENCE, Pool, Rows, dump, lending, pool_of, read_rows, shifted, synthetic
from labeler.replay.redraw import an_attempt, reach, redraw
from mrc.calibration.intervals import exact_interval

OTHER_EVIDENCE = (50, 1000)  # of the synthetic pool: little and much
LOOK_DRAWS = 100  # of audits with looks, whose exact tests take longer


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table before it is measured."""

    name: str
    pool: Pool
    audits: int = 300
    noise: float = 0.0
    looks: bool = False


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
        naive = 100 * self.naive_missed / self.draws
        share = self.coverage / self.oracle if self.oracle else float("nan")
        missed = f"{100 * self.missed / self.draws:.1f} {_bounds(self.missed, self.draws)}"
        cells = (f"{self.target:.2f}", f"{self.audits:.0f}", self.setting, missed, f"{naive:.1f}")
        return f"| {' | '.join(cells)} | {self.coverage:.3f} | {self.oracle:.3f} | {share:.2f} |"


HEADER = """| target | audits | setting | missed % [95%] | naive missed % | coverage | oracle's | share of it |
|---|---|---|---|---|---|---|---|"""


def _bounds(count: int, draws: int) -> str:
    low, high = exact_interval(count, draws)
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def measure(setting: Setting, *, target: float, delta: float, draws: int, seed: int) -> Row:
    """Draw the audit again and again."""
    pool, draws = setting.pool, min(draws, LOOK_DRAWS) if setting.looks else draws
    drawn = redraw(
        pool.ranking(),
        pool.correct,
        an_attempt(target, setting.audits, delta=delta, looks=setting.looks),
        rng=np.random.default_rng(seed),
        draws=draws,
        noise=setting.noise,
        naive_from=pool.seeds,
    )
    best = reach(pool.correct, target) / len(pool.correct)
    return Row(target, setting.name, drawn.asked, drawn.missed, draws, drawn.naive_missed, drawn.coverage, best)


def settings(noise: float, usual: Pool, others: Mapping[str, Pool]) -> Iterator[Setting]:
    """What is measured for each target. `others`: pools with other evidence, or from other documents."""
    noisy = f"{noise:.0%} of reviews wrong"
    yield Setting("exact reviewers", usual, audits=150)
    yield Setting("exact reviewers", usual)
    yield Setting(noisy, usual, noise=noise)
    for name, pool in others.items():
        yield Setting(name, pool)
        if pool.seeds is not None:
            yield Setting(f"{name}, {noisy}", pool, noise=noise)
    yield Setting("looks", usual, looks=True)


def pools(arguments: argparse.Namespace) -> list[tuple[Pool, dict[str, Pool]]]:
    """Each pool and its variants; rows of a file lend a part as evidence."""
    rng = np.random.default_rng(arguments.seed)
    if arguments.rows:
        return _real([read_rows(path) for path in arguments.rows], rng, seed=arguments.seed)
    known = synthetic(arguments.size, arguments.accuracy, rng)
    usual = pool_of(known.confidence, known.right, synthetic(EVIDENCE, arguments.accuracy, rng))
    elsewhere = synthetic(EVIDENCE, min(0.97, arguments.accuracy + 0.15), rng)
    amounts = {f"evidence {count}": synthetic(count, arguments.accuracy, rng) for count in OTHER_EVIDENCE}
    named = {"shifted": elsewhere} | amounts
    return [(usual, {name: replace(usual, evidence=each) for name, each in named.items()})]


def _real(files: Sequence[Rows], rng: np.random.Generator, *, seed: int) -> list[tuple[Pool, dict[str, Pool]]]:
    usual = [lending(rows, rng) for rows in files]
    if all(rows.documents for rows in files):
        apart = np.random.default_rng(seed + 1)
        return [(pool, shifted(rows, apart)) for pool, rows in zip(usual, files, strict=True)]
    print("These rows do not say the documents of all questions: no pool of other documents is made of them.")
    return [(pool, {}) for pool in usual]


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
    for usual, others in known:
        apart = [f"{100 * each.correct.mean():.1f} % in {name}" for name, each in others.items() if each.seeds]
        right = ", ".join([f"{100 * usual.correct.mean():.1f} % right", *apart])
        print(f"{len(usual.correct)} questions, {right}, delta {arguments.delta}")
    print(HEADER)
    for target in map(float, arguments.targets.split(",")):
        for same in zip(*(settings(arguments.noise, usual, others) for usual, others in known), strict=True):
            how = {"delta": arguments.delta, "draws": arguments.draws, "seed": arguments.seed}
            print(pooled([measure(setting, target=target, **how) for setting in same]).text(), flush=True)


if __name__ == "__main__":
    main()
