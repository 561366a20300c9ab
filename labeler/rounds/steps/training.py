"""labelled -> trained: a student from the starting checkpoint on exactly the labels that were fixed for the round.

Where it is to, and the index finds passages by meaning, the round trains their encoder on the same labels.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from db import queries, store
from db.engine import Session
from db.rows import RoundRow, TrainingRow
from labeler.core import convert
from labeler.core.errors import NotReady
from labeler.core.progress import updates
from labeler.core.runtime import Runtime
from labeler.rounds.checkpoints import prepared, starting_checkpoint
from labeler.rounds.retriever import loop
from mrc.errors import BadCheckpoint, DataError, OutOfMemory, TrainingDiverged, WorkerDied
from mrc.read.data.negatives import with_negatives
from mrc.types import Passage

if TYPE_CHECKING:
    from mrc.read import DevExample, TrainingExample, TrainResult
    from mrc.read.model.reader import Reader

log = logging.getLogger(__name__)

_GIVEN_UP: Final = (BadCheckpoint, DataError, OutOfMemory, TrainingDiverged, WorkerDied)  # other settings may help


def freeze(session: Session, number: int) -> None:
    """Fixes what teaches in the round. Raises NotReady, before the round depends on it, where no answer may teach."""
    store.freeze_training(session, number)
    if all(no_answer for _, _, no_answer in queries.training_counts(session, number)):
        raise NotReady("no label may teach yet; import labelled questions with: labeler import FILE --as gold")


def train(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The round at `trained`. Killed and run again, the training goes on from its last checkpoint."""
    with runtime.database.read() as session:
        rows = queries.training_rows(session, row.number)
    folder = runtime.workspace.models_folder / f"round-{row.number}-{row.uid[:8]}"
    try:
        result = train_on(runtime, row, rows, folder=folder)
    except _GIVEN_UP as error:  # they need another round
        raise NotReady(f"{error} (give this round up first: labeler rounds revert {row.number})") from error
    encoder = loop.train_on(runtime, row, rows) if loop.wanted(runtime, row.index_fingerprint) else None
    with runtime.database.write() as session:
        model_id = store.add_model(
            session,
            row.number,
            hash=result.hash,
            training_sha256=queries.training_sha256(rows),
            path=str(folder.relative_to(runtime.workspace.folder)),
            start=starting_checkpoint(runtime, row),
            config=dict(row.config["train"]),
            examples=result.examples,
            seconds=result.seconds,
            loss=result.loss,
        )
        detail = {"examples": result.examples, "unusable": list(result.unusable), "model": result.hash}
        store.add_event(session, "trained", detail=detail, round_number=row.number)
        if encoder is not None:
            loop.store_trained(runtime, session, row, rows, encoder)
        return store.advance(session, row.number, row.stage, "trained", student_id=model_id)


def train_on(runtime: Runtime, row: RoundRow, rows: Sequence[TrainingRow], *, folder: Path) -> TrainResult:
    """A reader trained on these labels into `folder`, under the round's settings, seed and starting checkpoint."""
    from mrc.read.train.trainer import train as run

    with runtime.database.read() as session:
        held_out = queries.held_out_passages(session)
    taught = examples(runtime, row, rows, held_out)
    with updates("train") as progress:
        return run(
            taught,
            start=prepared(runtime, row),
            config=runtime.config.training,
            seed=row.seed,
            folder=folder,
            progress=progress,
            dev=watched(runtime),
            teachers=teachers(runtime, row),
            teach_trusted=bool(runtime.config.train.teachers),
            shares=pool_shares(runtime, row),
            metric=runtime.metric,
            device=runtime.device,
            precision=runtime.config.compute.precision,
        )


def examples(runtime: Runtime, row: RoundRow, rows: Sequence[TrainingRow], held_out: set[str]) -> list[TrainingExample]:
    """The training examples of these labels, with hard negatives that belong to no held-out question."""
    found = convert.training_examples(rows)
    count = runtime.config.train.negatives
    if not count or row.index_fingerprint is None:
        return found

    def fetch(ids: Sequence[str]) -> Mapping[str, Passage]:
        return runtime.fetch([key for key in ids if key not in held_out])

    search = runtime.index(row.index_fingerprint).retrieve
    return with_negatives(found, search=search, fetch=fetch, count=count, metric=runtime.metric)


def watched(runtime: Runtime) -> list[DevExample]:
    """The dev questions that early stopping watches, each in the passage that answers it; none where it is off.

    The gate judges by the same questions, so a student that stopped by them is judged a little too kindly.
    """
    if not runtime.config.train.early_stopping_patience:
        return []
    from mrc.read import DevExample

    with runtime.database.read() as session:
        entries = [entry for entry in queries.labelled_questions(session, "dev") if entry.label.answers]
    passages = runtime.fetch(sorted({entry.label.answers[0].passage_id for entry in entries}))
    return [
        DevExample(
            entry.question.id,
            entry.question.text,
            passages[entry.label.answers[0].passage_id].text,
            tuple(answer.text for answer in entry.label.answers),
        )
        for entry in entries
    ]


def teachers(runtime: Runtime, row: RoundRow) -> list[Reader]:
    """The readers whose beliefs the student learns: those of the settings, else the teacher of the round.

    The round's own was trained on the labels of people, and so teaches only the other examples.
    """
    if not runtime.config.train.distill_weight:
        return []
    named = runtime.config.train.teachers
    if named:
        return [runtime.load(Path(runtime.located(name))) for name in named]
    if row.teacher_id is None:
        log.warning("train.distill_weight is on, but there is no teacher yet: this reader learns from labels alone")
        return []
    with runtime.database.read() as session:
        return [runtime.reader(queries.model(session, row.teacher_id))]


def pool_shares(runtime: Runtime, row: RoundRow) -> Mapping[str, float] | None:
    """The share of each kind of question in the pool, by the answers that the round predicted; None without any."""
    if runtime.config.train.balance == "none":
        return None
    from mrc.read.data.balance import strata

    with runtime.database.read() as session:
        texts = {each.id: each.text for each in queries.questions(session, roles=["pool"])}
        found = [
            (texts[each.question_id], len(each.answers[0].text.split()) if each.answers else 0)
            for each in queries.iter_predictions(session, row.number)
            if each.question_id in texts
        ]
    kinds = Counter(strata([text for text, _ in found], [words for _, words in found]))
    return {kind: count / len(found) for kind, count in sorted(kinds.items())} if found else None
