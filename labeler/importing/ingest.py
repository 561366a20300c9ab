"""Adding what files hold to a workspace: all of a file in one transaction or nothing, twice the same as once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from db import queries, store
from db.store.corpus import move
from labeler.core.errors import ImportRefused
from labeler.importing.formats import Content, read_content
from labeler.importing.import_plan import Intake, Stored, take_in
from labeler.importing.splits import ROLES, SplitPlan
from mrc.squad import Rejected

if TYPE_CHECKING:
    from db.engine import Database, Session
    from db.rows import NewImport, Undone

CORPUS = "corpus"
SPLIT = "split"  # the role of an import whose questions got their roles from a plan
SPLIT_BY = ("paragraph", "document")
SPLIT_BY_KEY = "split_by"  # in meta


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was added. A count is of rows that were not there before; `splits` counts every accepted question."""

    imports: tuple[int, ...] = ()  # ids, for undo_import
    passages: int = 0
    questions: int = 0
    labels: int = 0
    hidden: int = 0  # pool questions whose answers were kept aside
    duplicates: int = 0  # questions known already, and new ones that repeat another's wording and context
    rejected: tuple[Rejected, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    shared_documents: int = 0  # documents with paragraphs on more than one side: the coarser level
    notes: tuple[str, ...] = ()

    def __add__(self, other: ImportReport) -> ImportReport:
        return ImportReport(
            self.imports + other.imports,
            self.passages + other.passages,
            self.questions + other.questions,
            self.labels + other.labels,
            self.hidden + other.hidden,
            self.duplicates + other.duplicates,
            self.rejected + other.rejected,
            dict(Counter(self.splits) + Counter(other.splits)),
            self.shared_documents + other.shared_documents,
            self.notes + other.notes,
        )


def import_files(
    database: Database,
    files: Sequence[str],
    *,
    role: str | None = None,
    split: SplitPlan | None = None,
    format: str = "auto",
    seed: int = 0,
    split_by: str | None = None,
) -> ImportReport:
    """What the files added, each in a transaction of its own: either under one role, or split by a plan.

    `role`: corpus (passages only), gold, calibration, dev, test or pool. `split_by`: paragraph or document; default
    what the workspace began with, paragraph at first. A file imported before adds nothing, and the report says so.

    Raises:
        ImportRefused: nothing of a file can be used, or split_by is not the workspace's.
        DataError, FileError, OSError: a file cannot be read. Files before it stay imported.
    """
    if (role is None) == (split is None):
        raise ValueError("either role or split is needed")
    if role is not None and role not in (CORPUS, *ROLES):
        raise ValueError(f"role must be one of {', '.join((CORPUS, *ROLES))}, not {role!r}")
    if split is not None and len(files) != 1:
        raise ImportRefused("--split takes one file: its counts are those of one file's questions")
    report = ImportReport()
    for name in files:
        content = read_content(name, format=format)
        with database.write() as session:
            report += _import_one(session, name, content, role=role or SPLIT, plan=split, seed=seed, split_by=split_by)
    return report


def undo_import(database: Database, import_id: int) -> Undone:
    """What undoing took away: rows that no other import brought. Raises db.errors.NotFound, Conflict."""
    with database.write() as session:
        return store.undo_import(session, import_id)


def _import_one(
    session: Session, name: str, content: Content, *, role: str, plan: SplitPlan | None, seed: int, split_by: str | None
) -> ImportReport:
    options = {"seed": seed, "split": str(plan)} if plan else {}
    sha256 = hashlib.sha256(f"{content.sha256} {content.format} {options}".encode()).hexdigest()
    known = queries.find_import(session, sha256, role)
    if known is not None:
        note = f"{name}: imported before (import {known.id}); nothing was added"
        repeated = known.counts["questions"]
        return ImportReport(duplicates=repeated, splits=known.counts["splits"], notes=(note,))
    _check_usable(name, content, role)
    if role == CORPUS and content.questions:
        note = f"{name}: its {len(content.questions)} questions were left out: --as corpus takes passages only"
        content = replace(content, questions=(), notes=(*content.notes, note))
    level = _split_by(session, split_by) if content.questions else SPLIT_BY[0]
    intake = take_in(content, _stored(session, content, level), role=plan or role, seed=seed, split_by=level)
    if role != CORPUS and not intake.questions:
        raise _all_rejected(name, intake.rejected or (Rejected(name, "no role has room for a whole unit"),))
    new = intake.new_import(name, sha256=sha256, role=role, format=content.format, options=options)
    return _write(session, intake, new, content.notes)


def _check_usable(name: str, content: Content, role: str) -> None:
    """Raises ImportRefused where nothing in the file is of use for the role."""
    if content.passages if role == CORPUS else content.questions:
        return
    if content.rejected:
        raise _all_rejected(name, content.rejected)
    wanted = "passage" if role == CORPUS else "question"
    hint = "; passages alone are imported --as corpus" if content.passages else ""
    raise ImportRefused(f"{name}: holds no {wanted}{hint}")


def _all_rejected(name: str, rejected: Sequence[Rejected]) -> ImportRefused:
    first = rejected[0]
    return ImportRefused(f"{name}: nothing in it can be imported, {len(rejected)} rejected; {first.where}: {first.why}")


def _split_by(session: Session, wanted: str | None) -> str:
    """The level of splitting, stored by the first import that needs it. Raises ImportRefused if it would change."""
    stored = queries.get_meta(session, SPLIT_BY_KEY)
    if stored is None:
        stored = wanted or SPLIT_BY[0]
        store.set_meta(session, SPLIT_BY_KEY, stored)
    if wanted not in (None, stored):
        raise ImportRefused(f"this workspace is split by {stored} for good; make another one to split by {wanted}")
    return stored


def _stored(session: Session, content: Content, split_by: str) -> Stored:
    """What the database holds that the content may meet."""
    if not content.questions:
        return Stored()
    rows = queries.questions(session, active=False)
    golds = queries.live_labels(session, kinds=["gold"], question_ids=[question.id for question in content.questions])
    human = queries.live_labels(session, kinds=["human"])
    reviewed = {answer.passage_id: label.question_role for label in human for answer in label.answers}
    wanted = {*reviewed, *(row.context_id for row in rows if row.context_id)} if split_by == "document" else ()
    return Stored(
        questions=tuple(rows),
        golds={label.question_id: label.answers for label in golds},
        reviewed=reviewed,
        documents={key: row.document_id for key, row in queries.passages(session, wanted).items()},
        begun=queries.last_round(session) is not None,
    )


def _write(session: Session, intake: Intake, new: NewImport, notes: tuple[str, ...]) -> ImportReport:
    for role in sorted(set(intake.moved.values())):
        move(session, [key for key, moved in intake.moved.items() if moved == role], role, imported=True)
    added = store.add_import(session, new)
    return ImportReport(
        imports=(added.import_id,),
        passages=added.passages,
        questions=added.questions,
        labels=added.labels,
        hidden=len(new.hidden),
        duplicates=intake.duplicates,
        rejected=intake.rejected,
        splits=new.counts["splits"],
        shared_documents=intake.shared_documents,
        notes=notes + intake.notes,
    )
