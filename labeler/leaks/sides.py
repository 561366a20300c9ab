"""What stands on which side of the split: labelled questions, their passages and documents, from the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from db import queries
from db.engine import Session
from db.rows import LabelRow, QuestionRow
from db.vocabulary import HELD_OUT, LABEL_KINDS
from labeler.core.convert import shown_passages

TRAIN = "train"
ORDER = (*LABEL_KINDS, *HELD_OUT)  # of the sides in a pair; of several labels in one passage the first kind names it


@dataclass(frozen=True, slots=True)
class Item:
    """A text on a side: the kind of its label (gold, human, pseudo), or calibration, dev, test."""

    key: str  # id of a question, passage or document
    side: str
    identity: str  # equal for texts that are nearly equal

    @property
    def level(self) -> str:
        """What must not meet: train, calibration, dev and test."""
        return TRAIN if self.side in LABEL_KINDS else self.side


@dataclass(frozen=True, slots=True)
class Sides:
    """Everything that stands on a side, in key order; a text may stand on several."""

    questions: Sequence[Item]
    passages: Sequence[Item]
    documents: Sequence[Item]


def load_sides(session: Session) -> Sides:
    """The sides of active questions: those of gold and pool with a live label, and all held-out ones."""
    questions = {row.id: row for row in queries.questions(session)}
    labels = {row.question_id: row for row in queries.live_labels(session)}
    sided = list(_sided(questions.values(), labels))
    asked = [Item(row.id, side, row.normalized) for row, side, _ in sided]
    standing = {(key, side) for row, side, label in sided for key in _passages_of(row, label)}
    identities = queries.passage_identities(session, {key for key, _ in standing})
    read = [Item(key, side, identities[key]) for key, side in standing if key in identities]
    documents = queries.documents_of(session, identities)
    titled = {(documents[item.key], item.side) for item in read}
    return Sides(_one_a_level(asked), _one_a_level(read), _one_a_level(Item(key, side, key) for key, side in titled))


def _sided(
    questions: Iterable[QuestionRow], labels: dict[str, LabelRow]
) -> Iterator[tuple[QuestionRow, str, LabelRow | None]]:
    for row in questions:
        label = labels.get(row.id)
        if row.role in HELD_OUT:
            yield row, row.role, label
        elif label is not None:
            yield row, label.kind, label


def _passages_of(row: QuestionRow, label: LabelRow | None) -> set[str]:
    """The passages that a question came with or is answered from; a trained label's own passages alone."""
    shown = set(shown_passages(label)) if label is not None else set()
    return shown | ({row.context_id} if row.context_id and (row.role in HELD_OUT or not shown) else set())


def _one_a_level(items: Iterable[Item]) -> list[Item]:
    """One item for each key and level, that of the first side in `ORDER`; by key."""
    found: dict[tuple[str, str], Item] = {}
    for item in sorted(items, key=lambda item: (item.key, ORDER.index(item.side))):
        found.setdefault((item.key, item.level), item)
    return list(found.values())
