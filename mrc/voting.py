"""Votes of several readers on one answer. Characters are their common ground: tokenizers may differ.

A token's start score counts for the character at which it starts, its end score for the one behind it; nothing is
spread over its inside, where an end would let the vote cut words that no reader cuts. For each member the scores of
a question become shares of two softmaxes, of starts and of ends, over all its passages and "no answer" of every
window. With the members' mean shares p_s and p_e a span scores

    S(a, b) = log p_s(a) + log p_e(b)    for a < b <= reach(a),

reach(a) being where the longest answer that a member considers from a ends.

A member alone answers as it does by itself: S then differs from start + end by a constant, the same for "no answer".
(Exactly so for windows that hold their passage, tokens with boundaries of their own, and heads that score start and
end apart; a biaffine head votes with the marginals of its spans.) How words are cut does not matter: if a token is cut
and its first piece keeps the start's share and its last one the end's, p_s, p_e and reach are what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mrc.decode import Floats, Ints, WindowSpans, entropy, logsumexp, search
from mrc.errors import MembersDisagree
from mrc.ranking import Ranked
from mrc.types import Answer


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """One reader's scores of a passage's N tokens, each from the window that owns it, and of W windows' "no answer".

    `offsets` (N, 2) are moved in to what is no white space; `last` (N,) is the last token of the longest answer that
    starts at each. `length` is that of the text, in code points as all offsets.
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
    """What a reader, or a vote, says of a passage in terms of its characters; all logs are of shares of the question.

    An answer may start at `starts` (S,) and then end at one of `ends` (E,), exclusive, up to `reach` (S,); both rise.
    `null_start` and `null_end` are what "no answer" holds of the two softmaxes, `null` its score beside the spans'.
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


def grids(question: Sequence[TokenScores]) -> list[CharProbs]:
    """The grids of all passages of a question, one softmax over all of them."""
    start_total = logsumexp(np.concatenate([part for own in question for part in (own.start, own.null_start)]))
    end_total = logsumexp(np.concatenate([part for own in question for part in (own.end, own.null_end)]))
    return [_grid(own, float(start_total), float(end_total)) for own in question]


def _grid(own: TokenScores, start_total: float, end_total: float) -> CharProbs:
    solid = own.offsets[:, 0] < own.offsets[:, 1]  # a token of white space starts and ends nothing
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
    """The distinct places, rising, and the log of the summed exp(logs) at each."""
    found, where = np.unique(places, return_inverse=True)
    out = np.full(len(found), -np.inf)
    np.logaddexp.at(out, where, logs)
    return found, out


def _furthest(distinct: Ints, places: Ints, reach: Ints) -> Ints:
    """The largest reach at each of the distinct places."""
    out = np.zeros(len(distinct), dtype=np.int64)
    np.maximum.at(out, np.searchsorted(distinct, places), reach)
    return out


def vote(
    members: Sequence[CharProbs], weights: Sequence[float] | None = None, *, names: Sequence[str] = ()
) -> CharProbs:
    """The mean of the members' shares of one passage, weighted; a member of weight 0 has no say.

    Raises: MembersDisagree where they do not read the same text.
    """
    _check_text(members, names)
    shares = np.asarray(weights if weights is not None else np.ones(len(members)), dtype=np.float64)
    heard = [(own, float(np.log(share))) for own, share in zip(members, shares / shares.sum(), strict=True) if share]
    starts, start_log = _summed(
        np.concatenate([own.starts for own, _ in heard]), np.concatenate([own.start_log + log for own, log in heard])
    )
    ends, end_log = _summed(
        np.concatenate([own.ends for own, _ in heard]), np.concatenate([own.end_log + log for own, log in heard])
    )
    places, reach = (np.concatenate([getattr(own, name) for own, _ in heard]) for name in ("starts", "reach"))
    nulls = [
        float(np.logaddexp.reduce([getattr(own, name) + log for own, log in heard]))
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


def decode_grids(passages: Sequence[CharProbs], *, keep: int) -> WindowSpans:
    """The `keep` best spans of each grid, in code points, end exclusive, and the log-sum-exp of all of them.

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
    """Fills the row of a grid: its spans are start x a slice of the ends, padded to the widest slice."""
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
    """The answers that the members rank first, by the number of members, ties to the one named by the earlier member.

    An answer's score is its share of the votes of what "no answer" leaves, whose score is the members' mean.
    """
    voters: dict[str, list[Ranked]] = {}
    for ranked in members:
        if ranked.answers:
            text = ranked.answers[0].text
            voters.setdefault(normalize(text) or text, []).append(ranked)
    null = float(np.mean([ranked.null_score for ranked in members]))
    cast = sum(len(own) for own in voters.values())
    by_votes = sorted(voters.values(), key=lambda own: -len(own))
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
