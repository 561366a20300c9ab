"""Query strategies: they select the pool questions that people review beside the random ones."""

from __future__ import annotations

from functools import partial

from labeler.core.errors import ConfigError
from labeler.core.round_settings import SelectConfig
from labeler.rounds.strategies import plugins, rankings
from labeler.rounds.strategies.candidate import Candidate, QueryStrategy
from labeler.rounds.strategies.mix import mix

__all__ = ["STRATEGIES", "Candidate", "QueryStrategy", "check_name", "get_strategy"]

STRATEGIES = ("default", "random", "uncertain", "margin", "disagreement")


def check_name(name: str) -> None:
    """Raise ConfigError, listing the known names, unless a strategy has this name; it is not loaded."""
    if name not in STRATEGIES and name not in plugins.names():
        known = ", ".join((*STRATEGIES, *plugins.names()))
        raise ConfigError(
            f"review.strategy must be one of {known}, got {name!r}; packages add others by the entry point group "
            f"{plugins.GROUP}"
        )


def get_strategy(config: SelectConfig, *, suspect: int) -> QueryStrategy:
    """The strategy that the settings name; `suspect` is the number of suspects in the default one.

    Raises BadStrategy for one of another package that cannot be used.
    """
    match config.strategy:
        case "default":
            return partial(mix, config=config, suspect=suspect)
        case "random":
            return rankings.nothing
        case "uncertain":
            return partial(rankings.uncertain, config=config)
        case "margin":
            return rankings.margin
        case "disagreement":
            return rankings.disagreement
    return plugins.PluginStrategy(config.strategy)
