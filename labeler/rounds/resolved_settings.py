"""The settings of a round: resolved when it is opened, and fixed from then on."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from db import queries
from db.rows import RoundRow
from labeler.core.config import Config, unused_settings
from labeler.core.errors import NotReady
from labeler.core.runtime import LABELLER, Runtime, with_settings
from labeler.core.settings import SPREADING
from labeler.reading.folds import fold_count
from labeler.rounds import checkpoints, preflight
from labeler.rounds.retriever import training as retriever_training

log = logging.getLogger("labeler")

#: settings whose resolved value may differ from the given one: automatic choices, and the database's address
RESOLVED = frozenset(
    {
        "workspace.database",
        "workspace.language",
        "workspace.metric",
        "compute.threads",
        "compute.device",
        *(f"compute.{name}" for name in SPREADING),
        "round.reviewer",
    }
)
#: settings that name checkpoints: a round stores their folders by absolute path
CHECKPOINTS = frozenset({"train.start", "train.teachers", "retriever.start", "ensemble.members", "cascade.large"})


def resolve(runtime: Runtime, reviewer: str | None = None) -> Config:
    """The settings that a new round is opened with: automatic choices are made, checkpoints exist.

    Raises:
        NotReady: an ensemble is to read adaptively, teachers without distillation, early stopping without dev
            questions, a folder that is gone.
        NoDevice, MissingExtra, BadCheckpoint: the round could not read or train.
    """
    runtime.check_adaptive()
    _check_vote(runtime)
    config, start = runtime.config, resolve_start(runtime)
    preflight.check_training(runtime, start)
    with runtime.database.read() as session:
        folds = fold_count(session, config.calibrate)
    return with_settings(
        config,
        workspace={"language": runtime.language, "metric": runtime.metric},
        compute={"device": runtime.device},
        ensemble={"members": tuple(_checkpoint(runtime, name) for name in config.ensemble.members)},
        cascade={"large": _checkpoint(runtime, config.cascade.large) if config.cascade.large else None},
        calibrate={"folds": folds},
        train={"start": start, "teachers": _teachers(runtime)},
        round={"reviewer": reviewer or config.round.reviewer},
    )


def resolve_index(runtime: Runtime, config: Config) -> tuple[Config, str | None]:
    """The settings with the start of the retriever that the round trains, and the fingerprint of its index.

    The fingerprint is None where questions are read in the passages they came with.
    """
    if runtime.given:
        if config.retriever.train:
            log.warning(
                "retriever.train is on, but questions are read in the passages they came with (read.passages): "
                "no retriever is trained"
            )
        return config, None
    fingerprint = runtime.current_index()
    if retriever_training.is_enabled(runtime, fingerprint):
        start = retriever_training.resolve_start(runtime, fingerprint)
        return with_settings(config, retriever={"start": start}), fingerprint
    if config.retriever.train:
        log.warning(
            "retriever.train is on, but the index is lexical only: no retriever is trained; "
            "name an encoder with: labeler index --dense NAME"
        )
    return config, fingerprint


def resolve_start(runtime: Runtime) -> str:
    """The starting checkpoint: the setting, else that of the current reader, else the built-in encoder.

    Raises:
        NotReady: its folder is gone.
        BadCheckpoint: the setting names no model.
    """
    named = runtime.config.train.start
    with runtime.database.read() as session:
        best = queries.best_model(session)
    if named is not None and not (named == checkpoints.BUILTIN and best and checkpoints.is_builtin(best.start)):
        return _checkpoint(runtime, named)
    if best is None:
        return checkpoints.BUILTIN
    runtime.located(best.start)
    return best.start


def _check_vote(runtime: Runtime) -> None:
    """Raise NotReady where a labeller is to vote by logits, which it has none of."""
    named = [name for name in runtime.config.ensemble.members if name.startswith(LABELLER)]
    if named and runtime.config.vote == "logits":
        raise NotReady(f'{named[0]} has no logits to vote with: set ensemble.vote = "characters"')


def _teachers(runtime: Runtime) -> tuple[str, ...]:
    """The readers that the setting names as teachers."""
    named = runtime.config.train.teachers
    if named and not runtime.config.train.distill_weight:
        raise NotReady("train.teachers are named, but train.distill_weight is 0; try: --set train.distill_weight=0.5")
    return tuple(_checkpoint(runtime, name) for name in named)


def _checkpoint(runtime: Runtime, name: str) -> str:
    """The name of a checkpoint that loads; a folder outside of the workspace by its absolute path."""
    from mrc.encoder.loading import load_config, load_tokenizer

    if name == checkpoints.BUILTIN:
        return name
    if name.startswith(LABELLER):
        with runtime.database.read() as session:
            return LABELLER + queries.labeller(session, name.removeprefix(LABELLER)).name
    found = runtime.located(name)
    load_config(found)
    load_tokenizer(found)
    return str(Path(name).absolute()) if found == name and Path(name).is_dir() else name


def of_round(runtime: Runtime, row: RoundRow) -> Runtime:
    """The runtime under the settings that a round was opened with; [studio], compute.threads, the settings of a
    cluster and what is given of [llm] stay as given now."""
    config = Config.from_resolved(row.config)
    given = runtime.config.compute
    compute = dataclasses.replace(config.compute, threads=given.threads).with_engine_of(given)
    llm = dataclasses.replace(config.llm, **_given_now(runtime.config, "llm"))
    return runtime.with_config(dataclasses.replace(config, compute=compute, studio=runtime.config.studio, llm=llm))


def _given_now(config: Config, section: str) -> dict[str, Any]:
    """The settings of a section that are not left at their defaults."""
    keys = [name.partition(".")[2] for name in config.given if name.startswith(f"{section}.")]
    return {key: getattr(getattr(config, section), key) for key in keys}


def warn_of_unused(runtime: Runtime, row: RoundRow) -> None:
    """Log the settings that were given now and that the open round, opened with others, does not use."""
    unused = unused_settings(runtime.config, Config.from_resolved(row.config))
    names = [name for name, stays in unused.items() if not _is_resolved(runtime.config, name, stays)]
    if names:
        listed = ", ".join(f"{name} (stays {unused[name]})" for name in names)
        log.warning("round %d continues with the settings it was opened with; not used: %s", row.number, listed)


def _is_resolved(config: Config, name: str, stays: Any) -> bool:
    """Whether a round may store another value than the one given: a setting that does not bind it, or the same
    checkpoints by absolute path."""
    section, _, key = name.partition(".")
    if name not in CHECKPOINTS:
        return name in RESOLVED or section in ("studio", "llm")
    given, stored = _as_list(getattr(getattr(config, section), key)), _as_list(stays)
    if not given and key == "start":  # none: any start will do
        return True
    return len(given) == len(stored) and all(
        kept in (each, str(Path(each).absolute())) for each, kept in zip(given, stored, strict=True)
    )


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
