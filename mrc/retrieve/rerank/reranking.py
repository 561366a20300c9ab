"""Re-ranking: a cross-encoder scores each question with its first passages and puts them in a new order.

A cross-encoder is more accurate than the first stage and far slower, so only the first few passages are scored.
Source: Nogueira & Cho, "Passage Re-ranking with BERT", 2019. Nothing here loads torch before a question is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from mrc.retrieve.rerank.config import RerankConfig, Scoring
from mrc.types import Hit, Passage

if TYPE_CHECKING:
    from mrc.retrieve.rerank.cross_encoder import CrossEncoder

Fetch = Callable[[Sequence[str]], Mapping[str, Passage]]  # passages by id

_QUESTIONS: Final = 256  # whose passages are in memory at a time


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reranking:
    """Re-ranking of the first passages that an index finds."""

    config: RerankConfig  # as requested
    scoring: Scoring  # as resolved
    encoder: Callable[[], CrossEncoder]  # loaded at the first call
    fetch: Fetch | None = None  # returns passages by id; without it an index cannot retrieve

    @classmethod
    def build(cls, config: RerankConfig, *, device: str, fetch: Fetch) -> Reranking:
        """The re-ranking that the settings request; loads the checkpoint, so that a bad one is reported at once.

        Raises: BadCheckpoint.
        """
        from mrc.retrieve.rerank.cross_encoder import CrossEncoder

        encoder = CrossEncoder.load(config, device=device)
        return cls(config, encoder.scoring, lambda: encoder, fetch)

    @classmethod
    def load(cls, stored: Mapping[str, Any], *, device: str, fetch: Fetch | None) -> Reranking:
        """The re-ranking that `to_meta` described."""
        config, scoring = RerankConfig(**stored["config"]), Scoring(**stored["scoring"])
        return cls(config, scoring, cache(partial(_load, scoring, device)), fetch)

    def __repr__(self) -> str:
        return f"Reranking(top {self.config.top_n}, model={self.scoring.source!r})"

    def with_source(self, source: str, *, device: str, fetch: Fetch) -> Reranking:
        """The same re-ranking, with the cross-encoder's checkpoint at another place."""
        scoring = replace(self.scoring, source=source)
        return replace(self, scoring=scoring, encoder=cache(partial(_load, scoring, device)), fetch=fetch)

    def to_meta(self) -> dict[str, Any]:
        """JSON values for `meta.json`, from which `load` restores it."""
        return {"config": asdict(self.config), "scoring": asdict(self.scoring)}

    def identity(self) -> dict[str, Any]:
        """All that the order depends on beside the first stage; the checkpoint's place is not part of it."""
        scoring = asdict(self.scoring)
        del scoring["source"]
        return {**scoring, "top_n": self.config.top_n}

    def rerank(self, questions: Sequence[str], found: Sequence[tuple[Hit, ...]]) -> Iterator[tuple[Hit, ...]]:
        """The hits of each question, the first `top_n` by the cross-encoder's score, equal ones in their old order.

        The order for a question does not depend on the other questions.

        Raises: BadCheckpoint, StaleIndex where the cross-encoder is gone or has changed.
        """
        if self.fetch is None:
            raise ValueError(
                "this index re-ranks, so it needs the passages: load it with fetch=, a function from ids to passages"
            )
        for start in range(0, len(questions), _QUESTIONS):
            part = found[start : start + _QUESTIONS]
            wanted = dict.fromkeys(hit.passage_id for hits in part for hit in hits[: self.config.top_n])
            passages = self.fetch(list(wanted)) if wanted else {}
            for question, hits in zip(questions[start : start + _QUESTIONS], part, strict=True):
                yield self._rerank_one(question, hits, passages)

    def _rerank_one(self, question: str, hits: tuple[Hit, ...], passages: Mapping[str, Passage]) -> tuple[Hit, ...]:
        first, rest = hits[: self.config.top_n], hits[self.config.top_n :]
        if not first:
            return hits
        scores = self.encoder().scores(question, [passages[hit.passage_id].text for hit in first]).tolist()
        order = sorted(range(len(first)), key=lambda place: (-scores[place], place))
        best = (
            replace(first[place], rank=rank, rerank=scores[place], standardized=first[rank].standardized)
            for rank, place in enumerate(order)
        )
        return (*best, *rest)


def _load(scoring: Scoring, device: str) -> CrossEncoder:
    from mrc.retrieve.rerank.cross_encoder import CrossEncoder

    return CrossEncoder.reload(scoring, device=device)
