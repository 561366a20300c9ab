"""labelled -> trained: a student from the starting checkpoint on exactly the labels that were fixed for the round.

Where it is to, and the index finds passages by meaning, the round trains their encoder on the same labels.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy.orm import Session

from db import queries, store
from db.rows import RoundRow, TrainingRow
from labeler import convert
from labeler.desk import Desk
from labeler.errors import NotReady
from labeler.negatives import SEARCHED, without_answer
from labeler.progress import updates
from labeler.rounds import retriever
from labeler.rounds.starting import prepared, starting_checkpoint
from mrc.errors import BadCheckpoint, DataError, OutOfMemory, TrainingDiverged, WorkerDied

if TYPE_CHECKING:
    from mrc.read import DevExample, TrainingExample, TrainResult
    from mrc.read.model import Reader

log = logging.getLogger(__name__)

_GIVEN_UP: Final = (BadCheckpoint, DataError, OutOfMemory, TrainingDiverged, WorkerDied)  # other settings may help


def freeze(session: Session, number: int) -> None:
    """Fixes what teaches in the round. Raises NotReady, before the round depends on it, where no answer may teach."""
    store.freeze_training(session, number)
    if all(no_answer for _, _, no_answer in queries.training_counts(session, number)):
        raise NotReady("no label may teach yet; import labelled questions with: labeler import FILE --as gold")


def train(desk: Desk, row: RoundRow) -> RoundRow:
    """The round at `trained`. Killed and run again, the training goes on from its last checkpoint."""
    with desk.database.read() as session:
        rows = queries.training_rows(session, row.number)
    folder = desk.workspace.models_folder / f"round-{row.number}-{row.uid[:8]}"
    try:
        result = train_on(desk, row, rows, folder=folder)
    except _GIVEN_UP as error:  # they need another round
        raise NotReady(f"{error} (give this round up first: labeler rounds revert {row.number})") from error
    encoder = retriever.train_on(desk, row, rows) if retriever.wanted(desk, row.index_fingerprint) else None
    with desk.database.write() as session:
        model_id = store.add_model(
            session,
            row.number,
            hash=result.hash,
            training_sha256=queries.training_sha256(rows),
            path=str(folder.relative_to(desk.workspace.folder)),
            start=starting_checkpoint(desk, row),
            config=dict(row.config["train"]),
            examples=result.examples,
            seconds=result.seconds,
            loss=result.loss,
        )
        detail = {"examples": result.examples, "unusable": list(result.unusable), "model": result.hash}
        store.add_event(session, "trained", detail=detail, round_number=row.number)
        if encoder is not None:
            retriever.store_trained(desk, session, row, rows, encoder)
        return store.advance(session, row.number, row.stage, "trained", student_id=model_id)


def train_on(desk: Desk, row: RoundRow, rows: Sequence[TrainingRow], *, folder: Path) -> TrainResult:
    """A reader trained on these labels into `folder`, under the round's settings, seed and starting checkpoint."""
    from mrc.read.train import train as run

    with desk.database.read() as session:
        guarded = queries.guarded_passages(session)
    taught = examples(desk, row, rows, guarded)
    with updates("train") as progress:
        return run(
            taught,
            start=prepared(desk, row),
            config=desk.config.train.reader,
            seed=row.seed,
            folder=folder,
            progress=progress,
            dev=watched(desk),
            teachers=teachers(desk, row),
            teach_trusted=bool(desk.config.round.teachers),
            shares=pool_shares(desk, row),
            metric=desk.metric,
        )


def examples(desk: Desk, row: RoundRow, rows: Sequence[TrainingRow], guarded: set[str]) -> list[TrainingExample]:
    """The training examples of these labels, each with passages that the retriever takes for its own but are not."""
    negatives = mine_negatives(desk, row, rows, guarded)
    return [
        replace(example, negatives=example.negatives + negatives.get(example.id, ()))
        for example in convert.training_examples(rows)
    ]


def mine_negatives(
    desk: Desk, row: RoundRow, rows: Sequence[TrainingRow], guarded: set[str]
) -> Mapping[str, tuple[str, ...]]:
    """Question id -> texts of its best-ranked passages that hold no answer of it and belong to no held-out question.

    Read in the softmax of the question, they teach the reader to compare passages (Clark & Gardner 2018).
    """
    count = desk.config.round.negatives
    asked = [each for each in rows if each.label.answers]
    if not count or row.index_fingerprint is None:
        return {}
    found = desk.index(row.index_fingerprint).retrieve([each.question.text for each in asked], SEARCHED)
    texts = desk.fetch(sorted({hit.passage_id for hits in found for hit in hits} - guarded))
    mined: dict[str, tuple[str, ...]] = {}
    for each, hits in zip(asked, found, strict=True):
        candidates = (texts[hit.passage_id].text for hit in hits if hit.passage_id in texts)
        golds = [answer.text for answer in each.label.answers]
        mined[each.question.id] = tuple(without_answer(golds, candidates, desk.metric))[:count]
    return mined


def watched(desk: Desk) -> list[DevExample]:
    """The dev questions that early stopping watches, each in the passage that answers it; none where it is off.

    The gate judges by the same questions, so a student that stopped by them is judged a little too kindly.
    """
    if not desk.config.train.patience:
        return []
    from mrc.read import DevExample

    with desk.database.read() as session:
        entries = [entry for entry in queries.labelled_questions(session, "dev") if entry.label.answers]
    passages = desk.fetch(sorted({entry.label.answers[0].passage_id for entry in entries}))
    return [
        DevExample(
            entry.question.id,
            entry.question.text,
            passages[entry.label.answers[0].passage_id].text,
            tuple(answer.text for answer in entry.label.answers),
        )
        for entry in entries
    ]


def teachers(desk: Desk, row: RoundRow) -> list[Reader]:
    """The readers whose beliefs the student learns: those of the settings, else the teacher of the round.

    The round's own was trained on the labels of people, and so teaches only the other examples.
    """
    if not desk.config.train.distill_weight:
        return []
    named = desk.config.round.teachers
    if named:
        return [desk.load(Path(desk.located(name))) for name in named]
    if row.teacher_id is None:
        log.warning("train.distill_weight is on, but there is no teacher yet: this reader learns from labels alone")
        return []
    with desk.database.read() as session:
        return [desk.reader(queries.model(session, row.teacher_id))]


def pool_shares(desk: Desk, row: RoundRow) -> Mapping[str, float] | None:
    """The share of each kind of question in the pool, by the answers that the round predicted; None without any."""
    if desk.config.train.balance == "none":
        return None
    from mrc.read.balance import strata

    with desk.database.read() as session:
        texts = {each.id: each.text for each in queries.questions(session, roles=["pool"])}
        found = [
            (texts[each.question_id], len(each.answers[0].text.split()) if each.answers else 0)
            for each in queries.iter_predictions(session, row.number)
            if each.question_id in texts
        ]
    kinds = Counter(strata([text for text, _ in found], [words for _, words in found]))
    return {kind: count / len(found) for kind, count in sorted(kinds.items())} if found else None
