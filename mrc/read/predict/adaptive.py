"""Adaptive reading: a question's passages are read best-ranked first until no further one will change the answer.

After r of k passages let M_r(a) be the mass of answer a, the sum of exp(score) of the spans kept that say it, and Z_r
that of everything read. With the leader's mass L_r, the best other one's R_r, and G_r, the most that the unread
passages together would add to one answer:

    L_r - R_r > G_r implies that the leader after r passages is the leader after all k.

For any other answer a: M_k(a) <= R_r + G_r < L_r <= M_k(leader), and the normaliser, common to all answers, orders
nothing. This assumes nothing of the model or the data. It is the text that cannot change; the score still would.

G_r is not known before the passages are read. A sure bound exists for a linear head behind a layer normalisation: its
output is no longer than sqrt(H), so a start logit is at most sqrt(H) |P(w * gain)| + w . shift + bias, P taking out the
mean, and ends alike. It lies ten and more nats above what occurs and would never stop a reading. So G_r is bounded by
what held-out questions show: margins d_r = (L_r - R_r) / Z_r and gains g_r = G_r / Z_r, both free of scale, and the
rule "stop at the first r with d_r > threshold_r", calibrated so that the answers of a new unit change in a share whose
mean is at most the risk. A unit is what was drawn at random: a paragraph with all its questions where paragraphs were
held out, a single question only where questions were drawn one by one. Questions of one paragraph are alike, so that
a few held-out paragraphs of many questions say as much as a few questions, not as many.

What holds, and for whom: the mean is over the drawing of the held-out units and of the new one together; the new unit
is exchangeable with the held-out ones (drawn alike, read by the same reader from the same index, no more passages of a
question than were read to fit); and each unit counts once, however many questions it has. It says nothing of the
answers of one fit, of one unit, of a kind of question, or of documents unlike those that were held out.

Source: Angelopoulos, Bates, Fisch, Lei & Schuster 2024, Conformal Risk Control, theorem 1; the loss of a unit is the
mean of those of its questions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.decode import Floats
from mrc.ranking import Candidate

log = logging.getLogger(__name__)

GRID: Final = np.linspace(0.0, 1.0, 201)  # shares of held-out gains that a threshold may leave above it


@dataclass(frozen=True, slots=True, eq=False)
class Masses:
    """A question after each of its k passages; logs (k,), -inf for no mass.

    `top` and `second` are of the best two answers among those read, `gain` what the unread passages add to the answer
    that they favour most, `total` everything read. `answer` is the best one's normalised text, "" where there is none.
    """

    top: Floats
    second: Floats
    gain: Floats
    total: Floats
    answer: tuple[str, ...]

    @property
    def margins(self) -> Floats:
        """(k,) lead of the best answer over the next one, as a share of everything read, 0-1."""
        return np.asarray(np.exp(self.top - self.total) - np.exp(self.second - self.total))

    @property
    def gains(self) -> Floats:
        """(k,) `gain` as a share of everything read; may be above 1."""
        return np.asarray(np.exp(self.gain - self.total))


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """After r passages reading stops where the margin is above `thresholds[r - 1]`; a threshold of 1 never stops.

    There is one for each passage but the last of those that were read of a question to fit them; see `stops`.
    `questions` held-out ones chose the thresholds, of which `changed` would have had another answer; they would have
    been answered from this share `passages` of their passages, 0-1.
    """

    thresholds: tuple[float, ...]
    risk: float
    questions: int
    changed: int
    passages: float


def masses(candidates: Sequence[Candidate], totals: Sequence[float], *, normalize: Callable[[str], str]) -> Masses:
    """The masses of a question whose passages, k of them, hold `candidates` and log masses `totals` (k,), each of all
    the passage's spans and its "no answer"."""
    count = len(totals)
    rows: dict[str, int] = {}
    ordered = sorted(candidates, key=lambda span: (-span.score, span.rank, span.start, span.end))
    named = [(rows.setdefault(normalize(span.text) or span.text, len(rows)), span) for span in ordered]
    held = np.full((max(len(rows), 2), count), -np.inf)  # answers x passages
    for row, span in named:
        held[row, span.rank] = np.logaddexp(held[row, span.rank], span.score)
    read = np.logaddexp.accumulate(held, axis=1)
    unread = np.full((len(held), count), -np.inf)
    unread[:, :-1] = np.logaddexp.accumulate(held[:, ::-1], axis=1)[:, ::-1][:, 1:]
    leaders = read.argmax(axis=0)
    ranked = np.sort(read, axis=0)
    texts = [*rows, ""] if rows else ["", ""]
    top = ranked[-1]
    return Masses(
        top=top,
        second=ranked[-2],
        gain=unread.max(axis=0),
        total=np.logaddexp.accumulate(np.asarray(totals, dtype=np.float64)),
        answer=tuple(texts[row] if np.isfinite(mass) else "" for row, mass in zip(leaders, top, strict=True)),
    )


def stops(rule: StoppingRule, *, read: int, passages: int, margin: float) -> bool:
    """Whether a question is answered after `read` of its `passages`, its best answer leading by `margin`.

    Never where it has more passages than the rule was fitted on: what so many unread ones add, no held-out question
    has shown.
    """
    if passages > len(rule.thresholds) + 1:
        return False
    return read < passages and margin > rule.thresholds[read - 1]


def fit_stopping(units: Sequence[Sequence[Masses]], *, risk: float) -> StoppingRule:
    """The rule that reads least, of those that change at most a share `risk` of the answers of a new unit, in the mean.

    `units` are the held-out questions, those that were drawn together as one; none is empty. One half of the units,
    every second, gives for each share of the grid the thresholds that leave this share of its gains above them. Of the
    other half, of n units, a unit's loss is the share of its answers that change, as the share of the grid grows never
    taken back; the largest share of the grid is chosen at which the losses add up to at most risk * (n + 1) - 1. Where
    even the smallest loses more, and so always below n = 1 / risk - 1, every passage is read. The order of the units
    must not depend on their reading.
    """
    family, judged = [found for unit in units[::2] for found in unit], units[1::2]
    depth = max((len(found.answer) for unit in units for found in unit), default=1)
    columns = [
        np.array([found.gains[read] for found in family if len(found.answer) > read + 1]) for read in range(depth - 1)
    ]
    thresholds = np.stack([_threshold(gains) for gains in columns], axis=1) if columns else None
    verdicts = [_judge(unit, thresholds) for unit in judged]
    losses = sum((changed.mean(axis=0) for _, changed in verdicts), start=np.zeros(len(GRID)))
    questions = sum(map(len, judged))
    allowed = np.flatnonzero(losses + 1 <= risk * (len(judged) + 1))
    if not len(allowed):
        log.warning(
            "adaptive reading: %d held-out questions of %d units allow no stopping at risk %g",
            questions,
            len(judged),
            risk,
        )
        return StoppingRule((1.0,) * (depth - 1), risk, questions, 0, 1.0)
    chosen = int(allowed[-1])
    taken = sum(int(read[:, chosen].sum()) for read, _ in verdicts)
    return StoppingRule(
        thresholds=tuple(float(_threshold(gains)[chosen]) for gains in columns),
        risk=risk,
        questions=questions,
        changed=sum(int(changed[:, chosen].sum()) for _, changed in verdicts),
        passages=taken / sum(len(found.answer) for unit in judged for found in unit),
    )


def _threshold(gains: Floats) -> Floats:
    """(G,) for each share of the grid the least of the gains that at most this share of them exceeds, at most 1."""
    if not len(gains):
        return np.ones(len(GRID))
    return np.asarray(np.minimum(np.quantile(gains, 1 - GRID, method="higher"), 1.0))


def _judge(judged: Sequence[Masses], thresholds: Floats | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(n, G) passages read of each question under each share of the grid, thresholds (G, k - 1), and whether its answer
    changes under this share or a smaller one."""
    taken = np.zeros((len(judged), len(GRID)), dtype=np.int64)
    changed = np.zeros((len(judged), len(GRID)), dtype=np.bool_)
    for row, found in enumerate(judged):
        count = len(found.answer)
        taken[row] = count
        if thresholds is not None and count > 1:
            stopping = found.margins[: count - 1] > thresholds[:, : count - 1]  # (G, count - 1)
            taken[row] = np.where(stopping.any(axis=1), stopping.argmax(axis=1) + 1, count)
        other = np.array([answer != found.answer[-1] for answer in found.answer])
        changed[row] = np.maximum.accumulate(other[taken[row] - 1])
    return taken, changed
