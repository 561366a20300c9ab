"""labelled -> trained: the student, trained from the starting checkpoint on the labels that were fixed for the round.

With `retriever.train` the round also trains the encoder of a hybrid index on the same labels.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from db import queries, store
from db.engine import Session
from db.rows import RoundRow, TrainingRow
from labeler.core import convert
from labeler.core.errors import NotReady
from labeler.core.progress import updates
from labeler.core.runtime import LABELLER, Runtime
from labeler.reading import folds, postprocessing
from labeler.rounds.checkpoints import pretrained_checkpoint, starting_checkpoint
from labeler.rounds.retriever.training import is_enabled, store_encoder, train_encoder
from mrc.calibration.retrieval_weight import UNTUNED
from mrc.errors import BadCheckpoint, DataError, OutOfMemory, TrainingDiverged, WorkerDied
from mrc.read.data.negatives import with_negatives
from mrc.read.train_config import TrainConfig
from mrc.types import Passage

if TYPE_CHECKING:
    from labeler.core.labeller_reader import LabellerReader
    from mrc.read import DevExample, TrainingExample, TrainResult
    from mrc.read.model.reader import Reader

log = logging.getLogger(__name__)

NEEDS_OTHER_SETTINGS: Final = (BadCheckpoint, DataError, OutOfMemory, TrainingDiverged, WorkerDied)


def freeze(session: Session, number: int) -> None:
    """Fix the training set of the round. Raises NotReady where no label with an answer may train."""
    store.freeze_training(session, number)
    if all(no_answer for _, _, no_answer in queries.training_counts(session, number)):
        raise NotReady(
            "there is no label to train on yet; import labelled questions with: labeler import FILE --as gold"
        )


def model_folder(runtime: Runtime, row: RoundRow) -> Path:
    """The folder of the round's student."""
    return runtime.workspace.models_folder / f"round-{row.number}-{row.uid[:8]}"


def train(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Train the student and advance the round to `trained`. After an interruption, training resumes."""
    with runtime.database.read() as session:
        rows = queries.training_rows(session, row.number)
    folder = model_folder(runtime, row)
    try:
        result = train_reader(runtime, row, rows, folder=folder)
        fold_results = _train_folds(runtime, row, rows, folder)
    except NEEDS_OTHER_SETTINGS as error:  # they need another round
        raise NotReady(f"{error} (give this round up first: labeler rounds revert {row.number})") from error
    encoder = train_encoder(runtime, row, rows) if is_enabled(runtime, row.index_fingerprint) else None
    with runtime.database.write() as session:
        model_id = store_reader(runtime, session, row, rows, result)
        for name, (own, trained) in fold_results.items():
            store_reader(runtime, session, row, own, trained, name=name)
        detail = {"examples": result.examples, "unusable": list(result.unusable), "model": result.hash}
        store.add_event(session, "trained", detail=detail, round_number=row.number)
        if encoder is not None:
            store_encoder(runtime, session, row, rows, encoder)
        return store.advance(session, row.number, row.stage, "trained", student_id=model_id)


def _train_folds(
    runtime: Runtime, row: RoundRow, rows: Sequence[TrainingRow], folder: Path
) -> dict[str, tuple[Sequence[TrainingRow], TrainResult]]:
    """Train the fold readers, in folders beside the student's; by name, each with its labels."""
    count = runtime.config.calibrate.folds
    assert count is not None, "a round resolves it"
    parts = folds.training_folds(rows, count)
    if count > 1 and not parts:
        log.warning(
            "there are too few labels for %d folds, so none is trained: nothing calibrates the next round", count
        )
    found: dict[str, tuple[Sequence[TrainingRow], TrainResult]] = {}
    for number, own in enumerate(parts):
        name = folds.name_of(number, count)
        log.info("training the reader of fold %d of %d", number + 1, count)
        own_folder = folder.with_name(f"{folder.name}-{name}")
        config = folds.fold_training(runtime.config.training, count)
        found[name] = (own, train_reader(runtime, row, own, folder=own_folder, config=config))
    return found


def store_reader(
    runtime: Runtime,
    session: Session,
    row: RoundRow,
    rows: Sequence[TrainingRow],
    result: TrainResult,
    *,
    name: str = "student",
) -> int:
    """Store a reader that the round trained on these labels, and return its id."""
    return store.add_model(
        session,
        row.number,
        name=name,
        hash=result.hash,
        training_sha256=queries.training_sha256(rows),
        path=str(result.folder.relative_to(runtime.workspace.folder)),
        start=starting_checkpoint(runtime, row),
        config=dict(row.config["train"]),
        examples=result.examples,
        seconds=result.seconds,
        loss=result.loss,
    )


def train_reader(
    runtime: Runtime,
    row: RoundRow,
    rows: Sequence[TrainingRow],
    *,
    folder: Path,
    seed: int | None = None,
    config: TrainConfig | None = None,
) -> TrainResult:
    """Train a reader on these labels into `folder`, with the round's start, and its seed and settings or others."""
    from mrc.read.train.trainer import train as run

    with runtime.database.read() as session:
        held_out = queries.held_out_passages(session)
    distilled = teachers(runtime, row, rows)
    with updates("train") as progress:
        return run(
            training_examples(runtime, row, rows, held_out),
            start=pretrained_checkpoint(runtime, row),
            config=config or runtime.config.training,
            seed=row.seed if seed is None else seed,
            folder=folder,
            progress=progress,
            dev=early_stopping_examples(runtime),
            teachers=distilled.readers,
            distill_human_labelled=bool(runtime.config.train.teachers),
            teacher_of=distilled.of_example,
            shares=pool_shares(runtime, row),
            metric=runtime.metric,
            device=runtime.device,
            precision=runtime.config.compute.precision,
        )


def training_examples(
    runtime: Runtime, row: RoundRow, rows: Sequence[TrainingRow], held_out: set[str]
) -> list[TrainingExample]:
    """The examples of these labels, with hard negatives that belong to no held-out question."""
    found = convert.training_examples(rows, golds=runtime.config.train.golds)
    count = runtime.config.train.negatives
    if not count or row.index_fingerprint is None:
        return found

    def fetch(ids: Sequence[str]) -> Mapping[str, Passage]:
        return runtime.fetch([key for key in ids if key not in held_out])

    search = runtime.index(row.index_fingerprint).retrieve
    weight = _retrieval_weight(runtime, row)
    return with_negatives(
        found, search=search, fetch=fetch, count=count, metric=runtime.metric, retrieval_weight=weight
    )


def _retrieval_weight(runtime: Runtime, row: RoundRow) -> float:
    """The weight of retrieval that the round's teacher reads with; that of the settings, else untuned, without one."""
    if row.teacher_id is None:
        named = runtime.config.read.retrieval_weight
        return UNTUNED if named is None else named
    with runtime.database.read() as session:
        return postprocessing.plan_of(runtime, queries.model(session, row.teacher_id)).retrieval_weight


def early_stopping_examples(runtime: Runtime) -> list[DevExample]:
    """The dev questions for early stopping, each with its gold passage; empty where early stopping is off.

    The gate uses the same questions, so its scores of such a student are slightly too high.
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


@dataclass(frozen=True, slots=True)
class Teachers:
    """Readers to distil from, and the number of the only one that reads an example, by its id; others are read by
    all."""

    readers: Sequence[Reader | LabellerReader] = field(default_factory=list)
    of_example: Mapping[str, int] = field(default_factory=dict)


def teachers(runtime: Runtime, row: RoundRow, rows: Sequence[TrainingRow]) -> Teachers:
    """The readers to distil from: those of the settings, else the teacher of the round with its fold readers, or the
    labeller whose answers the round takes.

    The round's teacher was trained on the human labels, so it is used for the other examples alone, and where a fold
    reader has not been taught an example's split group, that one reads it.
    """
    if not runtime.config.train.distill_weight:
        return Teachers()
    named = runtime.config.train.teachers
    if named:
        return Teachers([_named_teacher(runtime, name) for name in named])
    if row.labeller_id is not None:
        with runtime.database.read() as session:
            labeller = queries.labeller_by_id(session, row.labeller_id)
        return Teachers([_named_teacher(runtime, LABELLER + labeller.name)])
    if row.teacher_id is None:
        log.warning("train.distill_weight is on, but there is no teacher yet: training uses the labels alone")
        return Teachers()
    with runtime.database.read() as session:
        known = folds.readers_of(session, queries.model(session, row.teacher_id))
    models = [known.teacher, *known.folds]
    of_example = {each.question.id: models.index(known.of(each.question)) for each in rows} if known.folds else {}
    return Teachers([runtime.reader(model) for model in models], of_example)


def _named_teacher(runtime: Runtime, name: str) -> Reader | LabellerReader:
    """A reader to distil from, not kept in memory, or the stored answers of a labeller."""
    return runtime.answerer_named(name) if name.startswith(LABELLER) else runtime.load(Path(runtime.located(name)))


def pool_shares(runtime: Runtime, row: RoundRow) -> Mapping[str, float] | None:
    """The share of each stratum (question type and answer length) in the predicted pool, of which a round with a budget
    has a uniform sample; None without balancing."""
    if runtime.config.train.balance == "none":
        return None
    from mrc.read.data.balance import strata

    with runtime.database.read() as session:
        sampled = queries.sampled_questions(session, row.number)
        texts = {each.id: each.text for each in queries.questions(session, roles=["pool"]) if each.id in sampled}
        found = [
            (texts[each.question_id], len(each.answers[0].text.split()) if each.answers else 0)
            for each in queries.iter_predictions(session, row.number)
            if each.question_id in texts
        ]
    counts = Counter(strata([text for text, _ in found], [words for _, words in found]))
    return {name: count / len(found) for name, count in sorted(counts.items())} if found else None
