"""Fold readers: readers that have not seen what they are asked, so that every gold label teaches and calibrates.

With K folds (`calibrate.folds`), a round trains K fold readers beside its student, each on the labels of the other
K - 1 folds. The next round reads every question that shares a paragraph with a label of its teacher's training by the
reader of the fold that did not see it, and all others by the teacher itself. Folds are whole split groups.

Source: cross-fitting, as in `CalibratedClassifierCV(ensemble=False)` of scikit-learn.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from db import queries
from db.engine import Session
from db.rows import LabelledQuestion, ModelRow, QuestionRow, TrainingRow
from labeler.core.round_settings import CalibrateConfig
from mrc.read.train_config import TrainConfig

AUTOMATIC: Final = 2  # folds where none are set: more cost more training, and each fold reader is then taught more
TUNED_ON: Final = 200  # questions that fold readers read to tune their student: a held-out fifth of 1,000 labels
_NAME = re.compile(r"fold-(\d+)-of-(\d+)")


def fold_count(session: Session, config: CalibrateConfig) -> int:
    """How many folds a round that is opened now has: those of the settings, else as many as the labels allow.

    Where questions have the role calibration they calibrate, and fold readers would be trained for little.
    """
    if config.folds is not None:
        return config.folds
    if queries.questions(session, roles=["calibration"]):
        return 1
    gold = queries.labelled_questions(session, "gold")
    filled = {fold_of(entry.question.split_group, AUTOMATIC) for entry in gold if entry.label.answers}
    return AUTOMATIC if len(filled) == AUTOMATIC else 1


def fold_of(split_group: str, folds: int) -> int:
    """The fold of a split group, from 0; the same in every round."""
    return int.from_bytes(hashlib.sha256(split_group.encode()).digest()[:8], "big") % folds


def name_of(fold: int, folds: int) -> str:
    """The name of a fold reader among the models of its round."""
    return f"fold-{fold + 1}-of-{folds}"


def is_fold_reader(model: ModelRow) -> bool:
    """Whether the model is a fold reader: it answers only questions of split groups that it was not taught."""
    return _NAME.fullmatch(model.name) is not None


def training_folds(rows: Sequence[TrainingRow], folds: int) -> list[list[TrainingRow]]:
    """The labels that each fold reader trains on; none where one of them would get no human-labelled answer."""
    if folds < 2:
        return []
    found = [[row for row in rows if fold_of(row.question.split_group, folds) != fold] for fold in range(folds)]
    return found if all(any(_teaches(row) for row in own) for own in found) else []


def fold_training(config: TrainConfig, folds: int) -> TrainConfig:
    """The settings of a fold reader: it sees each of its labels as often as the student does, also by `max_steps`."""
    if config.max_steps is None:
        return config
    return replace(config, max_steps=max(1, round(config.max_steps * (folds - 1) / folds)))


def _teaches(row: TrainingRow) -> bool:
    return row.label.kind != "pseudo" and bool(row.label.answers)


@dataclass(frozen=True, slots=True)
class Readers:
    """The teacher of a round with its fold readers, if it has any, and the split groups that it was taught."""

    teacher: ModelRow
    folds: tuple[ModelRow, ...] = ()
    taught: frozenset[str] = frozenset()

    def of(self, question: QuestionRow) -> ModelRow:
        """The reader that has not seen the question's split group; without fold readers the teacher."""
        if not self.folds or question.split_group not in self.taught:
            return self.teacher
        return self.folds[fold_of(question.split_group, len(self.folds))]


def readers_of(session: Session, teacher: ModelRow) -> Readers:
    """The teacher and the fold readers of its round."""
    of_round = {
        model.name: model
        for model in queries.models(session)
        if model.round_number == teacher.round_number and model.pruned_at is None
    }
    count = next((int(name[2]) for name in map(_NAME.fullmatch, of_round) if name), 0)
    names = [name_of(fold, count) for fold in range(count)]
    if not names or not all(name in of_round for name in names):
        return Readers(teacher)
    taught = queries.taught_split_groups(session, teacher.round_number)
    return Readers(teacher, tuple(of_round[name] for name in names), frozenset(taught))


def to_predict(session: Session, readers: Readers) -> list[list[str]]:
    """The questions that a round predicts, a list for each reader: the pool's, and all that `calibrating` names."""
    questions = {row.id: row for row in queries.pool_to_predict(session)}
    questions |= {row.id: row for row in queries.questions(session, roles=["calibration"], duplicates=False)}
    questions |= {key: entry.question for key, entry in _taught(session, readers).items()}
    groups: dict[int, list[str]] = {}
    for key in sorted(questions):
        groups.setdefault(readers.of(questions[key]).id, []).append(key)
    return [groups[model] for model in sorted(groups)]


def calibrating(session: Session, readers: Readers) -> list[LabelledQuestion]:
    """The questions that calibrate a round: those of the role, and with fold readers those that taught the teacher.

    Of the latter all with a gold label, and those whose human label comes from a blind task at random: what else is
    reviewed is no fair sample.
    """
    return [*queries.labelled_questions(session, "calibration"), *_taught(session, readers).values()]


def held_out(session: Session, readers: Readers) -> list[tuple[ModelRow, list[QuestionRow]]]:
    """The readers, the teacher first, each with the questions of `calibrating` that it has not seen.

    Of the role calibration, duplicates are among them.
    """
    found: dict[int, list[QuestionRow]] = {}
    taught = [entry.question for _, entry in sorted(_taught(session, readers).items())]
    for question in (*queries.questions(session, roles=["calibration"]), *taught):
        found.setdefault(readers.of(question).id, []).append(question)
    return [(model, found.get(model.id, [])) for model in (readers.teacher, *readers.folds)]


def out_of_fold(session: Session, readers: Readers) -> list[tuple[ModelRow, list[LabelledQuestion]]]:
    """The fold readers, each with the answerable questions to tune on that it has not seen: of those that
    `calibrating` names `TUNED_ON` at most, the same ones every time."""
    answerable = [entry for entry in _taught(session, readers).values() if entry.label.gold_texts]
    chosen = sorted(answerable, key=lambda entry: hashlib.sha256(entry.question.id.encode()).digest())[:TUNED_ON]
    found = {model.id: (model, list[LabelledQuestion]()) for model in readers.folds}
    for entry in chosen:
        found[readers.of(entry.question).id][1].append(entry)
    return list(found.values())


def _taught(session: Session, readers: Readers) -> Mapping[str, LabelledQuestion]:
    if not readers.folds:
        return {}
    fair = queries.fairly_labelled(session, readers.teacher.round_number)
    found = [entry for role in ("gold", "pool") for entry in queries.labelled_questions(session, role)]
    return {
        entry.question.id: entry for entry in found if entry.label.id in fair and entry.question.duplicate_of is None
    }
