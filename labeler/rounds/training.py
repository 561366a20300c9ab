"""labelled -> trained: a student from the starting checkpoint on exactly the labels that were fixed for the round.

Where it is to, and the index finds passages by meaning, the round trains their encoder on the same labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from db import queries, store
from db.rows import RoundRow, TrainingRow
from labeler import convert
from labeler.desk import Desk
from labeler.errors import NotReady
from labeler.progress import updates
from labeler.rounds import retriever
from mrc.errors import BadCheckpoint, DataError, TrainingDiverged
from mrc.metrics import normalize_answer

if TYPE_CHECKING:
    from mrc.read import TrainingExample, TrainResult

BUILTIN = "builtin"
SEARCHED = 10  # passages looked through for negatives


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
    except (BadCheckpoint, DataError, TrainingDiverged) as error:  # other settings need another round
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
            start=located(desk, starting_checkpoint(desk, row)),
            config=desk.config.train.reader,
            seed=row.seed,
            folder=folder,
            progress=progress,
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
        mined[each.question.id] = tuple(_without_answer(desk, each, candidates))[:count]
    return mined


def _without_answer(desk: Desk, row: TrainingRow, passages: Iterable[str]) -> Iterator[str]:
    golds = {normalize_answer(answer.text, desk.metric) for answer in row.label.answers}
    for text in passages:
        plain = normalize_answer(text, desk.metric)
        if not any(gold in plain for gold in golds):
            yield text


def starting_checkpoint(desk: Desk, row: RoundRow) -> str:
    """The round's starting checkpoint; the built-in encoder is made from the passages when it is first asked for."""
    start = str(row.config["round"]["start"])
    if start != BUILTIN:
        return start
    from mrc.read.builtin import build_builtin

    folder = desk.workspace.models_folder / f"{BUILTIN}-{row.uid[:8]}"
    if not folder.is_dir():
        with desk.database.read() as session:
            texts = [passage.text for passage in queries.iter_passages(session)]
            texts += [each.text for each in queries.questions(session, roles=["gold", "pool"])]
        build_builtin(texts, folder, seed=row.seed, config=desk.config.builtin)
    return str(folder.relative_to(desk.workspace.folder))


def is_builtin(start: str) -> bool:
    """Whether a starting checkpoint is a built-in encoder that a workspace made for itself."""
    return Path(start).name.startswith(f"{BUILTIN}-")


def located(desk: Desk, start: str) -> str:
    """Where a starting checkpoint is: a folder of the workspace, another folder, or a hub name.

    Raises NotReady for what can only be a folder and is not there: the hub is not asked for it.
    """
    inside = desk.workspace.folder / start
    if inside.is_dir():
        return str(inside)
    if start.startswith((".", "/", f"{desk.workspace.models_folder.name}/")) and not Path(start).is_dir():
        raise NotReady(f"{inside}: there is no starting checkpoint; name another one: labeler train --model PATH")
    return start
