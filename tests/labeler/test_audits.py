"""Audits in every way of reviewing: terminal, Label Studio, files; PostgreSQL; what is said of uncertified labels."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import certificates, queries, store
from db.rows import NewLabel, NewReview, NewTask, SpanRow
from labeler.certificates.standing import standings
from labeler.certify import machine
from labeler.certify.request import Request
from labeler.core.runtime import Runtime
from labeler.labels.export import export_labels
from labeler.review.studio.export_parser import parse_reviewer_names
from labeler.review.studio.files import import_reviews, write_tasks
from labeler.review.terminal.screen import Screen
from labeler.review.terminal.session import ReviewSession
from labeler.rounds.steps import human_review
from mrc.calibration.intervals import wilson_interval
from tests.certificates import make_predicted
from tests.commands import ok, run
from tests.labeler.fake_studio import FakeStudio
from tests.postgres import Server
from tests.worlds import at

ASKED = Request(target=0.7, audits=60, stored=True, seed="a")
TRACES = ("audit", "judgement", "confidence", "score", "certificate", "candidate", "prediction")  # of a suggestion


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """232 questions with predictions. Not to be changed."""
    return make_predicted(tmp_path_factory.mktemp("audits") / "predicted", passages=30)


@pytest.fixture
def runtime(predicted: Path, tmp_path: Path) -> Iterator[Runtime]:
    with at(shutil.copytree(predicted, tmp_path / "ws")) as opened:
        yield opened


def price(question: str) -> str:
    """The answer to a question of `tests.certificates.squad`."""
    lot, place = map(int, re.findall(r"lot (\d+)\.(\d+)", question)[-1])
    return f"{100 * lot + place} florins"


class Person:
    """A reviewer at a terminal who types every answer, and says "different" in every second step."""

    def __init__(self) -> None:
        self.screens: list[str] = []

    def say(self, shown: str) -> None:
        self.screens.append(shown)

    def key(self) -> str:
        screen = next(shown for shown in reversed(self.screens) if "What does lot" in shown or "no task" in shown)
        return "q" if "no task" in screen else "d" if "Second step" in screen else "a"

    def line(self, prompt: str) -> str:
        return price(next(shown for shown in reversed(self.screens) if "What does lot" in shown))


def test_in_the_terminal_a_judgement_follows_the_blind_answer_that_differs(runtime: Runtime) -> None:
    machine.run(runtime, ASKED, reviewer="people")
    person = Person()
    summary = ReviewSession(runtime, "kim", person, Screen(80, ansi=False)).run()
    assert (summary.left, summary.next) == (0, "labeler certify")
    asked = [shown for shown in person.screens if "What does lot" in shown]
    blind = [shown for shown in asked if "Second step" not in shown]
    judged = [shown for shown in asked if "Second step" in shown]
    assert len(blind) == 60
    assert judged
    assert summary.reviews == 60 + len(judged)
    assert not any("%)" in shown for shown in blind)  # no candidate and no score
    for shown in judged:
        assert f"The blind answer was: {price(shown)}." in shown
        assert shown.count("%)") == 1
        assert price(asked[asked.index(shown) - 1]) == price(shown)  # it follows its own question
    found = machine.run(runtime, Request())
    assert (found.certificate or {})["outcomes"] == {"different": len(judged), "equal": 60 - len(judged)}


class Recorded(FakeStudio):
    """A server that keeps what it was sent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent: list[Mapping[str, Any]] = []

    def import_tasks(self, remote_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        self.sent += tasks
        return super().import_tasks(remote_id, tasks)


def test_in_label_studio_the_blind_page_has_no_trace_of_the_suggestion(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Recorded()
    monkeypatch.setattr(human_review, "client", lambda runtime: server)
    assert machine.run(runtime, ASKED, reviewer="studio").waiting_for is not None
    assert len(server.sent) == 60
    said = json.dumps(server.sent).lower()
    assert [trace for trace in TRACES if trace in said] == []
    for where in server.open():
        server.answer(where, "answerable", price(where[1].data["question"]))
    assert machine.run(runtime, Request()).waiting_for is not None
    judged = server.open()
    assert len(server.sent) == 60 + len(judged) > 60
    for task in server.sent[60:]:
        (prediction,) = task["predictions"]
        regions = [each for each in prediction["result"] if each["type"] == "labels"]
        assert [region["value"]["text"] for region in regions] == ["Lot"]
    for where in judged:
        server.answer(where, "answerable", "Lot")
    document = machine.run(runtime, Request()).certificate or {}
    assert document["outcomes"] == {"equal": 60 - len(judged), "equivalent": len(judged)}
    assert all(test["correct"] == test["audited"] for test in document["tests"])


def test_by_file_blind_tasks_come_without_suggestions_and_skips_count_as_errors(
    runtime: Runtime, tmp_path: Path
) -> None:
    machine.run(runtime, ASKED, reviewer="people")
    assert write_tasks(runtime, tmp_path / "tasks").files == {"blind.json": 60}
    tasks = json.loads((tmp_path / "tasks" / "blind.json").read_text(encoding="utf-8"))
    assert not any("predictions" in task for task in tasks)
    moment = "2026-01-02T03:04:05.000000Z"
    for number, task in enumerate(tasks):
        done = {"id": number + 1, "result": [], "was_cancelled": True, "created_at": moment, "updated_at": moment}
        task |= {"id": number + 1, "annotations": [done | {"completed_by": {"email": "kim@example.org"}}]}
    (tmp_path / "done.json").write_text(json.dumps(tasks), encoding="utf-8")
    assert import_reviews(runtime, [str(tmp_path / "done.json")], parse_reviewer_names(())).skipped == 60
    found = machine.run(runtime, Request())
    assert ((found.certificate or {})["outcomes"], found.standing.state) == ({"skipped": 60}, "empty")


def test_reviewers_may_change_while_an_audit_is_open(runtime: Runtime) -> None:
    machine.run(runtime, ASKED, reviewer="people")
    found = machine.run(runtime, Request(), reviewer="simulated")
    assert found.certificate is not None
    assert found.certificate["reviewer"] == "simulated"


def test_a_certificate_on_postgresql_is_verified_and_voided_by_one_changed_label(
    tmp_path: Path, postgres: Server
) -> None:
    name = f"certify_{secrets.token_hex(6)}"
    postgres.make(name)
    try:
        folder = make_predicted(tmp_path / "ws", passages=30, workspace__database=postgres.url(name))
        given = ("certify", "--target", "0.7", "--audits", "150", "--stored", "--seed", "b", "-w", folder)
        made = ok(*given, "--reviewer", "simulated", "-o", tmp_path / "c.json")
        assert made["valid"]
        assert ok("certify", "--verify", tmp_path / "c.json", "-w", folder)["valid"]
        with at(folder) as runtime, runtime.database.write() as session:
            changed = "UPDATE certificate_items SET text = 'xyz', start = 0, \"end\" = 3 WHERE rank = 0"
            session.execute(text(changed))
        refused = run("certify", "--verify", tmp_path / "c.json", "-w", folder, "--json")
        assert (refused.code, refused.json["valid"]) == (1, False)
        assert "a row of the snapshot" in refused.json["why"]
    finally:
        postgres.drop(name)


# --- labels that nobody vouches for ----------------------------------------------------------------------------------


def test_uncertified_labels_leave_with_their_estimated_precision_and_its_interval(
    runtime: Runtime, tmp_path: Path
) -> None:
    """Round 1 trains on four answers; of five random questions as confident, reviewers agree with three."""
    with runtime.database.write() as session:
        ranked = sorted(queries.predictions(session, 1), key=lambda row: -(row.confidence or 0))
        ranked = [row for row in ranked if row.question_role == "pool"]
        taught, reviewed, below = ranked[5:9], ranked[:5], ranked[-1]
        tasks = [NewTask(row.question_id, "random", True, at, (row.hits[0][0],)) for at, row in enumerate(reviewed)]
        tasks.append(NewTask(below.question_id, "random", True, 9, (below.hits[0][0],)))
        store.add_tasks(session, 1, tasks)
        given = {task.question_id: task.id for task in queries.tasks(session, round_number=1)}
        for place, row in enumerate((*reviewed, below)):
            best = row.answers[0]
            span = SpanRow(best.text, best.passage_id, best.start, best.end)
            new = (
                NewReview(given[row.question_id], "ann", "answerable", span)
                if place < 3
                else NewReview(given[row.question_id], "ann", "no_answer")
            )
            store.record_review(session, new)
        made = [
            NewLabel(
                row.question_id,
                (SpanRow(best.text, best.passage_id, best.start, best.end),),
                train_weight=0.5,
                model_id=row.model_id,
                confidence=row.confidence,
            )
            for row in taught
            for best in row.answers
        ]
        store.record_labels(session, 1, human=[], pseudo=made, reason="x")
    report = export_labels(
        runtime.database, tmp_path / "o.jsonl", format="jsonl", kinds=["pseudo"], uncertified=True, metric="squad"
    )
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    low, high = wilson_interval(3, 5)
    assert report.uncertified is not None
    assert (report.uncertified.labels, report.uncertified.reviewed, report.uncertified.precision) == (4, 5, 3 / 5)
    assert {row["vouched_by"] for row in rows} == {"nobody"}
    assert {(row["precision"], row["precision_low"], row["precision_high"]) for row in rows} == {(0.6, low, high)}
    said = run(
        *("export", "--format", "csv", "-o", tmp_path / "o.csv", "--kinds", "pseudo", "--uncertified"),
        *("-w", runtime.workspace.folder),
    )
    assert "nobody vouches for 4 of the pseudo-labels written" in said.err
    assert "estimated to be 60.0 % (95% interval" in said.err


def test_status_and_report_say_what_is_certified(runtime: Runtime, tmp_path: Path) -> None:
    folder = runtime.workspace.folder
    assert "certified  nothing" in run("status", "-w", folder).out
    assert machine.run(runtime, Request(target=0.6, audits=100, stored=True), reviewer="simulated").certificate
    with runtime.database.read() as session:
        (one,) = standings(session)
        assert certificates.certificates(session)[0].uid == one.certificate
    assert one.state == "in_force"
    assert f"{one.released} pseudo-labels by {one.certificate[:12]}" in run("status", "-w", folder).out
    assert ok("status", "-w", folder)["certificates"][0]["state"] == "in_force"
    assert run("report", "-o", tmp_path / "r.html", "-w", folder).code == 0
    page: Any = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"Certificate {one.certificate[:12]}" in page
    assert "machine-made answers that this certificate covers are correct" in page
    assert "no person vouches for this certificate" in page
