"""Import of predictions from outside: read, check, anchor and store what a labeller answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from db import labellers, queries, store
from db.rows import LabellerAnswer, LabellerRow, NewImport, NewLabellerPrediction, QuestionRow
from labeler.core.console import storable
from labeler.core.errors import ImportRefused
from labeler.labellers.anchoring import find_span
from labeler.labellers.names import checked_name
from labeler.labellers.passages import found_passages
from labeler.labellers.prediction_file import PredictionFile, file_sha256, read_predictions
from labeler.labellers.prediction_records import FileAnswer
from mrc.squad import Rejected
from mrc.text import passage_id, valid_text
from mrc.types import Passage, Span

if TYPE_CHECKING:
    from db.engine import Session
    from labeler.core.runtime import Runtime

PREDICTIONS: Final = "predictions"  # role of an import


@dataclass(frozen=True, slots=True)
class PredictionReport:
    """What an import of predictions stored. What is rejected was refused, or is kept as text without a place."""

    labeller: str
    imports: tuple[int, ...] = ()  # ids, for import --undo
    questions: int = 0  # that the labeller answered
    predictions: int = 0  # answers stored, those of "no answer" among them
    anchored: int = 0  # of them, spans of passages
    as_text: int = 0  # of them, texts that stand in no passage: they are only compared
    no_answer: int = 0  # questions to which the labeller's first answer is "not in these passages"
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: PredictionReport) -> PredictionReport:
        return PredictionReport(
            self.labeller,
            self.imports + other.imports,
            self.questions + other.questions,
            self.predictions + other.predictions,
            self.anchored + other.anchored,
            self.as_text + other.as_text,
            self.no_answer + other.no_answer,
            self.rejected + other.rejected,
            self.notes + other.notes,
        )


def import_predictions(
    runtime: Runtime, files: Sequence[str], *, labeller: str, format: str = "auto"
) -> PredictionReport:
    """Import files of predictions as the answers of a labeller, each in its own transaction.

    Raises:
        ImportRefused: nothing of a file can be imported.
        ConfigError, Conflict: the name cannot be used.
        NotReady: answers without a passage of their own need the index.
        FileError, OSError: a file cannot be read. Files before it stay imported.
    """
    name = checked_name(labeller)
    with runtime.database.read() as session:
        labellers.check_kind(queries.find_labeller(session, name), "file")
    report = PredictionReport(name)
    for file in files:
        report += _import_one(runtime, file, name, read_predictions(file, format=format))
    return report


def _import_one(runtime: Runtime, file: str, name: str, read: PredictionFile) -> PredictionReport:
    sha256 = file_sha256(read, name)
    with runtime.database.read() as session:
        known = queries.find_import(session, sha256, PREDICTIONS)
        accepted, refused = _accepted(session, name, read.answers) if known is None else ({}, [])
    if known is not None:
        note = f"{file}: imported before (import {known.id}); nothing was added"
        return PredictionReport(name, notes=(note,))
    anchored = _anchored(runtime, accepted)
    rejected = (*read.rejected, *refused, *anchored.rejected)
    if not anchored.rows:
        raise ImportRefused(_nothing(file, rejected))
    counts = PredictionReport(
        name,
        questions=len(anchored.rows),
        predictions=sum(len(row.answers) + (row.null_score is not None or row.abstains) for row in anchored.rows),
        anchored=sum(each.passage_id is not None for row in anchored.rows for each in row.answers),
        as_text=sum(each.passage_id is None for row in anchored.rows for each in row.answers),
        no_answer=sum(row.abstains for row in anchored.rows),
        rejected=rejected,
        notes=read.notes,
    )
    with runtime.database.write() as session:
        row = labellers.ensure(session, name, "file", config={})
        import_id = _add_import(session, file, sha256, read, counts)
        labellers.add_predictions(session, row.id, anchored.rows, import_id=import_id)
    return replace(counts, imports=(import_id,))


def _nothing(file: str, rejected: Sequence[Rejected]) -> str:
    if not rejected:
        return f"{file}: no prediction in it"
    first = rejected[0]
    return f"{file}: nothing can be imported, {len(rejected)} rejected; {first.where}: {first.why}"


def _add_import(session: Session, file: str, sha256: str, read: PredictionFile, counts: PredictionReport) -> int:
    nothing: dict[str, Any] = dict.fromkeys(("passages", "questions", "labels", "duplicates"), 0) | {"splits": {}}
    found = {"predictions": counts.predictions, "anchored": counts.anchored, "rejected": len(counts.rejected)}
    new = NewImport(
        path=storable(file),
        sha256=sha256,
        role=PREDICTIONS,
        format=read.format,
        options={"labeller": counts.labeller, "content": read.sha256},
        counts=nothing | found,
    )
    return store.add_import(session, new).import_id


def _accepted(
    session: Session, name: str, answers: Sequence[FileAnswer]
) -> tuple[dict[str, list[FileAnswer]], list[Rejected]]:
    """The answers to stored questions that the labeller has not answered yet, by question; the others are refused."""
    row = queries.find_labeller(session, name)
    ids = {each.question_id for each in answers}
    active = {question.id for question in queries.questions(session, ids=ids)}
    before = queries.answered(session, row.id, ids) if row is not None else {}
    kept: defaultdict[str, list[FileAnswer]] = defaultdict(list)
    places: dict[tuple[object, ...], str] = {}
    refused = []
    for each in answers:
        key = (each.question_id, each.text.strip(), each.start, each.passage_id, each.context)
        why = _refusal(each, active, before, row, places.get(key))
        if why is not None:
            refused.append(Rejected(each.where, why))
            continue
        places[key] = each.where
        kept[each.question_id].append(each)
    return dict(kept), refused


def _refusal(
    answer: FileAnswer,
    active: set[str],
    before: Mapping[str, int | None],
    row: LabellerRow | None,
    repeats: str | None,
) -> str | None:
    """Why an answer is refused, or None."""
    question = f"question {answer.question_id[:60]!r}"
    if answer.question_id not in active:
        return f"there is no {question} in this workspace"
    if answer.question_id in before:
        of_import = before[answer.question_id]
        undo = f"; to replace it: labeler import --undo {of_import}" if of_import is not None else ""
        return f"the labeller {row.name if row else ''!r} has answered {question} already{undo}"
    if repeats is not None:
        return f"the same answer to {question} stands before ({repeats})"
    return None


@dataclass(frozen=True, slots=True)
class _Anchored:
    rows: Sequence[NewLabellerPrediction]
    rejected: Sequence[Rejected]


def _anchored(runtime: Runtime, by_question: Mapping[str, Sequence[FileAnswer]]) -> _Anchored:
    """The answers as spans of the passages that they name, else of those found for their question."""
    with runtime.database.read() as session:
        questions = {row.id: row for row in queries.questions(session, ids=by_question)}
    named = _named_passages(runtime, [each for answers in by_question.values() for each in answers])
    open_ids = [key for key, answers in by_question.items() if any(_is_open(each) for each in answers)]
    found = _found(runtime, [questions[key] for key in open_ids])
    rows, rejected = [], []
    for key, answers in by_question.items():
        ranked = sorted(answers, key=lambda each: -(each.score if each.score is not None else -1.0))
        row, faults = _prediction(key, ranked, named, found.get(key, ()))
        rejected += faults
        if row is not None:
            rows.append(row)
    return _Anchored(rows, rejected)


def _found(runtime: Runtime, questions: Sequence[QuestionRow]) -> dict[str, Sequence[Passage]]:
    if not questions:
        return {}
    return dict(zip((row.id for row in questions), found_passages(runtime, questions), strict=True))


def _is_open(answer: FileAnswer) -> bool:
    """Whether the answer has to be looked for in the passages of its question."""
    return bool(answer.text) and _named(answer) is None


def _named(answer: FileAnswer) -> str | None:
    """The id of the passage that an answer names, or None."""
    if answer.passage_id is not None:
        return answer.passage_id
    return passage_id(valid_text(answer.context)) if answer.context is not None else None


def _named_passages(runtime: Runtime, answers: Iterable[FileAnswer]) -> Mapping[str, Passage]:
    """The passages of the corpus that answers name, by id; those of undone imports are not among them."""
    wanted = {key for each in answers if (key := _named(each)) is not None}
    with runtime.database.read() as session:
        inactive = queries.inactive_passages(session) if wanted else set()
    return runtime.fetch(sorted(wanted - inactive)) if wanted else {}


def _prediction(
    key: str, ranked: Sequence[FileAnswer], named: Mapping[str, Passage], found: Sequence[Passage]
) -> tuple[NewLabellerPrediction | None, list[Rejected]]:
    """What is stored of the answers to a question, best first, and what has no place."""
    answers: list[LabellerAnswer] = []
    rejected: list[Rejected] = []
    empty = [each for each in ranked if not each.text]
    for each in ranked:
        if not each.text:
            continue
        name = _named(each)
        if name is not None and name not in named:
            rejected.append(Rejected(each.where, "the passage that the answer names is not in the corpus"))
            continue
        passages = found if name is None else [named[name]]
        place = find_span(each.text, passages, start=each.start, named=name is not None)
        if isinstance(place, str):
            rejected.append(Rejected(each.where, place))
        answers.append(_answer(each, place))
    if not answers and not empty:
        return None, rejected
    abstains = not ranked[0].text or not answers
    return NewLabellerPrediction(key, tuple(answers), abstains, empty[0].score if empty else None), rejected


def _answer(given: FileAnswer, place: Span | str) -> LabellerAnswer:
    if isinstance(place, str):
        return LabellerAnswer(given.text.strip(), score=given.score, fault=place)
    return LabellerAnswer(place.text, place.passage_id, place.start, place.end, given.score)
