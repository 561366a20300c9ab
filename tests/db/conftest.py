"""An example database: three documents, six passages, questions of every role."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import schema, store
from db.engine import Database, Session
from db.rows import DocumentRow, HiddenRow, NewImport, NewLabel, NewTask, PassageRow, QuestionRow, RoundRow, SpanRow
from tests.postgres import Server

BUSY_SECONDS = 0.2
only_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

TEXTS = {  # passage id: text; each begins with the word that answers its question
    "p0": "Ada wrote the first program.",
    "p1": "Bob sailed to the north.",
    "p2": "Cyd built the old bridge.",
    "p3": "Dov painted the red door.",
    "p4": "Eve found the lost book.",
    "p5": "서울은 대한민국의 수도이다.",
}


def span(passage_id: str, start: int = 0, end: int | None = None) -> SpanRow:
    """The first word of the passage, or text[start:end]."""
    text = TEXTS[passage_id]
    end = text.index(" ") if end is None else end
    return SpanRow(text[start:end], passage_id, start, end)


def question(
    question_id: str, role: str, *, context: str | None = None, duplicate_of: str | None = None
) -> QuestionRow:
    return QuestionRow(
        id=question_id,
        text=f"Who is {duplicate_of or question_id}?",
        normalized=f"n-{duplicate_of or question_id}",
        role=role,
        imported_role=role,
        split_group=f"u-{question_id}",
        context_id=context,
        duplicate_of=duplicate_of,
    )


def passages(*ids: str) -> tuple[PassageRow, ...]:
    return tuple(PassageRow(key, f"d{int(key[1]) // 2}", int(key[1]) % 2, TEXTS[key]) for key in ids)


def an_import(path: str, role: str, **parts: object) -> NewImport:
    documents = tuple(DocumentRow(f"d{number}", f"Title {number}") for number in range(3))
    return NewImport(
        path=path,
        sha256=path,
        role=role,
        format="squad",
        options={},
        counts={},
        documents=documents,
        **parts,  # type: ignore[arg-type]
    )


EXAMPLE = an_import(
    "example.json",
    "split",
    passages=passages(*TEXTS),
    questions=(
        question("g0", "gold", context="p0"),
        question("dev0", "dev", context="p1"),
        question("cal0", "calibration", context="p2"),
        question("a", "pool"),
        question("b", "pool"),
        question("c", "pool"),
        question("a2", "pool", duplicate_of="a"),
    ),
    labels=(
        NewLabel("g0", (span("p0"),)),
        NewLabel("dev0", (span("p1"),)),
        NewLabel("cal0", (span("p2"),)),
    ),
    hidden=(HiddenRow("a", False, (span("p3"),)), HiddenRow("b", True, ())),
)


def fill(database: Database) -> None:
    """Fill a database with the example import, a closed round 0 with its model, and a calibrator."""
    schema.upgrade(database)
    with database.write() as session:
        store.add_import(session, EXAMPLE)
        store.add_calibrator(session, hash="cal-hash", kind="isotonic", state={}, metrics={})
    with database.write() as session:
        close(session, open_round(session, "baseline").number, promoted=True)
    database.close()


class Backend:
    """Makes SQLite or PostgreSQL databases for one test, and removes them after it."""

    def __init__(self, folder: Path, template: str, server: Server | None) -> None:
        self.kind = "sqlite" if server is None else "postgresql"
        self.server = server
        self._folder, self._template = folder, template
        self._names: list[str] = []
        self._opened: list[Database] = []

    def empty(self) -> Database:
        """A database without tables: a file that is not there yet, or an empty database of the server."""
        return self.open(self._new())

    def filled(self) -> Database:
        """A copy of the example."""
        if self.server is not None:
            return self.open(self._new(template=self._template))
        path = self._new()
        shutil.copy(self._template, path)
        return self.open(path)

    def open(self, place: str | Database, *, busy_seconds: float = BUSY_SECONDS) -> Database:
        """A database by its URL or path, or one more connection to the same."""
        if isinstance(place, Database):
            place = place.url.render_as_string(hide_password=False)
        self._opened.append(Database(place, busy_seconds=busy_seconds))
        return self._opened[-1]

    def clean(self) -> None:
        for database in self._opened:
            database.close()
        for name in self._names:
            assert self.server is not None
            self.server.drop(name)

    def _new(self, *, template: str | None = None) -> str:
        if self.server is None:
            return str(self._folder / f"labeler{len(self._opened) or ''}.sqlite")
        self._names.append(f"test_{secrets.token_hex(6)}")
        return self.server.make(self._names[-1], template=template)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An SQLite file with the example, copied for each test."""
    path = tmp_path_factory.mktemp("db") / "template.sqlite"
    fill(Database(path))
    return str(path)


@pytest.fixture(scope="session")
def server_template(postgres: Server) -> str:
    """The name of a PostgreSQL database with the example, copied for each test."""
    fill(Database(postgres.make("template_example")))
    return "template_example"


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Every test that uses it, or `database`, runs on both kinds of database."""
    if request.param == "sqlite":
        made = Backend(tmp_path, request.getfixturevalue("template"), None)
    else:
        server = request.getfixturevalue("postgres")
        made = Backend(tmp_path, request.getfixturevalue("server_template"), server)
    yield made
    made.clean()


@pytest.fixture
def database(backend: Backend) -> Database:
    """A copy of the example, to be changed."""
    return backend.filled()


def open_round(session: Session, kind: str = "loop") -> RoundRow:
    return store.open_round(session, kind, config={"seed": 0}, seed=0, code_version="test", reviewer="simulated")


def add_model(session: Session, number: int, *, hash: str) -> int:
    return store.add_model(
        session,
        number,
        hash=hash,
        training_sha256="t",
        path=f"models/round-{number}",
        start="builtin",
        config={},
        examples=1,
        seconds=1.0,
        loss=None,
    )


def close(session: Session, number: int, *, promoted: bool, stage: str = "open") -> int:
    """Move a round from `stage` straight to closed and return the id of its student."""
    model_id = add_model(session, number, hash=f"model-{number}")
    store.advance(session, number, stage, "trained", student_id=model_id)
    store.advance(session, number, "trained", "closed", promoted=promoted)
    return model_id


def pseudo(question_id: str, passage_id: str = "p3", *, weight: float = 0.5) -> NewLabel:
    return NewLabel(
        question_id,
        (span(passage_id),),
        train_weight=weight,
        model_id=1,
        index_fingerprint="index-1",
        calibrator_id=1,
        confidence=0.9,
        threshold=0.8,
    )


def human(question_id: str, passage_id: str = "p4", review_id: int | None = None) -> NewLabel:
    return NewLabel(question_id, (span(passage_id),), reviewer="kim", review_id=review_id)


def task(question_id: str, position: int = 0) -> NewTask:
    return NewTask(question_id, "random", blind=True, position=position, passages=("p3", "p4"))


def play_round(
    session: Session,
    *,
    pseudo_labels: tuple[NewLabel, ...] = (),
    human_labels: tuple[NewLabel, ...] = (),
    promoted: bool = True,
) -> int:
    """Play a round that labels, trains and closes, and return its number; a refused one withdraws its labels."""
    number = open_round(session).number
    store.record_labels(session, number, human=human_labels, pseudo=pseudo_labels, reason=f"round {number}")
    if not promoted:
        store.withdraw_round(session, number, reason="refused by the gate")
    close(session, number, promoted=promoted)
    return number
