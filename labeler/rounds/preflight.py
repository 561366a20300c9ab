"""Checks before a round is opened, so that people do not review for a round that can never train."""

from __future__ import annotations

from db import queries
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.rounds.checkpoints import BUILTIN


def check_training(runtime: Runtime, start: str) -> None:
    """Check that the round's training has all that it needs.

    Raises:
        NotReady: early stopping without dev questions.
        MissingExtra: the morphological analyzer is not installed.
        BadCheckpoint: the tokenizer cannot be split at morphemes.
        NoDevice: more processes than devices.
    """
    from mrc.read.data import morphemes
    from mrc.read.train import distributed

    train = runtime.config.training
    if train.early_stopping_patience and not _has_dev(runtime):
        raise NotReady(
            "train.early_stopping_patience needs dev questions, and there are none: labeler import FILE --as dev, "
            "set round.dev_share before the first round, or set train.early_stopping_patience = 0"
        )
    if train.experimental.morphemes:
        morphemes.check_kiwi("experimental.morphemes")
        if start != BUILTIN:
            from mrc.encoder.loading import load_tokenizer

            morphemes.check_wordpiece(load_tokenizer(runtime.located(start)))
    if train.exact_match_features == "morphemes":
        morphemes.check_kiwi("train.exact_match_features = morphemes")
    distributed.process_count(train, device=runtime.device)


def _has_dev(runtime: Runtime) -> bool:
    """Whether there are dev questions with an answer, or the first round will hold some out."""
    with runtime.database.read() as session:
        begun = queries.begun(session)
        known = any(entry.label.answers for entry in queries.labelled_questions(session, "dev"))
    return known or (not begun and runtime.config.round.dev_share > 0)
