"""Several readers as one: an ensemble, which votes, and a cascade, which re-reads uncertain questions with a larger
reader. Both implement `mrc.read.predict.groups.Answerer`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mrc.decode import Logits, WindowSpans, best_of_passages
from mrc.errors import MembersDisagree
from mrc.postprocess.rules import Refine
from mrc.ranking import Candidate, Ranked, rank_answers
from mrc.read.config import ReadConfig
from mrc.read.data.windows import Batch, Windower
from mrc.read.model.reader import Reader
from mrc.read.predict.adaptive import StoppingRule
from mrc.read.predict.char_probs import StoredVoter, votes
from mrc.read.predict.forward import Budget
from mrc.read.predict.groups import Answerer, Group, Normalize, batched, candidates, read_groups, rows_of
from mrc.voting import CharProbs, average, decode_char_probs, hard_vote

VOTES: Final = ("characters", "logits", "hard")
BLOCK: Final = 32  # batches whose logits are held until all members have computed theirs


class StoredAnswers(StoredVoter, Answerer, Protocol):
    """Stored answers that vote and rank, as a member of an ensemble."""


Member = Reader | StoredAnswers


class Ensemble:
    """Readers that vote on each answer, best reader first.

    `vote`: "characters" averages their probabilities on the characters of the text, whatever their tokenizers
    (`mrc.voting`); "logits" averages the logits of readers with equal tokenization; "hard" (experimental) counts equal
    answers. `weights` apply to the first two and are equal by default; a member of weight 0 is not read. `names` are
    for messages. Stored answers, which have no logits, vote on the questions that they answer in the passages that are
    read; the first member is a reader.

    Raises: ValueError for an unknown vote or weights that do not fit; MembersDisagree for "logits" of readers that do
    not make the same windows of a text, or of stored answers.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        vote: str = "characters",
        weights: Sequence[float] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        if vote not in VOTES:
            raise ValueError(f"vote must be one of {', '.join(VOTES)}, not {vote!r}")
        if not members:
            raise ValueError("an ensemble needs a member")
        if weights is not None and (vote == "hard" or len(weights) != len(members) or not _valid_weights(weights)):
            raise ValueError(
                f"weights must be {len(members)} numbers of at least 0, not all 0, and only for a vote that is not hard"
            )
        every = tuple(weights) if weights is not None else (1.0,) * len(members)
        called = tuple(names) or tuple(f"member {number}" for number in range(1, len(members) + 1))
        voters = [at for at, weight in enumerate(every) if _share(weight, every)]
        self._members = tuple(members[at] for at in voters)
        self._vote_kind = vote
        self._weights = tuple(every[at] for at in voters)
        self._names = tuple(called[at] for at in voters)
        self._average = _Average(_readers(self), self._weights, self._names) if vote == "logits" else None

    def __repr__(self) -> str:
        return f"Ensemble({len(self._members)} readers: {', '.join(self._names)}; vote={self._vote_kind})"

    @property
    def max_positions(self) -> int:
        """The longest window that every member has positions for."""
        return min(member.max_positions for member in self._members)

    @property
    def windower(self) -> Windower:
        """That of the first member."""
        return self._members[0].windower

    @property
    def default_config(self) -> ReadConfig:
        """The lengths of the first member, shortened to what every member has positions for."""
        return self._members[0].default_config.fitted(self.max_positions)

    def read(
        self,
        groups: Iterable[Group],
        *,
        config: ReadConfig,
        normalize: Normalize,
        refine: Refine | None = None,
        stopping: StoppingRule | None = None,
    ) -> Iterator[Ranked]:
        """The ranked answers of each group, in order; a stopping rule works only with averaged logits.

        Raises: MembersDisagree; what `mrc.read.predict.groups.read_groups` raises; ValueError for a stopping rule.
        """
        if self._average is not None:
            return read_groups(
                self._average, groups, config=config, normalize=normalize, refine=refine, stopping=stopping
            )
        if stopping is not None:
            raise ValueError("a vote on characters or answers reads all passages: leave out the stopping rule")
        if self._vote_kind == "hard":
            return self._hard(groups, config, normalize, refine)
        return self._characters(groups, config, normalize, refine)

    def _hard(
        self, groups: Iterable[Group], config: ReadConfig, normalize: Normalize, refine: Refine | None
    ) -> Iterator[Ranked]:
        for chunk in batched(groups, config.chunk_size):
            found = [
                list(member.read(chunk, config=config, normalize=normalize, refine=refine)) for member in self._members
            ]
            yield from (hard_vote(self._with_vote(own), normalize) for own in zip(*found, strict=True))

    def _with_vote(self, own: Sequence[Ranked]) -> list[Ranked]:
        """The members' answers to a question, without those of stored answers that have none."""
        pairs = zip(own, self._members, strict=True)
        return [ranked for ranked, member in pairs if ranked.answers or not isinstance(member, StoredVoter)]

    def _characters(
        self, groups: Iterable[Group], config: ReadConfig, normalize: Normalize, refine: Refine | None
    ) -> Iterator[Ranked]:
        budgets = [Budget(config.batch_tokens) for _ in self._members]
        for chunk in batched(groups, config.chunk_size):
            self._check_texts(chunk)
            read = [
                votes(member, chunk, config=config, budget=budget)
                for member, budget in zip(self._members, budgets, strict=True)
            ]
            yield from self._voted(chunk, read, config, cache(normalize), refine)

    def _voted(
        self,
        chunk: Sequence[Group],
        read: Sequence[Sequence[Sequence[CharProbs] | None]],
        config: ReadConfig,
        normalize: Normalize,
        refine: Refine | None,
    ) -> Iterator[Ranked]:
        """The answers of a chunk from the character probabilities of each member, question and passage."""
        sizes = [len(group.passages) for group in chunk]
        voted = [passage for question in zip(*read, strict=True) for passage in self._averaged(question)]
        spans = decode_char_probs(voted, keep=config.n_best_size)
        picked = best_of_passages(
            spans,
            group=np.repeat(np.arange(len(chunk)), sizes),
            rank=np.array([rank for size in sizes for rank in range(size)], dtype=np.int64),
            char_start=spans.start,
            char_end=spans.end,
            keep=config.n_best_size,
        )
        found: list[list[Candidate]] = [[] for _ in chunk]
        for at, candidate in candidates(chunk, picked, refine):
            found[at].append(candidate)
        row = 0
        for own, size in zip(found, sizes, strict=True):
            yield _ranked(own, rows_of(spans, slice(row, row + size)), size, config, normalize)
            row += size

    def _averaged(self, question: Sequence[Sequence[CharProbs] | None]) -> Iterator[CharProbs]:
        """The mean of the members that have a vote on a question, passage by passage."""
        voting = [at for at, own in enumerate(question) if own is not None]
        weights, names = [self._weights[at] for at in voting], [self._names[at] for at in voting]
        for own in zip(*(question[at] or () for at in voting), strict=True):
            yield average(own, weights, names=names)

    def _check_texts(self, chunk: Sequence[Group]) -> None:
        texts = {passage.text: passage.id for group in chunk for passage in group.passages}
        for name, member in zip(self._names, self._members, strict=True):
            if isinstance(member, StoredVoter):
                continue
            for (text, key), tokens in zip(texts.items(), member.windower.passages(list(texts)), strict=True):
                length = int(tokens.offsets.max(initial=0))
                if length > len(text):
                    raise MembersDisagree(
                        f"{name} reads passage {key[:8]} as {length} characters, the text has {len(text)}: "
                        "its tokenizer changes the text; leave it out"
                    )


def _readers(ensemble: Ensemble) -> list[Reader]:
    """The members, all of which must be readers. Raises MembersDisagree."""
    found: list[Reader] = []
    for name, member in zip(ensemble._names, ensemble._members, strict=True):
        if isinstance(member, StoredVoter):
            raise MembersDisagree(f"{name} has answers but no logits that could be averaged; vote on characters")
        found.append(member)
    return found


def _ranked(
    found: Sequence[Candidate], spans: WindowSpans, read: int, config: ReadConfig, normalize: Normalize
) -> Ranked:
    if not read:
        return Ranked((), 1.0, (), 0.0, 0.0, 0)
    return rank_answers(found, spans, normalize=normalize, n_best_size=config.n_best_size, read=read)


def _valid_weights(weights: Sequence[float]) -> bool:
    return all(weight >= 0 for weight in weights) and 0 < sum(weights) < np.inf


def _share(weight: float, weights: Sequence[float]) -> np.float32:
    """A weight as a share of all of them; 0 also where float32 cannot represent it."""
    return np.float32(weight / sum(weights))


class _Average:
    """A network whose logits are the weighted mean of those of readers that make the same windows. No weight is 0:
    0 times the -inf of an impossible span is NaN."""

    def __init__(self, members: Sequence[Reader], weights: Sequence[float], names: Sequence[str]) -> None:
        first = members[0].windower
        for name, member in zip(names, members, strict=True):
            if member.windower.windows_key != first.windows_key:
                raise MembersDisagree(
                    f"{name} tokenizes texts otherwise than {names[0]}: their logits cannot be averaged; "
                    "vote on characters"
                )
        self._members = members
        self._shares = [_share(weight, weights) for weight in weights]
        self.windower = first

    @property
    def max_positions(self) -> int:
        return min(member.max_positions for member in self._members)

    def stream(self, batches: Iterable[Batch], *, band: int) -> Generator[tuple[Batch, Logits]]:
        """Each batch with the mean logits, in order; members read one after the other, `BLOCK` batches at a time."""
        remaining = iter(batches)
        while block := list(islice(remaining, BLOCK)):
            sums: list[Logits] = []
            for member, share in zip(self._members, self._shares, strict=True):
                own = [_scaled(logits, share) for _, logits in member.stream(block, band=band)]
                sums = [_added(one, other) for one, other in zip(sums, own, strict=True)] if sums else own
            yield from zip(block, sums, strict=True)


def _scaled(logits: Logits, share: np.float32) -> Logits:
    return Logits(logits.start * share, logits.end * share, None if logits.pair is None else logits.pair * share)


def _added(one: Logits, other: Logits) -> Logits:
    return Logits(one.start + other.start, one.end + other.end, _pairs(one.pair, other.pair))


def _pairs(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """The sum; None counts as zeros."""
    if one is None or other is None:
        return one if other is None else other
    return one + other


class Cascade:
    """A small reader answers; where the score of its answer is in the band `low` to `high`, both inclusive, a large
    reader reads the question again and its answers, if it has any, replace the first ones. A band of no width is empty.

    Raises: ValueError unless 0 <= low <= high <= 1.
    """

    def __init__(self, small: Answerer, large: Answerer, *, low: float, high: float) -> None:
        if not 0 <= low <= high <= 1:
            raise ValueError(f"the band must be two scores within 0-1, the lower one first, not {low} and {high}")
        self._small, self._large = small, large
        self._low, self._high = low, high

    def __repr__(self) -> str:
        return f"Cascade({self._small!r}, {self._large!r} for scores in {self._low:g}-{self._high:g})"

    @property
    def max_positions(self) -> int:
        """The longest window that both have positions for."""
        return min(self._small.max_positions, self._large.max_positions)

    @property
    def windower(self) -> Windower:
        """That of the small reader."""
        return self._small.windower

    @property
    def default_config(self) -> ReadConfig:
        """The lengths of the small reader, shortened to what both have positions for."""
        return self._small.default_config.fitted(self.max_positions)

    def read(
        self,
        groups: Iterable[Group],
        *,
        config: ReadConfig,
        normalize: Normalize,
        refine: Refine | None = None,
        stopping: StoppingRule | None = None,
    ) -> Iterator[Ranked]:
        """The ranked answers of each group, in order; a stopping rule applies to the small reader only.

        Raises: what the two readers raise.
        """
        for chunk in batched(groups, config.chunk_size):
            found = list(self._small.read(chunk, config=config, normalize=normalize, refine=refine, stopping=stopping))
            uncertain = [at for at, ranked in enumerate(found) if self._in_band(ranked)]
            again = (chunk[at] for at in uncertain)
            better = self._large.read(again, config=config, normalize=normalize, refine=refine)
            for at, ranked in zip(uncertain, better, strict=True):
                found[at] = ranked if ranked.answers else found[at]
            yield from found

    def _in_band(self, ranked: Ranked) -> bool:
        score = ranked.answers[0].score if ranked.answers else 0.0
        return self._low < self._high and self._low <= score <= self._high


def combine(
    members: Sequence[Member], *, names: Sequence[str], vote: str, large: Answerer | None, band: tuple[float, float]
) -> Answerer:
    """One reader, or an ensemble of several, best first; with a `large` reader a cascade.

    Raises: MembersDisagree; ValueError for an unknown vote or an impossible band.
    """
    small = members[0] if len(members) == 1 else Ensemble(members, vote=vote, names=names)
    return small if large is None else Cascade(small, large, low=band[0], high=band[1])
