"""The specification of what answers: one reader, an ensemble, or a cascade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrc.read.model.reader import Reader
    from mrc.read.predict.groups import Answerer


@dataclass(frozen=True, slots=True)
class ReaderSpec:
    """A reader or an ensemble; with `large` a cascade: the larger reader re-reads questions with a score in `band`."""

    models: tuple[str, ...]  # folders or hub names, best first
    vote: str = "characters"
    large: str | None = None
    band: tuple[float, float] = (0.2, 0.7)

    def load(self, *, device: str, precision: str, backend: str) -> Answerer:
        """Load the readers and combine them.

        Raises:
            BadCheckpoint: a folder or hub name is no reader.
            MissingExtra, NoDevice: the backend is not installed, or not available on this device.
            MembersDisagree: the members of the ensemble cannot vote together.
            ValueError: an unknown vote, or an impossible band.
        """
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
