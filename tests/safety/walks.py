"""Random walks over imports, labels by hand, rounds with reviews and pseudo-labels, refusals, reverts and undos.

A small model says, after every step, what the label of every question is: kind, answer, span, weight and role.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import event

from db import queries, schema, store
from db.engine import Database
from db.rows import DocumentRow, LabelRow, NewImport, NewLabel, PassageRow, QuestionRow, SpanRow

QUESTIONS = ("q0", "q1", "q2", "q3", "q4", "q5")
HELD_OUT = "h0"  # a dev question about the passage `x`
WORDS = ("ada", "bob", "cyd", "dov", "eve", "fay")
TEXT = " ".join(WORDS)
TEXTS = {"p": TEXT, "x": f"Of {TEXT}"}
FILES = (  # of an import: question -> role and answer
    {"q0": ("pool", ""), "q1": ("pool", ""), "q2": ("pool", "")},
    {"q0": ("gold", "ada"), "q3": ("gold", "ada")},
    {"q0": ("gold", "bob"), "q1": ("gold", "bob")},
    {"q1": ("gold", "ada"), "q2": ("pool", ""), "q3": ("gold", "ada")},
    {"q0": ("pool", ""), "q3": ("pool", ""), "q4": ("pool", ""), "q5": ("pool", "")},
    {HELD_OUT: ("dev", "ada")},
)
STEPS = ("import", "import", "undo", "set", "reject", *("round",) * 4, "revert", "revert with reviews")

Answer = tuple[str, str]  # word and passage


def span(word: str, passage: str = "p") -> SpanRow:
    start = TEXTS[passage].index(word)
    return SpanRow(word, passage, start, start + len(word))


@dataclass
class Model:
    """What must hold: live imports, oldest first, and human labels, oldest first, of each question."""

    imports: dict[int, dict[str, tuple[str, str]]] = field(default_factory=dict)
    human: dict[str, list[tuple[int | None, str]]] = field(default_factory=dict)  # (round or None by hand, answer)
    pseudo: dict[str, Answer] = field(default_factory=dict)  # live ones
    before: dict[int, dict[str, Answer]] = field(default_factory=dict)  # round -> those live before it wrote any
    gold: dict[str, str] = field(default_factory=dict)  # live, or live without the human label
    barred: set[str] = field(default_factory=set)  # whose pseudo-label was rejected, until a label is set by hand
    roles: dict[str, str] = field(default_factory=dict)  # of every question ever imported

    def brought(self, question: str) -> list[tuple[str, str]]:
        return [file[question] for file in self.imports.values() if question in file]

    def active(self, question: str) -> bool:
        return bool(self.brought(question))

    def label(self, question: str) -> tuple[str, str] | None:
        """Kind and answer of the live label."""
        if self.human.get(question):
            return "human", self.human[question][-1][1]
        if question in self.gold:
            return "gold", self.gold[question]
        return ("pseudo", self.pseudo[question][0]) if question in self.pseudo else None

    def holds_out(self, passage: str) -> bool:
        """Whether no label with an answer in this passage may train."""
        return passage == "x"  # a dev question has it, or it is inactive

    def eligible(self, labels: dict[str, Answer]) -> dict[str, Answer]:
        """Those of these pseudo-labels that may be live now."""
        return {
            question: (word, passage)
            for question, (word, passage) in labels.items()
            if self.active(question) and self.roles[question] == "pool" and not self.human.get(question)
            and question not in self.barred and not self.holds_out(passage)
        }  # fmt: skip

    def settle_roles(self) -> None:
        for question in (*QUESTIONS, HELD_OUT):
            if self.active(question):
                roles = {role for role, _ in self.brought(question)}
                golds = [answer for role, answer in self.brought(question) if role != "pool"]
                if golds and self.gold.get(question) not in golds:  # it stays while a live import brings it
                    self.gold[question] = golds[0]
                elif not golds:
                    self.gold.pop(question, None)
                self.roles[question] = next(role for role in ("dev", "gold", "pool") if role in roles)

    def may_import(self, file: dict[str, tuple[str, str]]) -> bool:
        """A stored gold question does not become a pool question by an import."""
        return all(role == "gold" or self.roles.get(question, "pool") == "pool" for question, (role, _) in file.items())


class Walk:
    """One walk: each step changes the database and the model, and then both must agree."""

    def __init__(self, database: Database, rng: random.Random) -> None:
        self.database = database
        self.model = Model()
        self.rng = rng
        self.rounds: list[int] = []
        self.taken = ["start"]  # what was done, for the message of a failure
        self.count = 0

    def run(self, length: int) -> None:
        self.add(FILES[4])  # four pool questions
        for _ in range(length):
            self.step(self.rng.choice(STEPS))
            self.check()

    def step(self, name: str) -> None:
        self.taken.append(name)
        active = [question for question in QUESTIONS if self.model.active(question)]
        if name == "import":
            self.add(self.rng.choice(FILES))
        elif name == "undo" and self.model.imports:
            self.undo(self.rng.choice(sorted(self.model.imports)))
        elif name == "set" and active:
            self.set(self.rng.choice(active))
        elif name == "reject" and (guessed := [each for each in active if self.kind(each) == "pseudo"]):
            self.reject(self.rng.choice(guessed))
        elif name == "round" and active:
            reviewed = self.rng.sample(active, min(len(active), self.rng.choice((0, 0, 1, 2))))
            self.round(reviewed, refused=self.rng.random() < 0.3)
        elif name.startswith("revert") and self.rounds:
            self.revert(self.rng.choice(self.rounds), with_reviews=name.endswith("reviews"))

    def add(self, file: dict[str, tuple[str, str]]) -> None:
        if not self.model.may_import(file):
            return
        self.count += 1
        place = {"gold": "p", "dev": "x"}
        rows = tuple(
            QuestionRow(key, key, key, role, role, key, place[role] if answer else None)
            for key, (role, answer) in file.items()
        )
        labels = tuple(NewLabel(key, (span(answer, place[role]),)) for key, (role, answer) in file.items() if answer)
        held = "x" if HELD_OUT in file else "p"
        document, passage = DocumentRow(held, held), PassageRow(held, held, 0, TEXTS[held])
        new = NewImport("f", f"sha{self.count}", "split", "squad", {}, {}, (document,), (passage,), rows, labels, ())
        with self.database.write() as session:
            import_id = store.add_import(session, new).import_id
        self.model.imports[import_id] = file
        for question, (role, _) in file.items():
            if role != "pool":  # a gold label replaces a pseudo-label for good, and lifts its rejection
                self.model.pseudo.pop(question, None)
                if self.model.roles.get(question) == "pool":
                    self.model.barred.discard(question)
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
        self.model.pseudo.pop(question, None)
        self.model.barred.discard(question)
        self.taken[-1] += f" {question} {answer}"

    def round(self, questions: Sequence[str], *, refused: bool = False) -> None:
        """A round with reviews of these questions, and pseudo-labels of some, at random in the held-out passage."""
        answers = {question: self.rng.choice(WORDS) for question in questions}
        labels = [NewLabel(question, (span(answer),), reviewer="kim") for question, answer in answers.items()]
        known = [each for each in (*QUESTIONS, HELD_OUT) if each in self.model.roles]
        places = ("p", "p", "p", "x") if self.model.active(HELD_OUT) else ("p",)
        guessed = {each: (self.rng.choice(WORDS), self.rng.choice(places)) for each in known if self.rng.random() < 0.7}
        guesses = [NewLabel(each, (span(*answer),), train_weight=0.5, model_id=1) for each, answer in guessed.items()]
        with self.database.write() as session:
            row = store.open_round(session, "loop", config={"seed": 0}, seed=0, code_version="t", reviewer="none")
            store.record_labels(session, row.number, human=labels, pseudo=guesses, reason=f"round {row.number}")
            model = store.add_model(
                session, row.number, hash=f"m{row.number}", training_sha256="t", path=f"models/round-{row.number}",
                start="builtin", config={}, examples=1, seconds=1.0, loss=None,
            )  # fmt: skip
            store.advance(session, row.number, "open", "trained", student_id=model)
            if refused:
                store.withdraw_round(session, row.number, reason="refused")
            store.advance(session, row.number, "trained", "closed", promoted=not refused)
        self.rounds.append(row.number)
        for question, answer in answers.items():
            self.model.human.setdefault(question, []).append((row.number, answer))
        self.model.before[row.number] = self.model.pseudo
        self.model.pseudo = self.model.eligible(self.model.pseudo if refused else guessed)
        self.taken[-1] += f" {row.number} {answers}, guesses {guessed}{', refused' * refused}"

    def kind(self, question: str) -> str | None:
        """The kind of the question's label, as the model says."""
        label = self.model.label(question)
        return label[0] if label else None

    def reject(self, question: str) -> None:
        """Withdraw a pseudo-label by hand: no model labels the question again, until a person does."""
        with self.database.write() as session:
            store.withdraw_label(session, question, reviewer="kim", reason="wrong")
        del self.model.pseudo[question]
        self.model.barred.add(question)
        self.taken[-1] += f" {question}"

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
        self.model.pseudo = self.model.eligible(self.model.before[number])
        self.taken[-1] += f" {number}"

    def check(self) -> None:
        with self.database.read() as session:
            rows = {row.id: row for row in queries.questions(session, active=False)}
            live = {label.question_id: label for label in queries.live_labels(session)}
        for question in (*QUESTIONS, HELD_OUT):
            story = "\n".join(self.taken)
            assert (question in rows and rows[question].active) == self.model.active(question), f"{question}\n{story}"
            if not self.model.active(question):
                continue
            found = live.get(question)
            told = (found.kind, found.answers[0].text) if found else None
            assert told == self.model.label(question), f"{question}: {told}, not {self.model.label(question)}\n{story}"
            assert rows[question].role == self.model.roles[question], f"{question}: {rows[question].role}\n{story}"
            if found:
                self.check_rules(found, story)

    def check_rules(self, label: LabelRow, story: str) -> None:
        """Spans are in their passages, and what is held out neither trains nor is guessed."""
        (answer,) = label.answers
        assert TEXTS[answer.passage_id][answer.start : answer.end] == answer.text, f"{label}\n{story}"
        assert label.question_role == self.model.roles[label.question_id], f"{label}\n{story}"
        held_out = label.question_role == "dev" or self.model.holds_out(answer.passage_id)
        assert not (held_out and (label.kind == "pseudo" or label.train_weight)), f"{label}\n{story}"


class Walks:
    """Walks one after another on one database, which is as new before each: statements are compiled once."""

    def __init__(self, folder: Path) -> None:
        self._template = sqlite3.connect(make_template(folder / "template.db"))
        self._path = folder / "walk.db"
        self._reset()
        self._database = Database(self._path)
        event.listen(self._database.engine, "connect", _in_memory_speed)

    def walk(self, seed: int) -> Walk:
        """A new walk; the walks before it are over."""
        self._reset()
        return Walk(self._database, random.Random(seed))

    def _reset(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection:
            _in_memory_speed(connection, None)
            self._template.backup(connection)

    def close(self) -> None:
        self._database.close()
        self._template.close()


def _in_memory_speed(connection: sqlite3.Connection, record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


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
