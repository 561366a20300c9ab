"""Adaptive reading: a question's passages are read best-ranked first until no further one will change the answer.

After r of k passages let M_r(a) be the mass of answer a, the sum of exp(score) over the spans with this text, and Z_r
the mass of everything read. With the mass L_r of the best answer, R_r of the second one, and G_r, the most that the
unread passages together would add to one answer:

    L_r - R_r > G_r implies that the best answer after r passages is the best after all k.

For any other answer a: M_k(a) <= R_r + G_r < L_r <= M_k(best), and the normaliser, common to all answers, does not
change their order. This assumes nothing about model or data. Only the text is guaranteed; the score may change.

G_r is unknown before the passages are read. A strict bound exists for a linear head behind a layer normalisation: its
input is no longer than sqrt(H), so a start logit is at most sqrt(H) |P(w * gain)| + w . shift + bias, where P removes
the mean, and ends likewise. It is ten or more nats above actual values and would never stop. So G_r is bounded by
held-out questions: margins d_r = (L_r - R_r) / Z_r and gains g_r = G_r / Z_r, both scale-free, and the rule "stop at
the first r with d_r > threshold_r", calibrated so that the expected share of changed answers in a new split group is at
most the risk. A split group is what was drawn at random: a paragraph with all its questions where paragraphs were held
out, a single question only where questions were drawn one by one. Questions of one paragraph are similar, so a few
held-out paragraphs of many questions count as a few questions, not as many.

The guarantee: the expectation is over the draw of the held-out groups and of the new one; the new group is exchangeable
with the held-out ones (drawn alike, read by the same reader from the same index, with no more passages per question
than in fitting); and each group counts once, however many questions it has. It does not hold for the answers of one
fit, one group, a type of question, or documents unlike the held-out ones.

Source: Angelopoulos, Bates, Fisch, Lei & Schuster 2024, Conformal Risk Control, theorem 1; the loss of a group is the
mean loss of its questions.
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

GRID: Final = np.linspace(0.0, 1.0, 201)  # shares of held-out gains that may exceed a threshold


@dataclass(frozen=True, slots=True, eq=False)
class Masses:
    """Log masses of a question after each of its k passages, (k,), -inf for no mass.

    `top` and `second` are those of the two best answers so far, `gain` is the most that the unread passages add to one
    answer, `total` is that of everything read. `answer` is the best one's normalised text, "" where there is none.
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
    """Reading stops after r passages where the margin is above `thresholds[r - 1]`; a threshold of 1 never stops.

    There is a threshold for each passage except the last, up to the number of passages in fitting; see `stops`. The
    thresholds were chosen on `questions` held-out questions, of which `changed` would get another answer from the share
    `passages` of their passages, 0-1.
    """

    thresholds: tuple[float, ...]
    risk: float
    questions: int
    changed: int
    passages: float


def masses(candidates: Sequence[Candidate], totals: Sequence[float], *, normalize: Callable[[str], str]) -> Masses:
    """The masses of a question from the `candidates` of its k passages and the log masses `totals` (k,) of all spans of
    each passage with its "no answer"."""
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

    Never where it has more passages than the rule was fitted on: no held-out question shows what so many unread
    passages add.
    """
    if passages > len(rule.thresholds) + 1:
        return False
    return read < passages and margin > rule.thresholds[read - 1]


def fit_stopping(split_groups: Sequence[Sequence[Masses]], *, risk: float) -> StoppingRule:
    """The rule that reads least among those whose expected share of changed answers in a new split group is at most
    `risk`.

    `split_groups` are the held-out questions by split group; none is empty. Every second group gives for each share of
    the grid the thresholds that this share of its gains exceeds. For the other n groups, the loss of a group is the
    share of its answers that change, made monotone over the grid; the largest share of the grid is chosen at which the
    losses sum to at most risk * (n + 1) - 1. Where even the smallest loses more, and so always below n = 1 / risk - 1,
    every passage is read. The order of the groups must not depend on their reading.
    """
    fitted, judged = [found for group in split_groups[::2] for found in group], split_groups[1::2]
    depth = max((len(found.answer) for group in split_groups for found in group), default=1)
    columns = [
        np.array([found.gains[read] for found in fitted if len(found.answer) > read + 1]) for read in range(depth - 1)
    ]
    thresholds = np.stack([_threshold(gains) for gains in columns], axis=1) if columns else None
    outcomes = [_apply(group, thresholds) for group in judged]
    losses = sum((changed.mean(axis=0) for _, changed in outcomes), start=np.zeros(len(GRID)))
    questions = sum(map(len, judged))
    allowed = np.flatnonzero(losses + 1 <= risk * (len(judged) + 1))
    if not len(allowed):
        log.warning(
            "adaptive reading: %d held-out questions of %d split groups allow no stopping at risk %g",
            questions,
            len(judged),
            risk,
        )
        return StoppingRule((1.0,) * (depth - 1), risk, questions, 0, 1.0)
    chosen = int(allowed[-1])
    taken = sum(int(read[:, chosen].sum()) for read, _ in outcomes)
    return StoppingRule(
        thresholds=tuple(float(_threshold(gains)[chosen]) for gains in columns),
        risk=risk,
        questions=questions,
        changed=sum(int(changed[:, chosen].sum()) for _, changed in outcomes),
        passages=taken / sum(len(found.answer) for group in judged for found in group),
    )


def _threshold(gains: Floats) -> Floats:
    """(G,) for each share of the grid the smallest gain that at most this share of the gains exceeds, at most 1."""
    if not len(gains):
        return np.ones(len(GRID))
    return np.asarray(np.minimum(np.quantile(gains, 1 - GRID, method="higher"), 1.0))


def _apply(group: Sequence[Masses], thresholds: Floats | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(n, G) passages read of each question at each share of the grid, thresholds (G, k - 1), and whether its answer
    changes at this share or a smaller one."""
    taken = np.zeros((len(group), len(GRID)), dtype=np.int64)
    changed = np.zeros((len(group), len(GRID)), dtype=np.bool_)
    for row, found in enumerate(group):
        count = len(found.answer)
        taken[row] = count
        if thresholds is not None and count > 1:
            stopping = found.margins[: count - 1] > thresholds[:, : count - 1]  # (G, count - 1)
            taken[row] = np.where(stopping.any(axis=1), stopping.argmax(axis=1) + 1, count)
        other = np.array([answer != found.answer[-1] for answer in found.answer])
        changed[row] = np.maximum.accumulate(other[taken[row] - 1])
    return taken, changed
