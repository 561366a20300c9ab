"""What a language model is asked, and at which price."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from db import labellers
from db.rows import LabellerRow
from labeler.core.errors import ConfigError

ROLES: Final = ("pool", "calibration", "dev", "test", "gold")
SINGLE_TEMPERATURE, SAMPLED_TEMPERATURE = 0.0, 0.7  # of one answer; of several that are to differ where it is unsure


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, in any currency; None: not given, and nothing is counted."""

    prompt: float | None = None
    completion: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("--price-in", self.prompt), ("--price-out", self.completion)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is money per million tokens, such as 0.5; got {value:g}")
        if (self.prompt is None) != (self.completion is None):
            raise ConfigError("--price-in and --price-out belong together: give both, or neither")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """The price of so many tokens."""
        if self.prompt is None or self.completion is None:
            return None
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class AskOptions:
    """How a model is asked; all of it belongs to the labeller, whose answers are to be of one kind."""

    model: str
    language: str  # ko, en: of the prompt
    passages: int = 5  # shown for each question
    samples: int = 1  # answers asked for; their agreement is the score
    examples: int = 3  # from gold, shown before each question
    max_tokens: int = 300  # of an answer

    @property
    def temperature(self) -> float:
        """That of sampling: none for one answer."""
        return SINGLE_TEMPERATURE if self.samples == 1 else SAMPLED_TEMPERATURE

    def config(self, *, template_sha256: str, examples: tuple[str, ...]) -> dict[str, Any]:
        """What is stored with the labeller: never a key, and not the address."""
        return asdict(self) | {"examples": list(examples), "template_sha256": template_sha256}


def options_for(row: LabellerRow | None, model: str, *, language: str) -> AskOptions:
    """How a model is asked under the name of a labeller: as it was begun, else by the defaults.

    Raises Conflict: the name is that of a labeller of files.
    """
    labellers.check_kind(row, "model")
    if row is None:
        return AskOptions(model, language)
    kept = {each.name: row.config[each.name] for each in fields(AskOptions) if each.name in row.config}
    return AskOptions(**kept | {"model": model, "examples": len(row.config["examples"])})
