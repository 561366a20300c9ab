"""What a training needs, looked at before a round is opened: people should not review for one that can never train."""

from __future__ import annotations

from db import queries
from labeler.desk import Desk
from labeler.errors import NotReady
from labeler.rounds.starting import BUILTIN


def can_train(desk: Desk, start: str) -> None:
    """Raises: NotReady where early stopping has nothing to watch; MissingExtra without the analyser that is asked for;
    BadCheckpoint for a tokenizer that cannot be cut at morphemes; NoDevice for more processes than devices."""
    from mrc.read import morphemes, team

    train = desk.config.train
    if train.patience and not _watched(desk):
        raise NotReady(
            "train.patience watches dev questions, and there are none: labeler import FILE --as dev, set "
            "round.dev_share before the first round, or set train.patience = 0"
        )
    if train.morphemes:
        morphemes.check_kiwi("train.morphemes")
        if start != BUILTIN:
            from mrc.encoder import load_tokenizer

            morphemes.check_wordpiece(load_tokenizer(desk.located(start)))
    if train.overlap == "morphemes":
        morphemes.check_kiwi("train.overlap = morphemes")
    team.processes(train)


def _watched(desk: Desk) -> bool:
    """Whether there are dev questions with an answer, or will be: the first round holds some out."""
    with desk.database.read() as session:
        begun = queries.last_round(session) is not None
        known = any(entry.label.answers for entry in queries.labelled_questions(session, "dev"))
    return known or (not begun and desk.config.round.dev_share > 0)
