"""Re-ranking: a cross-encoder reads each question together with its first passages and puts them in a new order.

Slower by far than the lists that found them and better at telling near ones apart, so only the first few are read.
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

_TOGETHER: Final = 256  # questions whose passages are held at a time


@dataclass(frozen=True, slots=True, eq=False)
class Reranking:
    """How the first passages of an index's lists are put in a new order."""

    config: RerankConfig  # as asked for
    scoring: Scoring  # as it is done
    encoder: Callable[[], CrossEncoder]  # loaded when first asked for
    fetch: Fetch | None = None  # the texts of passages; an index that has none cannot retrieve

    @classmethod
    def build(cls, config: RerankConfig, *, device: str, fetch: Fetch) -> Reranking:
        """The re-ranking that the settings ask for; the checkpoint is loaded, so that a bad one is told now.

        Raises: BadCheckpoint.
        """
        from mrc.retrieve.rerank.cross_encoder import CrossEncoder

        encoder = CrossEncoder.load(config, device=device)
        return cls(config, encoder.scoring, lambda: encoder, fetch)

    @classmethod
    def read(cls, stored: Mapping[str, Any], *, device: str, fetch: Fetch | None) -> Reranking:
        """What `described` described."""
        config, scoring = RerankConfig(**stored["config"]), Scoring(**stored["scoring"])
        return cls(config, scoring, cache(partial(_load, scoring, device)), fetch)

    def described(self) -> dict[str, Any]:
        """JSON values for `meta.json`."""
        return {"config": asdict(self.config), "scoring": asdict(self.scoring)}

    def identity(self) -> dict[str, Any]:
        """All that the order depends on beside the lists; where the checkpoint lies is no part of it."""
        scoring = asdict(self.scoring)
        del scoring["source"]
        return {**scoring, "top_n": self.config.top_n}

    def ordered(self, questions: Sequence[str], found: Sequence[tuple[Hit, ...]]) -> Iterator[tuple[Hit, ...]]:
        """The hits of each question, the first `top_n` by the cross-encoder's score, equal ones as they stood.

        The order for a question does not depend on the other questions.

        Raises: BadCheckpoint, StaleIndex where the cross-encoder is gone or is another one now.
        """
        if self.fetch is None:
            raise ValueError("this index re-ranks: load it with fetch, which gives passages by their ids")
        for start in range(0, len(questions), _TOGETHER):
            some = found[start : start + _TOGETHER]
            wanted = dict.fromkeys(hit.passage_id for hits in some for hit in hits[: self.config.top_n])
            passages = self.fetch(list(wanted)) if wanted else {}
            for question, hits in zip(questions[start : start + _TOGETHER], some, strict=True):
                yield self._of_one(question, hits, passages)

    def _of_one(self, question: str, hits: tuple[Hit, ...], passages: Mapping[str, Passage]) -> tuple[Hit, ...]:
        first, rest = hits[: self.config.top_n], hits[self.config.top_n :]
        if not first:
            return hits
        scores = self.encoder().scores(question, [passages[hit.passage_id].text for hit in first]).tolist()
        order = sorted(range(len(first)), key=lambda place: (-scores[place], place))
        best = (replace(first[place], rank=rank, rerank=scores[place]) for rank, place in enumerate(order))
        return (*best, *rest)


def _load(scoring: Scoring, device: str) -> CrossEncoder:
    from mrc.retrieve.rerank.cross_encoder import CrossEncoder

    return CrossEncoder.again(scoring, device=device)
