"""What a training needs, looked at before a round is opened: people should not review for one that can never train."""

from __future__ import annotations

from db import queries
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.rounds.checkpoints import BUILTIN


def can_train(runtime: Runtime, start: str) -> None:
    """Raises: NotReady where early stopping has nothing to watch; MissingExtra without the analyser that is asked for;
    BadCheckpoint for a tokenizer that cannot be cut at morphemes; NoDevice for more processes than devices."""
    from mrc.read.data import morphemes
    from mrc.read.train import distributed

    train = runtime.config.training
    if train.early_stopping_patience and not _watched(runtime):
        raise NotReady(
            "train.early_stopping_patience watches dev questions, and there are none: labeler import FILE --as dev, set "
            "round.dev_share before the first round, or set train.early_stopping_patience = 0"
        )
    if train.experimental.morphemes:
        morphemes.check_kiwi("experimental.morphemes")
        if start != BUILTIN:
            from mrc.encoder import load_tokenizer

            morphemes.check_wordpiece(load_tokenizer(runtime.located(start)))
    if train.exact_match_features == "morphemes":
        morphemes.check_kiwi("train.exact_match_features = morphemes")
    distributed.processes(train, device=runtime.device)


def _watched(runtime: Runtime) -> bool:
    """Whether there are dev questions with an answer, or will be: the first round holds some out."""
    with runtime.database.read() as session:
        begun = queries.last_round(session) is not None
        known = any(entry.label.answers for entry in queries.labelled_questions(session, "dev"))
    return known or (not begun and runtime.config.round.dev_share > 0)
