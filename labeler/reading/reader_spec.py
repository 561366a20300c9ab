"""Who answers: a reader, several that vote, and a larger one for what they are in doubt about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrc.read.model.reader import Reader
    from mrc.read.predict.groups import Answerer


@dataclass(frozen=True, slots=True)
class Readers:
    """Who answers: one reader or several that vote, and where their score lies in the band a larger one."""

    models: tuple[str, ...]  # folders or hub names, the better ones first
    vote: str = "characters"
    large: str | None = None
    band: tuple[float, float] = (0.2, 0.7)

    def load(self, *, device: str, precision: str, backend: str) -> Answerer:
        """What answers. Raises BadCheckpoint; MissingExtra, NoDevice for a backend that is not there or not for this
        device; MembersDisagree; ValueError for a vote or a band that cannot be."""
        from mrc.ensemble import combine
        from mrc.read.model.reader import Reader

        def load(model: str) -> Reader:
            return Reader.load(model, device=device, precision=precision, backend=backend)

        return combine(
            [load(model) for model in self.models],
            names=self.models,
            vote=self.vote,
            large=load(self.large) if self.large else None,
            band=self.band,
        )
