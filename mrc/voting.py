"""Votes of several readers on one answer, on the characters of the text: voting is tokenizer-independent.

The start score of a token counts for the character at which it starts, its end score for the position behind it;
nothing is spread over the inside of a token, where an end would let the vote split words that no reader splits. For
each member the scores of a question become probabilities of two softmaxes, of starts and of ends, over all its passages
and the "no answer" of every window. With the members' mean probabilities p_s and p_e a span scores

    S(a, b) = log p_s(a) + log p_e(b)    for a < b <= reach(a),

where reach(a) is the end of the longest answer from a that some member considers.

A single member answers as it does without voting: S then differs from start + end by a constant, the same for "no
answer". (Exactly so for windows that hold their passage, tokens without common boundaries, and heads that score start
and end independently; a biaffine head votes with the marginals of its spans.) If a token is split, and its first piece
keeps the probability of the start and its last piece that of the end, p_s, p_e and reach do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mrc.decode import Floats, Ints, WindowSpans, entropy, logsumexp, search
from mrc.errors import MembersDisagree
from mrc.ranking import Candidate, Ranked
from mrc.types import Answer, Passage


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """One reader's scores of a passage's N tokens, each from the window that owns it, and of W windows' "no answer".

    `offsets` (N, 2) exclude white space at both ends; `last` (N,) is the last token of the longest answer that starts
    at each token. `length` is that of the text, in code points like all offsets.
    """

    passage_id: str
    length: int
    offsets: Ints
    start: Floats
    end: Floats
    last: Ints
    null_start: Floats
    null_end: Floats


@dataclass(frozen=True, slots=True, eq=False)
class CharProbs:
    """Log probabilities of starts and ends of the answer on the characters of a passage, of a reader or of a vote.

    An answer may start at `starts` (S,) and end at one of `ends` (E,), exclusive, up to `reach` (S,); both are sorted.
    `null_start` and `null_end` are the log probabilities of "no answer" in the two softmaxes, `null` its score among
    the spans. All probabilities are those of a softmax over the whole question.
    """

    passage_id: str
    length: int
    starts: Ints
    start_log: Floats
    reach: Ints
    ends: Ints
    end_log: Floats
    null_start: float
    null_end: float
    null: float


def char_probs(question: Sequence[TokenScores], priors: Sequence[float] = ()) -> list[CharProbs]:
    """The character probabilities of all passages of a question, normalised over all of them.

    `priors`: what is added to the score of every span of each passage, in nats; one half falls to its start and one to
    its end, so that a single reader's spans keep their probabilities. Empty: nothing.
    """
    raised = [_raised(own, prior / 2) for own, prior in zip(question, priors or (0.0,) * len(question), strict=True)]
    start_total = logsumexp(np.concatenate([part for own in raised for part in (own.start, own.null_start)]))
    end_total = logsumexp(np.concatenate([part for own in raised for part in (own.end, own.null_end)]))
    return [_of_passage(own, float(start_total), float(end_total)) for own in raised]


def _raised(own: TokenScores, by: float) -> TokenScores:
    """The same with all scores of starts and ends raised."""
    if not by:
        return own
    names = ("start", "end", "null_start", "null_end")
    return replace(own, **{name: getattr(own, name) + by for name in names})


def _of_passage(own: TokenScores, start_total: float, end_total: float) -> CharProbs:
    solid = own.offsets[:, 0] < own.offsets[:, 1]  # no answer starts or ends at a token of white space
    starts, start_log = _summed(own.offsets[solid, 0], own.start[solid] - start_total)
    ends, end_log = _summed(own.offsets[solid, 1], own.end[solid] - end_total)
    null_start, null_end = own.null_start - start_total, own.null_end - end_total
    return CharProbs(
        own.passage_id,
        own.length,
        starts=starts,
        start_log=start_log,
        reach=_furthest(starts, own.offsets[solid, 0], own.offsets[own.last[solid], 1]),
        ends=ends,
        end_log=end_log,
        null_start=float(logsumexp(null_start)),
        null_end=float(logsumexp(null_end)),
        null=float(logsumexp(null_start + null_end)),
    )


def _summed(places: Ints, logs: Floats) -> tuple[Ints, Floats]:
    """The distinct places, sorted, and the log of the summed exp(logs) at each."""
    found, where = np.unique(places, return_inverse=True)
    out = np.full(len(found), -np.inf)
    np.logaddexp.at(out, where, logs)
    return found, out


def _furthest(distinct: Ints, places: Ints, reach: Ints) -> Ints:
    """The largest reach at each of the distinct places."""
    out = np.zeros(len(distinct), dtype=np.int64)
    np.maximum.at(out, np.searchsorted(distinct, places), reach)
    return out


def span_probs(passages: Sequence[Passage], spans: Sequence[Candidate], *, null: float) -> list[CharProbs]:
    """The character probabilities of all passages of a question, of spans with the logarithms of their masses.

    Masses and `null`, the mass of "no answer", which the passages share evenly, are normalised together.
    """
    lowest = -np.inf if null <= 0 else float(np.log(null))
    total = float(logsumexp(np.array([*(span.score for span in spans), lowest])))
    share = lowest - total - float(np.log(len(passages)))
    return [
        _of_spans(each, [span for span in spans if span.rank == at], total, share) for at, each in enumerate(passages)
    ]


def _of_spans(passage: Passage, spans: Sequence[Candidate], total: float, null: float) -> CharProbs:
    first, last = (np.array([getattr(span, name) for span in spans], dtype=np.int64) for name in ("start", "end"))
    logs = np.array([span.score - total for span in spans], dtype=np.float64)
    starts, start_log = _summed(first, logs)
    ends, end_log = _summed(last, logs)
    reach = _furthest(starts, first, last)
    return CharProbs(passage.id, len(passage.text), starts, start_log, reach, ends, end_log, null, null, 2 * null)


def average(
    members: Sequence[CharProbs], weights: Sequence[float] | None = None, *, names: Sequence[str] = ()
) -> CharProbs:
    """The weighted mean of the members' probabilities of one passage; a member of weight 0 is left out.

    Raises: MembersDisagree where they do not read the same text.
    """
    _check_text(members, names)
    shares = np.asarray(weights if weights is not None else np.ones(len(members)), dtype=np.float64)
    voting = [(own, float(np.log(share))) for own, share in zip(members, shares / shares.sum(), strict=True) if share]
    starts, start_log = _summed(
        np.concatenate([own.starts for own, _ in voting]), np.concatenate([own.start_log + log for own, log in voting])
    )
    ends, end_log = _summed(
        np.concatenate([own.ends for own, _ in voting]), np.concatenate([own.end_log + log for own, log in voting])
    )
    places, reach = (np.concatenate([getattr(own, name) for own, _ in voting]) for name in ("starts", "reach"))
    nulls = [
        float(np.logaddexp.reduce([getattr(own, name) + log for own, log in voting]))
        for name in ("null_start", "null_end", "null")
    ]
    first = members[0]
    return CharProbs(
        first.passage_id, first.length, starts, start_log, _furthest(starts, places, reach), ends, end_log, *nulls
    )


def _check_text(members: Sequence[CharProbs], names: Sequence[str]) -> None:
    called = names or [f"member {number}" for number in range(1, len(members) + 1)]
    first = members[0]
    for name, own in zip(called, members, strict=True):
        if own.passage_id != first.passage_id:
            raise MembersDisagree(
                f"{name} votes on passage {own.passage_id[:8]}, {called[0]} on {first.passage_id[:8]}: "
                "give all members the same passages"
            )
        if own.length != first.length:
            raise MembersDisagree(
                f"{name} reads passage {own.passage_id[:8]} as {own.length} characters, {called[0]} as "
                f"{first.length}: its tokenizer changes the text; leave it out"
            )


def decode_char_probs(passages: Sequence[CharProbs], *, keep: int) -> WindowSpans:
    """The `keep` best spans of each passage, in code points, end exclusive, and the log-sum-exp of all of them.

    Equal scores: earlier start, then shorter span.
    """
    count = len(passages)
    found = WindowSpans(
        start=np.zeros((count, keep), dtype=np.int64),
        end=np.zeros((count, keep), dtype=np.int64),
        score=np.full((count, keep), -np.inf),
        total=np.full(count, -np.inf),
        null=np.array([own.null for own in passages], dtype=np.float64),
        start_entropy=np.zeros(count),
        end_entropy=np.zeros(count),
    )
    for row, own in enumerate(passages):
        if len(own.starts) and len(own.ends):
            _decode(own, found, row, keep)
    return found


def _decode(own: CharProbs, found: WindowSpans, row: int, keep: int) -> None:
    """Fill the row of a passage: its spans are starts x slices of the ends, padded to the widest slice."""
    low = np.searchsorted(own.ends, own.starts, side="right")
    high = np.searchsorted(own.ends, own.reach, side="right")
    columns = low[:, None] + np.arange(max(int((high - low).max()), 1))  # (S, width) numbers of ends
    inside = columns < high[:, None]
    columns = np.minimum(columns, len(own.ends) - 1)
    spans = own.start_log[:, None] + np.where(inside, own.end_log[columns], -np.inf)
    first, place, score = search(spans.max(axis=1)[None], lambda _, at: spans[at], keep)
    width = score.shape[1]
    found.start[row, :width] = own.starts[first[0]]
    found.end[row, :width] = own.ends[columns[first[0], (place - first)[0]]]
    found.score[row, :width] = score[0]
    start_total, end_total = logsumexp(spans, axis=1), np.full(len(own.ends), -np.inf)
    np.logaddexp.at(end_total, columns[inside], spans[inside])
    total = logsumexp(start_total[None], axis=1)
    found.total[row] = total[0]
    found.start_entropy[row] = entropy(start_total[None], total)[0]
    found.end_entropy[row] = entropy(end_total[None], total)[0]


def hard_vote(members: Sequence[Ranked], normalize: Callable[[str], str]) -> Ranked:
    """The answers that the members rank first, by number of members; ties: the answer of the earlier member.

    `null_score` is the members' mean; an answer's score is its share of the votes, times 1 - `null_score`.
    """
    supporters: dict[str, list[Ranked]] = {}
    for ranked in members:
        if ranked.answers:
            text = ranked.answers[0].text
            supporters.setdefault(normalize(text) or text, []).append(ranked)
    null = float(np.mean([ranked.null_score for ranked in members]))
    cast = sum(len(own) for own in supporters.values())
    by_votes = sorted(supporters.values(), key=lambda own: -len(own))
    return Ranked(
        answers=tuple(_voted(own[0].answers[0], (1 - null) * len(own) / cast) for own in by_votes),
        null_score=null,
        support=tuple(max(ranked.support[0] for ranked in own) for own in by_votes),
        start_entropy=float(np.mean([ranked.start_entropy for ranked in members])),
        end_entropy=float(np.mean([ranked.end_entropy for ranked in members])),
        read=max(ranked.read for ranked in members),
    )


def _voted(answer: Answer, score: float) -> Answer:
    return Answer(answer.text, answer.passage_id, answer.start, answer.end, score, min(answer.probability, score))
