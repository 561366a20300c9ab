"""kill -9 at a random step of every command that writes: run again, it ends as if nothing had happened.

    python -m tests.safety.kills [--kills 10] [--seed 0] [--quick]

A step is a change of a file (made, renamed, removed, flushed), a statement that writes to the database, or a commit. An
undisturbed run counts the steps of a command. Each trial runs the command on a copy of the same workspace, in a process
that kills itself before a random step, or after the last; runs it again; and compares the database and the outputs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from labeler.cli import main as labeler
from tests.state import state
from tests.worlds import at, make_workspace

FILES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.symlink")  # audit events
WRITING = os.O_WRONLY | os.O_RDWR
DIVISION = "gold=40,dev=30,test=10,pool=40"
FIRST_ID = "SELECT id FROM questions WHERE role = 'pool' ORDER BY id LIMIT 1"


@dataclass(frozen=True, slots=True)
class Command:
    """A command that writes. In its arguments WS is the workspace, IN the folder of inputs, OUT that of outputs."""

    name: str
    arguments: tuple[str, ...]
    base: str = "baseline"  # the workspace that it starts from
    quick: bool = True  # whether no model is loaded


COMMANDS = (
    Command("import gold", ("import", "IN/more.json", "--as", "gold")),
    Command("import a split", ("import", "IN/more.json", "--split", "gold=6,pool=rest", "--seed", "3")),
    Command("import passages", ("import", "IN/passages.jsonl", "--as", "corpus")),
    Command("import predictions", ("import", "IN/predictions.jsonl", "--as", "predictions", "--labeller", "roberta")),
    Command("import --undo", ("import", "--undo", "1")),
    Command(
        "label set", ("label", "set", "QUESTION", "--text", "the", "--passage", "PASSAGE", "--reviewer-name", "kim")
    ),
    Command("label withdraw", ("label", "withdraw", "LABELLED", "--reason", "wrong", "--reviewer-name", "kim")),
    Command("index", ("index", "--method", "okapi")),
    Command("index --tune", ("index", "--tune")),
    Command("export csv", ("export", "--format", "csv", "-o", "OUT/labels.csv")),
    Command("export hf", ("export", "--format", "hf", "-o", "OUT/labels")),
    Command("report", ("report", "-o", "OUT/report.html")),
    Command("db backup", ("db", "backup", "OUT/copy.db")),
    Command("db restore", ("db", "restore", "IN/copy.db")),
    Command("db upgrade", ("db", "upgrade")),
    Command("prune", ("prune",), base="two rounds"),
    Command("suspects --review", ("suspects", "--review", "--min-confidence", "0"), base="two rounds"),
    Command("rounds revert", ("rounds", "revert", "1", "--yes"), base="two rounds"),
    Command("rounds revert --with-reviews", ("rounds", "revert", "2", "--with-reviews", "--yes"), base="two rounds"),
    Command(
        "certify",
        ("certify", "--stored", "--target", "0.2", "--seed", "5", "--looks", "--reviewer", "simulated"),
        base="two rounds",
    ),
    Command("export label-studio", ("export", "--format", "label-studio", "-o", "OUT/tasks"), base="in review"),
    Command("import reviews", ("import", "IN/reviews.json", "--as", "reviews"), base="in review"),
    Command("predict", ("predict", "--threads", "1"), quick=False),
    Command("evaluate", ("evaluate", "--split", "dev", "--threads", "1"), quick=False),
    Command("train", ("train", "--threads", "1"), quick=False),
    Command("round", ("round", "--reviewer", "simulated", "--threads", "1"), quick=False),
    Command(
        "round --budget-minutes",
        ("round", "--budget-minutes", "0.0001", "--reviewer", "simulated", "--threads", "1"),
        quick=False,
    ),
    Command("round --rounds 2", ("round", "--rounds", "2", "--reviewer", "simulated", "--threads", "1"), quick=False),
    Command(
        "round --until-converged",
        ("round", "--until-converged", "--max-reviews", "6", "--reviewer", "simulated", "--threads", "1"),
        quick=False,
    ),
    Command("round with people", ("round", "--accept-partial", "--threads", "1"), base="in review", quick=False),
)


class Steps:
    """Counts the steps of this process, and kills it before one of them."""

    def __init__(self, fatal: int | None) -> None:
        self.count = 0
        self._fatal = fatal
        sys.addaudithook(self._file)
        event.listen(Engine, "before_cursor_execute", self._statement)
        event.listen(Engine, "commit", self._step)
        fsync = os.fsync
        os.fsync = lambda descriptor: (self._step(), fsync(descriptor))[1]

    def _step(self, *_: object) -> None:
        if self.count == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def _file(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in FILES or (name == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
            self._step()

    def _statement(self, connection: object, cursor: object, statement: str, *_: object) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "BEGIN")):
            self._step()


def run(arguments: tuple[str, ...], *, fatal: int | None = None) -> tuple[int, int]:
    """Run a command in a child of this process, which has loaded everything; returns its exit status and its steps."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.close(reader)
            silent = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silent, stream)
            sys.argv = ["labeler", *arguments]
            steps = Steps(fatal)
            status = _ended(labeler)
            if steps.count == fatal:  # after the last step: everything is done, nothing was said
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(writer, str(steps.count).encode())
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        counted = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), int(counted or 0)


def _ended(main: Callable[[], object]) -> int:
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@dataclass(frozen=True, slots=True)
class Place:
    """A copy of a base workspace with a folder for outputs."""

    folder: Path
    inputs: Path

    def arguments(self, command: Command) -> tuple[str, ...]:
        """The arguments of the command, here."""
        ws, out = self.folder / "ws", self.folder / "out"
        with closing(sqlite3.connect(ws / "labeler.db")) as connection:
            (question,) = connection.execute(FIRST_ID).fetchone()
            (labelled,) = connection.execute(
                "SELECT min(question_id) FROM labels WHERE withdrawn_at IS NULL"
            ).fetchone()
            (passage,) = connection.execute("SELECT min(id) FROM passages WHERE text LIKE '% the %'").fetchone()
            start = connection.execute("SELECT instr(text, ' the ') FROM passages WHERE id = ?", [passage]).fetchone()[
                0
            ]
        words = {"QUESTION": question, "LABELLED": labelled, "PASSAGE": passage}
        given = tuple(
            words.get(each, each.replace("IN/", f"{self.inputs}/").replace("OUT/", f"{out}/"))
            for each in command.arguments
        )
        if command.name == "label set":  # the word may be there several times
            at_word = given.index("--text")
            given = (*given[:at_word], "--start", str(start), "--end", str(start + 3), *given[at_word + 2 :])
        return (*given, "-w", str(ws))

    def result(self) -> dict[str, Any]:
        """What must be equal: the database, the index, the number of models, and the outputs."""
        ws, out = self.folder / "ws", self.folder / "out"
        with at(ws) as runtime, runtime.database.read() as session:
            found = state(session)
            tables = {name: _rows(session, name) for name in ("imports", "passages", "questions", "hidden_answers")}
        found |= {"tables": tables, "integrity": _integrity(ws / "labeler.db")}
        found["folders"] = {name: _entries(ws / name) for name in ("models", "index")}
        found["outputs"] = {str(path.relative_to(out)): _digest(path) for path in _written(out)}
        return found


def _written(folder: Path) -> list[Path]:
    """The files in a folder, without those that a killed process left half written, under names of their own."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if not any(part.endswith((".part", ".partial")) for part in path.parts)]


def _rows(session: Any, table: str) -> int:
    return int(session.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar())


def _integrity(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return [*connection.execute("PRAGMA integrity_check"), *connection.execute("PRAGMA foreign_key_check")]


def _entries(folder: Path) -> dict[str, int]:
    """How many folders of each kind: their names end in random digits."""
    return (
        dict(Counter(path.name.partition("-")[0] for path in folder.iterdir() if path.name[0] != "."))
        if folder.is_dir()
        else {}
    )


def _digest(path: Path) -> str:
    """The hash of an output; of a database that of its rows, and of what names a moment only that it is there."""
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as connection:
            return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()
    if path.suffix == ".html" or path.name in ("state.json", "dataset_info.json"):
        return "written"
    return hashlib.sha256(path.read_bytes()).hexdigest()


class World:
    """The workspaces that commands start from, and the results of undisturbed runs."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder = folder
        self.inputs = folder / "in"
        self._known: dict[str, tuple[dict[str, Any], int]] = {}
        baseline = make_workspace(folder / "baseline", division=DIVISION, train__max_steps=8, review__review_budget=8)
        self._must("train", "--threads", "1", "-w", str(baseline))
        two = shutil.copytree(baseline, folder / "two rounds")
        self._must("round", "--rounds", "2", "--reviewer", "simulated", "--threads", "1", "-w", str(two))
        review = shutil.copytree(baseline, folder / "in review")
        self._must("round", "--reviewer", "people", "--threads", "1", "-w", str(review))
        self._make_inputs(baseline, review)
        self.commands = [each for each in COMMANDS if each.quick or not quick]

    def _make_inputs(self, baseline: Path, review: Path) -> None:
        self.inputs.mkdir()
        data = json.loads(baseline.with_suffix(".json").read_text(encoding="utf-8"))["data"]
        answers = (
            {"id": qa["id"], "answer": qa["answers"][0]["text"], "score": 0.5}
            for article in data[:6]
            for paragraph in article["paragraphs"]
            for qa in paragraph["qas"]
        )
        (self.inputs / "predictions.jsonl").write_text("\n".join(map(json.dumps, answers)), encoding="utf-8")
        for number, article in enumerate(data[:6]):
            for paragraph in article["paragraphs"]:
                paragraph["context"] += f" It is part {number} of more."
                for qa in paragraph["qas"]:
                    qa["id"], qa["question"] = f"more-{qa['id']}", f"In part {number}: {qa['question']}"
        (self.inputs / "more.json").write_text(json.dumps({"version": "1.1", "data": data[:6]}), encoding="utf-8")
        passages = (json.dumps({"text": f"Passage {number} tells of the harbour."}) for number in range(20))
        (self.inputs / "passages.jsonl").write_text("\n".join(passages), encoding="utf-8")
        self._must("db", "backup", str(self.inputs / "copy.db"), "-w", str(self.folder / "two rounds"))
        self._must("export", "--format", "label-studio", "-o", str(self.inputs / "tasks"), "-w", str(review))
        (self.inputs / "reviews.json").write_text(json.dumps(list(_answered(self.inputs / "tasks"))), encoding="utf-8")

    def _must(self, *arguments: str) -> None:
        status, _ = run(arguments)
        if status:
            raise RuntimeError(f"{' '.join(arguments)} ended with {status}")

    def place(self, command: Command) -> Place:
        """A new copy of the command's base."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copytree(self.folder / command.base, folder / "ws")
        (folder / "out").mkdir()
        os.environ["XDG_STATE_HOME"] = str(folder / "state")  # notes of outputs
        return Place(folder, self.inputs)

    def undisturbed(self, command: Command) -> tuple[dict[str, Any], int]:
        """The result of the command, and its steps."""
        if command.name not in self._known:
            place = self.place(command)
            status, steps = run(place.arguments(command))
            if status or not steps:
                raise RuntimeError(f"{command.name} ended with {status} after {steps} steps")
            self._known[command.name] = (place.result(), steps)
            shutil.rmtree(place.folder)
        return self._known[command.name]


def _answered(tasks: Path) -> Iterator[dict[str, Any]]:
    """Tasks as Label Studio exports them, each skipped by a reviewer."""
    for number, task in enumerate(
        task for file in sorted(tasks.glob("*.json")) for task in json.loads(file.read_text(encoding="utf-8"))
    ):
        moment = "2026-01-02T03:04:05.000000Z"
        done = {"id": number + 1, "result": [], "was_cancelled": True, "created_at": moment, "updated_at": moment}
        yield {"id": number + 1, **task, "annotations": [done | {"completed_by": {"email": "kim@example.org"}}]}


def trial(world: World, command: Command, rng: random.Random) -> tuple[str, bool]:
    """Kill the command at a random step and run it again; returns where, and whether it ended as if undisturbed."""
    expected, steps = world.undisturbed(command)
    place, fatal = world.place(command), rng.randint(0, steps)
    arguments = place.arguments(command)
    status, _ = run(arguments, fatal=fatal)
    if status != -signal.SIGKILL:
        return f"was not killed at step {fatal} of {steps} (status {status})", False
    run(arguments)  # it may say that all is done already
    found = place.result()
    differing = [name for name in expected if found[name] != expected[name]]
    shutil.rmtree(place.folder)
    return f"step {fatal} of {steps}" + (f": {', '.join(differing)} differ" if differing else ""), not differing


def kill(kills: int, *, seed: int, quick: bool, say: Callable[[str], object]) -> int:
    """Run so many trials, over all commands in turn; returns how many ended as if undisturbed."""
    rng, equal = random.Random(seed), 0
    with tempfile.TemporaryDirectory(prefix="labeler-kills-") as folder:
        world = World(Path(folder), quick=quick)
        for number in range(kills):
            command = world.commands[number % len(world.commands)]
            where, same = trial(world, command, rng)
            equal += same
            say(f"{number}: {command.name}, {where}: {'equal' if same else 'DIFFERENT'}")
    return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="only commands that load no model")
    given = parser.parse_args()

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    equal = kill(given.kills, seed=given.seed, quick=given.quick, say=say)
    say(f"{equal} of {given.kills} kills end as an undisturbed run")
    sys.exit(equal != given.kills)


if __name__ == "__main__":
    main()
