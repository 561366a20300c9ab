"""Import files into a workspace: each in one transaction; importing a file again changes nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from db import queries, store
from labeler.core.errors import ImportRefused
from labeler.core.progress import Bar, bar
from labeler.importing.conflicts import POOL
from labeler.importing.formats import UNLABELLED, Content, ReadOptions, StudioMap, read_content
from labeler.importing.import_plan import ImportPlan, plan_import
from labeler.importing.near import LIMIT, NearPair
from labeler.importing.open_answers import Retrieve, place_answers
from labeler.importing.splits import ROLES, FileSplit, SplitPlan
from labeler.importing.stored import stored_rows, stored_texts
from mrc.squad import Rejected

if TYPE_CHECKING:
    from db.engine import Database, Session
    from db.rows import ImportRows, NewImport, Undone
    from mrc.read.predict.reach import OutOfReach

CORPUS = "corpus"
SPLIT = "split"  # role of an import that a plan split
SPLIT_BY = ("paragraph", "document")
NEAR = "near"  # value of --dedupe
SPLIT_BY_KEY = "split_by"  # in meta
TOO_MANY = (
    "the workspace has more than {limit:,} questions: near-duplicates were searched within the file alone, "
    "not among stored questions"
)
DEDUPE_REMEDY = "undo the import and add --dedupe near to keep them on one side"
FIXED_REMEDY = "the split that they have is kept; to have them on one side, leave one of each pair out of the file"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Counts of new rows; `splits` counts every accepted question by role."""

    imports: tuple[int, ...] = ()  # ids, for undo_import
    passages: int = 0
    questions: int = 0
    labels: int = 0
    hidden: int = 0  # pool questions with hidden answers
    duplicates: int = 0  # questions stored already, and new ones with the text and context of another
    rejected: tuple[Rejected, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    shared_documents: int = 0  # documents with paragraphs in more than one split
    near_duplicates: tuple[NearPair, ...] = ()  # nearly equal paragraphs and questions on two sides of the split
    near_remedy: str = ""  # what to do about them
    stored_compared: bool = True  # whether near-duplicates were searched among stored questions too, where they matter
    notes: tuple[str, ...] = ()
    unanchored: int = 0  # questions with answers that do not stand in their context: scored by their text
    out_of_reach: OutOfReach | None = None  # questions whose golds are longer than the answers that are considered

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
            self.near_duplicates + other.near_duplicates,
            self.near_remedy or other.near_remedy,
            self.stored_compared and other.stored_compared,
            self.notes + other.notes,
            self.unanchored + other.unanchored,
        )


def import_files(
    database: Database,
    files: Sequence[str],
    *,
    role: str | None = None,
    split: SplitPlan | FileSplit | None = None,
    format: str = "auto",
    seed: int = 0,
    split_by: str | None = None,
    dedupe: str | None = None,
    reading: ReadOptions | None = None,
    retrieve: Retrieve = lambda questions: None,
) -> ImportReport:
    """Import files, each in its own transaction, under one role, by a plan or by their own split.

    Returns what was added. `role`: corpus (passages only), gold, calibration, dev, test or pool. `split_by`: paragraph
    or document; default: that of the first import, else paragraph. A file imported before adds nothing, and the report
    says so.
    `dedupe`: "near" puts near-duplicate paragraphs and questions into one split group, which a split and a round that
    holds out questions keep on one side; otherwise those on two sides are listed.
    `reading`: choices for files that leave something open; by default an empty answer means "no answer", but of a pool.
    `retrieve`: finds passages for questions whose answers are texts alone.

    Raises:
        ImportRefused: no row of a file can be imported, or split_by is not that of the workspace.
        DataError, FileError, OSError: a file cannot be read. Files before it stay imported.
    """
    if (role is None) == (split is None):
        raise ValueError("either role or split is needed")
    if role is not None and role not in (CORPUS, *ROLES):
        raise ValueError(f"role must be one of {', '.join((CORPUS, *ROLES))}, not {role!r}")
    if isinstance(split, SplitPlan) and len(files) != 1:
        raise ImportRefused("--split takes one file: its counts are questions of one file")
    report = ImportReport()
    chosen = reading or ReadOptions(empty=UNLABELLED if role == POOL else "none")
    chosen = replace(chosen, texts_are_passages=role == CORPUS, all_splits=isinstance(split, FileSplit))
    for name in files:
        content = read_content(name, format=format, options=chosen)
        if role != CORPUS:
            content = place_answers(name, content, retrieve)
        with database.write() as session:
            report += _import_one(
                session,
                name,
                content,
                role=role or SPLIT,
                plan=split,
                seed=seed,
                split_by=split_by,
                dedupe=dedupe,
                reading=chosen,
            )
    return report


def undo_import(database: Database, import_id: int) -> Undone:
    """Undo an import: deactivate rows that no other import has. Raises db.errors.NotFound, Conflict."""
    with database.write() as session:
        return store.undo_import(session, import_id)


def _import_one(
    session: Session,
    name: str,
    content: Content,
    *,
    role: str,
    plan: SplitPlan | FileSplit | None,
    seed: int,
    split_by: str | None,
    dedupe: str | None,
    reading: ReadOptions,
) -> ImportReport:
    options: dict[str, object] = {"seed": seed, "split": str(plan)} if plan else {}
    options |= {"dedupe": dedupe} if dedupe else {}
    options |= _reading_options(reading)
    sha256 = hashlib.sha256(f"{content.sha256} {content.format} {options}".encode()).hexdigest()
    known = queries.find_import(session, sha256, role)
    if known is not None:
        note = f"{name}: imported before (import {known.id}); nothing was added"
        repeated = known.counts["questions"]
        return ImportReport(duplicates=repeated, splits=known.counts["splits"], notes=(note,))
    _check_usable(name, content, role)
    if plan:
        _refuse_other_split(session, name, content)
    options |= {"content": content.sha256}
    if role == CORPUS and content.questions:
        note = f"{name}: its {len(content.questions)} questions were left out: --as corpus takes passages only"
        content = replace(content, questions=(), notes=(*content.notes, note))
    level = _split_by(session, split_by) if content.questions else SPLIT_BY[0]
    stored = stored_rows(session, content, level)
    wanted = stored_texts(session, stored, plan or role, together=dedupe == NEAR) if content.questions else None
    texts, compared = wanted or (None, True)
    import_plan = plan_import(
        content,
        stored,
        role=plan or role,
        seed=seed,
        split_by=level,
        texts=texts,
        together=dedupe == NEAR,
    )
    if role != CORPUS and not import_plan.accepted.numbers:
        raise _all_rejected(name, import_plan.rejected or (Rejected(name, "no count holds a whole split group"),))
    new = import_plan.new_import(name, sha256=sha256, role=role, format=content.format, options=options)
    notes = content.notes if compared else (*content.notes, f"{name}: {TOO_MANY.format(limit=LIMIT)}")
    drawn = isinstance(plan, SplitPlan) and dedupe != NEAR
    remedy = DEDUPE_REMEDY if drawn else FIXED_REMEDY
    return replace(
        _write(session, import_plan, new, notes),
        stored_compared=compared,
        near_remedy=remedy if import_plan.near_duplicates else "",
    )


def _reading_options(reading: ReadOptions) -> dict[str, object]:
    """The choices of reading that change what a file is read as, for the row of the import."""
    chosen: dict[str, object] = {"id_prefix": reading.id_prefix} if reading.id_prefix else {}
    chosen |= {"empty": reading.empty} if reading.empty == "reject" else {}
    return chosen | ({"label_studio_map": asdict(reading.studio)} if reading.studio != StudioMap() else {})


def _refuse_other_split(session: Session, name: str, content: Content) -> None:
    """Raise ImportRefused if the file's questions were imported before: they would keep the roles that they have."""
    for row in queries.imports(session):
        if row.undone_at is None and row.role != CORPUS and row.options.get("content") == content.sha256:
            given = row.options
            how = f"--split {given['split']} --seed {given['seed']}" if row.role == SPLIT else f"--as {row.role}"
            raise ImportRefused(
                f"{name}: imported before with {how} (import {row.id}); undo that first: labeler import --undo {row.id}"
            )


def _check_usable(name: str, content: Content, role: str) -> None:
    """Raise ImportRefused if the file has nothing to import under the role."""
    if content.passages if role == CORPUS else content.questions:
        return
    if content.rejected:
        raise _all_rejected(name, content.rejected)
    wanted = "passage" if role == CORPUS else "question"
    hint = "; passages alone are imported --as corpus" if content.passages else ""
    raise ImportRefused(f"{name}: no {wanted} in it{hint}")


def _all_rejected(name: str, rejected: Sequence[Rejected]) -> ImportRefused:
    first = rejected[0]
    return ImportRefused(f"{name}: nothing can be imported, {len(rejected)} rejected; {first.where}: {first.why}")


def _split_by(session: Session, wanted: str | None) -> str:
    """Return the level of splitting, which the first import stores. Raises ImportRefused if it would change."""
    stored = queries.get_meta(session, SPLIT_BY_KEY)
    if stored is None:
        stored = wanted or SPLIT_BY[0]
        store.set_meta(session, SPLIT_BY_KEY, stored)
    if wanted not in (None, stored):
        raise ImportRefused(f"this workspace is split by {stored}; create another one to split by {wanted}")
    return stored


def _shown(parts: Iterable[ImportRows], shown: Bar) -> Iterator[ImportRows]:
    for part in parts:
        yield part
        shown.update(len(part.passages) + len(part.questions))


def _write(session: Session, import_plan: ImportPlan, new: NewImport, notes: tuple[str, ...]) -> ImportReport:
    for role in sorted(set(import_plan.moved.values())):
        ids = [key for key, moved in import_plan.moved.items() if moved == role]
        store.move_questions(session, ids, role, imported=True)
    with bar(
        "storing", total=len(import_plan.passages) + new.counts["questions"], unit=" rows", closing=False
    ) as shown:
        added = store.add_import(session, replace(new, parts=_shown(import_plan.parts(), shown)))
    return ImportReport(
        imports=(added.import_id,),
        passages=added.passages,
        questions=added.questions,
        labels=added.labels,
        hidden=import_plan.hidden,
        duplicates=import_plan.duplicates,
        rejected=import_plan.rejected,
        splits=new.counts["splits"],
        shared_documents=import_plan.shared_documents,
        near_duplicates=import_plan.near_duplicates,
        notes=notes + import_plan.notes,
        unanchored=import_plan.unanchored,
    )
