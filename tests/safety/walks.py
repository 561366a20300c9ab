"""Random walks over imports, labels, rounds, reverts and undos, against a small model of every question's label."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from db import queries, schema, store
from db.engine import Database
from db.rows import DocumentRow, NewImport, NewLabel, PassageRow, QuestionRow, SpanRow

QUESTIONS = ("q0", "q1", "q2", "q3")
WORDS = ("ada", "bob", "cyd", "dov", "eve", "fay")
TEXT = " ".join(WORDS)
FILES = (  # of an import: question -> role and answer
    {"q0": ("pool", ""), "q1": ("pool", ""), "q2": ("pool", "")},
    {"q0": ("gold", "ada"), "q3": ("gold", "ada")},
    {"q0": ("gold", "bob"), "q1": ("gold", "bob")},
    {"q1": ("gold", "ada"), "q2": ("pool", ""), "q3": ("gold", "ada")},
)
STEPS = ("import", "import", "undo", "set", "round", "round", "revert", "revert with reviews")


def span(word: str) -> SpanRow:
    start = TEXT.index(word)
    return SpanRow(word, "p", start, start + len(word))


@dataclass
class Model:
    """What must hold: live imports, oldest first, and human labels, oldest first, of each question."""

    imports: dict[int, dict[str, tuple[str, str]]] = field(default_factory=dict)
    human: dict[str, list[tuple[int | None, str]]] = field(default_factory=dict)  # (round or None by hand, answer)
    roles: dict[str, str] = field(default_factory=dict)  # of every question ever imported

    def brought(self, question: str) -> list[tuple[str, str]]:
        return [file[question] for file in self.imports.values() if question in file]

    def active(self, question: str) -> bool:
        return bool(self.brought(question))

    def label(self, question: str) -> tuple[str, str] | None:
        """Kind and answer of the live label."""
        if self.human.get(question):
            return "human", self.human[question][-1][1]
        golds = [answer for role, answer in self.brought(question) if role == "gold"]
        return ("gold", golds[0]) if golds else None

    def settle_roles(self) -> None:
        for question in QUESTIONS:
            if self.active(question):
                self.roles[question] = "gold" if any(role == "gold" for role, _ in self.brought(question)) else "pool"

    def may_import(self, file: dict[str, tuple[str, str]]) -> bool:
        """A stored gold question does not become a pool question by an import."""
        return all(role == "gold" or self.roles.get(question, "pool") == "pool" for question, (role, _) in file.items())


class Walk:
    """One walk: each step changes the database and the model, and then both must agree."""

    def __init__(self, template: Path, path: Path, rng: random.Random) -> None:
        path.write_bytes(template.read_bytes())
        self.database = Database(path)
        self.model = Model()
        self.rng = rng
        self.rounds: list[int] = []
        self.taken = ["start"]  # what was done, for the message of a failure
        self.count = 0

    def run(self, length: int) -> None:
        try:
            for _ in range(length):
                self.step(self.rng.choice(STEPS))
                self.check()
        finally:
            self.database.close()

    def step(self, name: str) -> None:
        self.taken.append(name)
        active = [question for question in QUESTIONS if self.model.active(question)]
        if name == "import":
            self.add(self.rng.choice(FILES))
        elif name == "undo" and self.model.imports:
            self.undo(self.rng.choice(sorted(self.model.imports)))
        elif name == "set" and active:
            self.set(self.rng.choice(active))
        elif name == "round" and active:
            self.round(self.rng.sample(active, self.rng.randint(1, len(active))))
        elif name.startswith("revert") and self.rounds:
            self.revert(self.rng.choice(self.rounds), with_reviews=name.endswith("reviews"))

    def add(self, file: dict[str, tuple[str, str]]) -> None:
        if not self.model.may_import(file):
            return
        self.count += 1
        rows = tuple(
            QuestionRow(key, key, key, role, role, key, "p" if role == "gold" else None)
            for key, (role, _) in file.items()
        )
        labels = tuple(NewLabel(key, (span(answer),)) for key, (role, answer) in file.items() if role == "gold")
        document, passage = DocumentRow("d", "d"), PassageRow("p", "d", 0, TEXT)
        new = NewImport("f", f"sha{self.count}", "split", "squad", {}, {}, (document,), (passage,), rows, labels, ())
        with self.database.write() as session:
            import_id = store.add_import(session, new).import_id
        self.model.imports[import_id] = file
        self.model.settle_roles()
        self.taken[-1] += f" {import_id}: {file}"

    def undo(self, import_id: int) -> None:
        with self.database.write() as session:
            store.undo_import(session, import_id)
        del self.model.imports[import_id]
        self.model.settle_roles()
        self.taken[-1] += f" {import_id}"

    def set(self, question: str) -> None:
        answer = self.rng.choice(WORDS)
        with self.database.write() as session:
            store.set_label(session, question, [span(answer)], reviewer="kim")
        self.model.human.setdefault(question, []).append((None, answer))
        self.taken[-1] += f" {question} {answer}"

    def round(self, questions: Sequence[str]) -> None:
        answers = {question: self.rng.choice(WORDS) for question in questions}
        labels = [NewLabel(question, (span(answer),), reviewer="kim") for question, answer in answers.items()]
        with self.database.write() as session:
            row = store.open_round(session, "loop", config={"seed": 0}, seed=0, code_version="t", reviewer="none")
            store.record_labels(session, row.number, human=labels, pseudo=(), reason=f"round {row.number}")
            model = store.add_model(
                session, row.number, hash=f"m{row.number}", training_sha256="t", path=f"models/round-{row.number}",
                start="builtin", config={}, examples=1, seconds=1.0, loss=None,
            )  # fmt: skip
            store.advance(session, row.number, "open", "trained", student_id=model)
            store.advance(session, row.number, "trained", "closed", promoted=True)
        self.rounds.append(row.number)
        for question, answer in answers.items():
            self.model.human.setdefault(question, []).append((row.number, answer))
        self.taken[-1] += f" {row.number} {answers}"

    def revert(self, number: int, *, with_reviews: bool) -> None:
        with self.database.write() as session:
            store.revert(session, number, with_reviews=with_reviews)
        gone = {each for each in self.rounds if each >= number}
        self.rounds = [each for each in self.rounds if each < number]
        if with_reviews:
            for question, labels in self.model.human.items():
                self.model.human[question] = [each for each in labels if each[0] not in gone]
        else:  # they stay for good, as if set by hand
            for question, labels in self.model.human.items():
                self.model.human[question] = [(None if each[0] in gone else each[0], each[1]) for each in labels]
        self.taken[-1] += f" {number}"

    def check(self) -> None:
        with self.database.read() as session:
            rows = {row.id: row for row in queries.questions(session, active=False)}
            live = {label.question_id: label for label in queries.live_labels(session)}
        for question in QUESTIONS:
            story = "\n".join(self.taken)
            assert (question in rows and rows[question].active) == self.model.active(question), f"{question}\n{story}"
            if not self.model.active(question):
                continue
            found = live.get(question)
            told = (found.kind, found.answers[0].text) if found else None
            assert told == self.model.label(question), f"{question}: {told}, not {self.model.label(question)}\n{story}"
            assert rows[question].role == self.model.roles[question], f"{question}: {rows[question].role}\n{story}"


def make_template(path: Path) -> Path:
    """An empty database with a baseline, which every walk begins with."""
    database = Database(path)
    schema.upgrade(database)
    with database.write() as session:
        row = store.open_round(session, "baseline", config={"seed": 0}, seed=0, code_version="t", reviewer=None)
        model = store.add_model(
            session, row.number, hash="m", training_sha256="t", path="models/round-0", start="builtin", config={},
            examples=1, seconds=1.0, loss=None,
        )  # fmt: skip
        store.advance(session, row.number, "open", "trained", student_id=model)
        store.advance(session, row.number, "trained", "closed", promoted=True)
    database.close()
    with Database(path).engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return path
