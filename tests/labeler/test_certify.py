"""Certificates: audits on made-up predictions, and every fault that must end in a correct statement."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from db import certificates, hidden_answers, queries, store
from db.backup import backup, restore
from db.rows import NewReview, NewTask, TaskRow
from labeler.certificates.document import sha256_of
from labeler.certificates.standing import in_force, later_reviews, released_labels, standings
from labeler.certificates.verify import verify_file
from labeler.certify import machine
from labeler.certify.change import restore as restore_certificate
from labeler.certify.change import withdraw
from labeler.certify.forecast import forecast
from labeler.certify.machine import Certified
from labeler.certify.request import Request
from labeler.core.errors import CertificateRefused, ConfigError, NotReady
from labeler.core.runtime import Runtime, with_settings
from labeler.labels.browse import find_labels
from labeler.labels.export import export_labels
from labeler.rounds import history
from labeler.rounds import machine as rounds
from mrc.calibration.certification import draw, required
from tests.certificates import make_predicted
from tests.commands import ok, run
from tests.scripted import make_releasing, scripted
from tests.worlds import at

ASKED = Request(target=0.7, audits=100, stored=True, seed="a")


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """472 questions with predictions. Not to be changed."""
    return make_predicted(tmp_path_factory.mktemp("certify") / "predicted")


@pytest.fixture(scope="module")
def made(predicted: Path) -> Path:
    """The same with a certificate. Not to be changed."""
    folder = shutil.copytree(predicted, predicted.with_name("made"))
    with at(folder) as runtime:
        assert machine.run(runtime, ASKED, reviewer="simulated").standing.state == "in_force"
    return folder


@pytest.fixture
def runtime(predicted: Path, tmp_path: Path) -> Iterator[Runtime]:
    with at(shutil.copytree(predicted, tmp_path / "ws")) as opened:
        yield opened


@pytest.fixture
def certified(made: Path, tmp_path: Path) -> Iterator[Runtime]:
    with at(shutil.copytree(made, tmp_path / "ws")) as opened:
        yield opened


def document_of(runtime: Runtime) -> dict[str, Any]:
    with runtime.database.read() as session:
        return dict(certificates.certificates(session)[-1].document or {})


def state_of(runtime: Runtime) -> str:
    with runtime.database.read() as session:
        return standings(session)[-1].state


def exported(runtime: Runtime, path: Path, **options: Any) -> list[dict[str, Any]]:
    export_labels(runtime.database, path, format="jsonl", **options)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def execute(runtime: Runtime, statement: str, **values: Any) -> None:
    with runtime.database.write() as session:
        session.execute(text(statement), values)


# --- a certificate ---------------------------------------------------------------------------------------------------


def test_a_certified_set_has_the_target_precision_and_its_unaudited_part_is_released(certified: Runtime) -> None:
    document = document_of(certified)
    result = document["certified"]
    with certified.database.read() as session:
        row = certificates.certificates(session)[-1]
        items = certificates.items(session, row.id)[: result["size"]]
        known = hidden_answers.answers(session, [item.question_id for item in items])
        labels = released_labels(session, row)
    right = sum(item.answer.text == known[item.question_id].answers[0].text for item in items)
    assert right >= required(result["size"], target=0.7)
    assert result["size"] > 100
    assert {label.question_id for label in labels} == {item.question_id for item in items if item.drawn is None}
    assert len(labels) == document["released"] == result["unseen"]
    assert {(label.kind, label.released, label.certificate_id) for label in labels} == {("pseudo", True, row.id)}


def test_audited_questions_become_human_labels_when_the_certificate_is_made(certified: Runtime) -> None:
    document = document_of(certified)
    with certified.database.read() as session:
        human = {label.question_id for label in queries.live_labels(session, kinds=["human"])}
        assert queries.unrecorded_reviews(session) == []
    assert human == set(document["items"])
    assert len(human) == 100


def test_every_exported_pseudo_label_names_its_certificate(certified: Runtime, tmp_path: Path) -> None:
    document = document_of(certified)
    rows = exported(certified, tmp_path / "out.jsonl")
    pseudo = [row for row in rows if row["kind"] == "pseudo"]
    assert len(pseudo) == document["released"]
    assert {(row["vouched_by"], row["certificate"]) for row in pseudo} == {("certificate", document["id"])}
    assert {row["precision_low"] for row in pseudo} == {document["certified"]["unseen_precision_at_least"]}
    assert {row["vouched_by"] for row in rows if row["kind"] != "pseudo"} == {"people"}


def test_the_certificate_explains_itself(certified: Runtime) -> None:
    document = document_of(certified)
    size = document["certified"]["size"]
    assert (
        f"At least 70% of the {size:,} machine-made answers that this certificate covers are correct"
        in (document["statement"])
    )
    assert document["simulated"]
    assert document["labeller"] == [{"sha256": "a" * 64, "name": "student", "path": "models/gone"}]
    assert document["index"] == ["c" * 64]
    assert document["delta_sum"] == document["delta"] == 0.1
    assert sum(document["outcomes"].values()) == document["audits"] == 100


def test_a_later_label_leaves_it_valid_and_marks_it_not_current(certified: Runtime, tmp_path: Path) -> None:
    with certified.database.write() as session:
        row, before = in_force(session) or pytest.fail("no certificate is in force")
        label = released_labels(session, row)[0]
        store.set_label(session, label.question_id, label.answers, reviewer="kim")
        after = standings(session)[-1]
        left = released_labels(session, row)
    assert (before.current, after.current, after.state) == (True, False, "in_force")
    assert "1 of" in after.why
    assert len(left) == before.released - 1
    assert label.question_id not in {row["id"] for row in exported(certified, tmp_path / "o", kinds=["pseudo"])}


def test_a_label_withdrawn_by_hand_is_not_exported(certified: Runtime, tmp_path: Path) -> None:
    with certified.database.write() as session:
        row, _ = in_force(session) or pytest.fail("no certificate is in force")
        label = released_labels(session, row)[0]
        store.withdraw_label(session, label.question_id, reviewer="kim", reason="wrong")
    assert label.question_id not in {row["id"] for row in exported(certified, tmp_path / "o", kinds=["pseudo"])}


# --- verification ----------------------------------------------------------------------------------------------------


def written(runtime: Runtime, path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(document_of(runtime) | changes), encoding="utf-8")
    return path


def verified(runtime: Runtime, path: Path) -> tuple[bool, str]:
    with runtime.database.read() as session:
        found = verify_file(session, path)
    return found.valid, found.why


def test_a_certificate_is_verified_from_the_database_alone(certified: Runtime, tmp_path: Path) -> None:
    assert verified(certified, written(certified, tmp_path / "c.json")) == (
        True,
        "everything it says follows from the stored rows",
    )


def test_a_certificate_holds_after_backup_and_restore_on_another_path(certified: Runtime, tmp_path: Path) -> None:
    file = written(certified, tmp_path / "c.json")
    other = make_predicted(tmp_path / "other", passages=5)
    backup(certified.database, tmp_path / "copy.db")
    with at(other) as runtime:
        restore(runtime.database, tmp_path / "copy.db")
    with at(other) as runtime:
        assert verified(runtime, file)[0]
        assert state_of(runtime) == "in_force"


def test_a_certificate_of_another_workspace_is_not_valid(certified: Runtime, predicted: Path, tmp_path: Path) -> None:
    file = written(certified, tmp_path / "c.json")
    with at(predicted) as other:
        valid, why = verified(other, file)
    assert not valid
    assert "of another one" in why


@pytest.mark.parametrize("change", [{"target": 0.95}, {"released": 10_000}, {"statement": "All are right."}])
def test_a_certificate_edited_by_hand_is_not_valid(certified: Runtime, tmp_path: Path, change: dict[str, Any]) -> None:
    edited = written(certified, tmp_path / "c.json", **change)
    assert verified(certified, edited) == (False, "c.json was edited: its content does not match its own hash")
    document = json.loads(edited.read_text(encoding="utf-8"))
    edited.write_text(json.dumps(document | {"sha256": sha256_of(document)}), encoding="utf-8")
    assert verified(certified, edited) == (
        False,
        "c.json was edited: it differs from the certificate that was made here",
    )


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": "other"}', '{"format": "labeler-certificate/1"}'])
def test_a_file_that_is_no_certificate_is_refused(certified: Runtime, tmp_path: Path, content: str) -> None:
    (tmp_path / "c.json").write_text(content, encoding="utf-8")
    with pytest.raises(CertificateRefused, match=r"c\.json"):
        verified(certified, tmp_path / "c.json")


FIRST_UNSEEN = "(SELECT min(rank) FROM certificate_items WHERE drawn IS NULL)"
CHANGES = {
    "an answer of the snapshot": f"UPDATE certificate_items SET text = 'xyz', start = 0, \"end\" = 3 "
    f"WHERE rank = {FIRST_UNSEEN}",
    "a confidence of the snapshot": f"UPDATE certificate_items SET confidence = 0.1 WHERE rank = {FIRST_UNSEEN}",
    "a released label": "UPDATE label_answers SET text = 'xyz', start = 0, \"end\" = 3 WHERE label_id = "
    "(SELECT min(id) FROM labels WHERE certificate_id IS NOT NULL)",
    "a row of the snapshot that is gone": "DELETE FROM certificate_items WHERE rank = "
    "(SELECT max(rank) FROM certificate_items)",
    "an outcome": "UPDATE certificate_items SET outcome = 'equal' WHERE rank = "
    "(SELECT min(rank) FROM certificate_items WHERE outcome = 'different')",
    "a review": "UPDATE reviews SET text = 'xyz', start = 0, \"end\" = 3 WHERE id = "
    "(SELECT review_id FROM certificate_items WHERE outcome = 'equal' ORDER BY rank LIMIT 1)",
    "the draw": "UPDATE certificate_items SET drawn = NULL, outcome = NULL WHERE rank = "
    "(SELECT min(rank) FROM certificate_items WHERE outcome = 'different')",
    "the stored document": "UPDATE certificates SET document = replace(document, '0.7', '0.8')",
}


@pytest.mark.parametrize("changed", CHANGES)
def test_one_changed_row_voids_it_and_nothing_of_it_leaves(certified: Runtime, tmp_path: Path, changed: str) -> None:
    file = written(certified, tmp_path / "c.json")
    execute(certified, CHANGES[changed])
    assert not verified(certified, file)[0]
    assert state_of(certified) == "void"
    assert not [row for row in exported(certified, tmp_path / "o") if row["kind"] == "pseudo"]


# --- audits that people do -------------------------------------------------------------------------------------------


def audit(runtime: Runtime, **asked: Any) -> Certified:
    return machine.run(runtime, Request(**({"target": 0.7, "audits": 100, "stored": True, "seed": "a"} | asked)))


def begin(runtime: Runtime, **asked: Any) -> list[TaskRow]:
    """The open tasks of an audit that people do."""
    request = Request(**({"target": 0.7, "audits": 100, "stored": True, "seed": "a"} | asked))
    found = machine.run(runtime, request, reviewer="people")
    assert found.waiting_for is not None
    return open_tasks(runtime)


def open_tasks(runtime: Runtime, kind: str | None = None) -> list[TaskRow]:
    with runtime.database.read() as session:
        found = queries.tasks(session, round_number=2, states=["open"])
    return [task for task in found if kind in (None, task.kind)]


def answer(runtime: Runtime, task: TaskRow, *, reviewer: str = "ann", verdict: str | None = None) -> None:
    """Give the hidden answer, or a verdict without an answer."""
    with runtime.database.write() as session:
        gold = hidden_answers.answers(session, [task.question_id])[task.question_id].answers[0]
        given = NewReview(task.id, reviewer, verdict) if verdict else NewReview(task.id, reviewer, "answerable", gold)
        store.record_review(session, given)


def conclude(runtime: Runtime, **options: Any) -> Certified:
    return machine.run(runtime, Request(), **options)


def test_tasks_of_an_audit_are_blind_and_their_order_tells_nothing_of_the_ranking(runtime: Runtime) -> None:
    tasks = begin(runtime)
    assert {(task.kind, task.blind) for task in tasks} == {("audit", True)}
    with runtime.database.read() as session:
        row = certificates.certificates(session)[-1]
        ranks = [item.rank for item in certificates.items(session, row.id, drawn=True)]
        places = [task.question_id for task in tasks]
        assert places == [item.question_id for item in certificates.items(session, row.id, drawn=True)]
    assert ranks != sorted(ranks)


def test_a_different_answer_is_judged_in_a_second_step_and_an_equal_one_is_not(runtime: Runtime) -> None:
    for task in begin(runtime):
        answer(runtime, task)
    found = conclude(runtime)
    assert found.waiting_for is not None
    asked = open_tasks(runtime, "judgement")
    assert asked
    assert not any(task.blind for task in asked)
    with runtime.database.read() as session:
        suggested = {row.question_id: row.answers for row in queries.predictions(session, 2)}
    for task in asked:
        best = suggested[task.question_id][0]
        assert best.text == "Lot"  # what the made-up reader says where it is wrong
    accepted = asked[0]
    with runtime.database.write() as session:
        span = queries.predictions(session, 2, question_ids=[accepted.question_id])[0].answers[0]
        same = type(hidden_answers.answers(session, [accepted.question_id])[accepted.question_id].answers[0])
        review = NewReview(
            accepted.id, "ann", "answerable", same(span.text, span.passage_id, span.start, span.end), "accepted"
        )
        store.record_review(session, review)
    for task in asked[1:]:
        answer(runtime, task)
    assert conclude(runtime).certificate is not None
    document = document_of(runtime)
    assert document["outcomes"] == {"different": len(asked) - 1, "equal": 100 - len(asked), "equivalent": 1}
    with runtime.database.read() as session:
        (label,) = queries.live_labels(session, question_ids=[accepted.question_id])
    assert label.answers[0].text != "Lot"  # the blind answer is the label


def test_audit_answers_do_not_teach_before_the_certificate_is_made(runtime: Runtime) -> None:
    tasks = begin(runtime)
    for task in tasks[:30]:
        answer(runtime, task)
    with runtime.database.read() as session:
        assert queries.live_labels(session, kinds=["human"]) == []
    for command in (lambda: rounds.run(runtime, reviewer="none"), lambda: rounds.train(runtime)):
        with pytest.raises(NotReady, match="audit of a certificate is open"):
            command()


def test_an_audit_that_is_not_finished_certifies_nothing(runtime: Runtime, tmp_path: Path) -> None:
    for task in begin(runtime)[:-1]:
        answer(runtime, task)
    found = conclude(runtime)
    assert (found.certificate, found.standing.state) == (None, "open")
    assert not [row for row in exported(runtime, tmp_path / "o") if row["kind"] == "pseudo"]


def test_unanswered_and_skipped_questions_count_as_errors(runtime: Runtime) -> None:
    tasks = begin(runtime)
    for task in tasks[:40]:
        answer(runtime, task)
    for task in tasks[40:50]:
        answer(runtime, task, verdict="skipped")
    found = conclude(runtime, accept_partial=True)
    outcomes = dict((found.certificate or {})["outcomes"])
    assert outcomes["skipped"] == 10
    assert outcomes["open"] >= 50
    assert sum(outcomes.values()) == 100
    tests = (found.certificate or {})["tests"]
    assert tests[0]["correct"] <= outcomes["equal"] <= 40
    assert found.standing.state == "empty"


def test_reviewers_who_contradict_each_other_count_as_an_error(predicted: Path, tmp_path: Path) -> None:
    with at(shutil.copytree(predicted, tmp_path / "ws")) as runtime:
        runtime.config = with_settings(runtime.config, review={"double_annotation": 1.0})
        tasks = begin(runtime)
        assert {task.reviewers for task in tasks} == {2}
        for task in tasks[1:]:
            answer(runtime, task)
            answer(runtime, task, reviewer="ben")
        answer(runtime, tasks[0])
        answer(runtime, tasks[0], reviewer="ben", verdict="no_answer")
        found = conclude(runtime, accept_partial=True)
    document = found.certificate or {}
    assert document["outcomes"]["conflict"] == 1
    assert document["agreement"]["pairs"] == 100
    assert document["agreement"]["verdict"] == pytest.approx(99 / 100)


def test_a_bad_question_counts_as_an_error_and_is_excluded(runtime: Runtime) -> None:
    tasks = begin(runtime)
    for task in tasks[1:]:
        answer(runtime, task)
    answer(runtime, tasks[0], verdict="bad_question")
    found = conclude(runtime, accept_partial=True)
    assert (found.certificate or {})["outcomes"]["bad_question"] == 1
    with runtime.database.read() as session:
        assert queries.question(session, tasks[0].question_id).exclusion_reason is not None


def test_a_pool_that_changed_after_the_freeze_changes_nothing_of_what_was_frozen(runtime: Runtime) -> None:
    tasks = begin(runtime)
    with runtime.database.write() as session:
        row = certificates.certificates(session)[-1]
        item = next(item for item in certificates.items(session, row.id) if item.drawn is None)
        store.set_label(session, item.question_id, [item.answer], reviewer="kim")
    for task in tasks:
        answer(runtime, task)
    found = conclude(runtime, accept_partial=True)
    document = found.certificate or {}
    assert document["population"] == 472
    assert document["released"] == document["certified"]["unseen"] - 1
    assert found.standing.state == "in_force"


def test_an_open_audit_keeps_what_it_was_drawn_for(runtime: Runtime) -> None:
    begin(runtime)
    for other in (Request(target=0.8), Request(audits=200), Request(delta=0.05)):
        with pytest.raises(NotReady, match="cannot change now"):
            machine.run(runtime, other)


def test_an_audit_that_is_given_up_counts_as_an_attempt(runtime: Runtime) -> None:
    begin(runtime)
    history.revert(runtime, 2, with_reviews=False)
    assert state_of(runtime) == "given_up"
    found = machine.run(runtime, ASKED, reviewer="simulated")
    assert (found.certificate or {})["delta_sum"] == pytest.approx(0.2)


def test_predictions_under_audit_are_not_pruned(runtime: Runtime) -> None:
    begin(runtime)
    with runtime.database.write() as session:
        assert store.prune(session, keep=0).predictions == 0
    for task in open_tasks(runtime):
        answer(runtime, task)
    assert (conclude(runtime, accept_partial=True).certificate or {})["released"]


def test_a_reverted_audit_releases_nothing_any_more(certified: Runtime, tmp_path: Path) -> None:
    uid = document_of(certified)["id"]
    history.revert(certified, 2, with_reviews=False)
    assert state_of(certified) == "withdrawn"
    assert not [row for row in exported(certified, tmp_path / "o") if row["kind"] == "pseudo"]
    with pytest.raises(NotReady, match="round 2, was reverted"):
        restore_certificate(certified, uid, reason="x")


def test_labels_name_their_certificate_and_are_exportable_only_while_it_is_in_force(certified: Runtime) -> None:
    uid = document_of(certified)["id"]
    shown = find_labels(certified.database, kind="pseudo").labels
    assert {(label.certificate, label.released) for label in shown} == {(uid, True)}
    withdraw(certified, uid, reason="x")
    shown = find_labels(certified.database, kind="pseudo").labels
    assert {(label.certificate, label.released) for label in shown} == {(uid, False)}


# --- interim looks ---------------------------------------------------------------------------------------------------


def people_answer(runtime: Runtime, count: int | None = None) -> Certified:
    """People answer that many of the open blind tasks, and judge what differs; then the audit goes on."""
    for task in open_tasks(runtime, "audit")[:count]:
        answer(runtime, task)
    found = conclude(runtime)
    for task in open_tasks(runtime, "judgement"):
        answer(runtime, task)
    return conclude(runtime) if open_tasks(runtime, "judgement") or found.waiting_for else found


def test_an_audit_with_looks_is_asked_quarter_by_quarter(runtime: Runtime) -> None:
    assert len(begin(runtime, looks=True)) == 25
    with runtime.database.read() as session:
        row = certificates.certificates(session)[-1]
        plan = row.plan or {}
        largest = [item.question_id for item in certificates.items(session, row.id)[: plan["sizes"][-1]]]
    assert [look["audits"] for look in plan["looks"]] == [25, 50, 75, 100]
    found = people_answer(runtime)
    assert found.waiting_for is not None
    assert [look.audits for look in found.looks] == [25]
    with runtime.database.read() as session:
        drawn = [item.question_id for item in certificates.items(session, row.id, drawn=True)]
        kinds = {(task.kind, task.blind) for task in queries.tasks(session, round_number=2, states=["open"])}
    assert drawn == draw(largest, 50, seed="a")
    assert kinds == {("audit", True)}


def test_an_audit_with_looks_ends_once_enough_is_certified_and_is_verified(tmp_path: Path) -> None:
    folder = make_predicted(tmp_path / "ws", confidence=lambda rng: float(rng.uniform(0.8, 0.9)), right=_nearly_always)
    with at(folder) as runtime:
        asked = Request(target=0.6, audits=200, stored=True, looks=True)
        document = machine.run(runtime, asked, reviewer="simulated").certificate or {}
        assert verified(runtime, written(runtime, tmp_path / "c.json"))[0]
        with runtime.database.read() as session:
            (row,) = certificates.certificates(session)
            items = certificates.items(session, row.id)
            asked_again = len(queries.tasks(session, round_number=2))
    looks = [look["audits"] for look in document["looks"]]
    assert looks == [50, 100, 150, 200]
    assert document["audits"] in looks[:-1]
    assert document["certified"]["size"] >= document["enough"]
    assert len(document["items"]) == document["audits"] == sum(item.drawn is not None for item in items)
    assert asked_again < 200
    assert document["certified"]["audited"] + document["released"] == document["certified"]["size"]
    assert "results were looked at after 50, 100, 150 and 200 answers" in document["statement"]
    assert document["tests"][-1]["level"] < document["delta"]


def _nearly_always(rng: np.random.Generator, confidence: float) -> bool:
    return bool(rng.random() < 0.97)


def test_an_audit_with_looks_that_certifies_too_little_goes_on_to_its_end(runtime: Runtime) -> None:
    asked = Request(target=0.97, audits=100, stored=True, looks=True)
    document = machine.run(runtime, asked, reviewer="simulated").certificate or {}
    assert document["audits"] == document["looks"][-1]["audits"]


def test_one_may_stop_at_a_look_and_a_part_that_nobody_answered_does_not_count(runtime: Runtime) -> None:
    begin(runtime, looks=True)
    people_answer(runtime)
    people_answer(runtime)
    found = conclude(runtime, accept_partial=True)
    document = found.certificate or {}
    assert document["audits"] == 50
    assert set(document["outcomes"]) <= {"equal", "different"}
    with runtime.database.read() as session:
        row = certificates.certificates(session)[-1]
        assert sum(item.drawn is not None for item in certificates.items(session, row.id)) == 50
        assert len(queries.live_labels(session, kinds=["human"])) == 50
    assert found.standing.state in ("in_force", "empty")


def test_unanswered_questions_of_a_part_that_was_begun_count_as_errors(runtime: Runtime) -> None:
    begin(runtime, looks=True)
    people_answer(runtime)
    for task in open_tasks(runtime, "audit")[:5]:
        answer(runtime, task)
    document = conclude(runtime, accept_partial=True).certificate or {}
    assert document["audits"] == 50
    assert document["outcomes"]["open"] >= 20


def test_stopping_at_a_look_whose_answers_are_all_in_asks_no_more(runtime: Runtime) -> None:
    for task in begin(runtime, looks=True):
        answer(runtime, task)
    conclude(runtime)  # makes the second steps
    for task in open_tasks(runtime, "judgement"):
        answer(runtime, task)
    document = conclude(runtime, accept_partial=True).certificate or {}
    assert document["audits"] == 25


@pytest.mark.parametrize(("before", "after"), [("0.1", "0.2"), ('"start"', '"begin"'), ('"sizes"', '"size"')])
def test_a_plan_that_was_changed_voids_the_certificate(
    certified: Runtime, tmp_path: Path, before: str, after: str
) -> None:
    file = written(certified, tmp_path / "c.json")
    execute(certified, "UPDATE certificates SET plan = replace(plan, :before, :after)", before=before, after=after)
    assert verified(certified, file) == (
        False,
        "what the certificate says of its plan is not what was fixed before the draw",
    )


def test_looks_cannot_be_added_to_an_open_audit(runtime: Runtime) -> None:
    begin(runtime)
    with pytest.raises(NotReady, match="drawn without looks"):
        machine.run(runtime, Request(looks=True))


def test_the_command_looks_and_says_so(predicted: Path, tmp_path: Path) -> None:
    ws = str(shutil.copytree(predicted, tmp_path / "ws"))
    given = ("certify", "--target", "0.7", "--stored", "--audits", "150", "--looks", "-w", ws)
    assert ok(*given, "--dry-run")["looks"] == [38, 75, 113, 150]
    assert "fewer if enough is certified after 38, 75, 113" in run(*given, "--dry-run").out
    assert ok(*given, "--reviewer", "terminal")["looks"] == []
    with at(Path(ws)) as runtime:
        for task in open_tasks(runtime):
            answer(runtime, task)
        conclude(runtime)
        for task in open_tasks(runtime, "judgement"):
            answer(runtime, task)
    (look,) = ok("certify", "-w", ws)["looks"]
    assert look["audits"] == 38
    assert "look after 38 answers" in run("certify", "-w", ws).out
    assert run("certify", "--accept-partial", "-w", ws).code == 0
    assert run("report", "-w", ws, "-o", str(tmp_path / "r.html")).code == 0


# --- requests that cannot be met -------------------------------------------------------------------------------------


def test_a_target_that_cannot_be_reached_certifies_nothing(tmp_path: Path) -> None:
    with at(make_predicted(tmp_path / "ws", right=lambda rng, sure: rng.random() < 0.3)) as runtime:
        found = machine.run(runtime, Request(target=0.95, audits=100, stored=True), reviewer="simulated")
        document = found.certificate or {}
        assert (found.standing.state, document["certified"], document["released"]) == ("empty", None, 0)
        assert document["statement"].startswith("Nothing is certified.")
        assert not [row for row in exported(runtime, tmp_path / "o") if row["kind"] == "pseudo"]


def test_fewer_questions_than_audits_are_all_audited(tmp_path: Path) -> None:
    with at(make_predicted(tmp_path / "small", passages=10, right=lambda rng, sure: sure > 0.4)) as runtime:
        found = machine.run(runtime, Request(target=0.6, audits=300, stored=True), reviewer="simulated")
    document = found.certificate or {}
    assert document["audits"] == document["sizes"][-1] == 72
    assert document["certified"]["unseen"] == 0
    assert document["released"] == 0
    assert "People looked at every one of them." in document["statement"]


@pytest.mark.parametrize(("right", "state"), [(True, "in_force"), (False, "empty")])
def test_all_answers_right_or_all_wrong(tmp_path: Path, right: bool, state: str) -> None:
    with at(make_predicted(tmp_path / "ws", right=lambda rng, sure: right)) as runtime:
        found = machine.run(runtime, Request(target=0.7, audits=100, stored=True), reviewer="simulated")
    assert found.standing.state == state
    assert all(test["correct"] == (test["audited"] if right else 0) for test in (found.certificate or {})["tests"])


def test_equal_confidences_are_ranked_by_question_id_and_certified_like_others(tmp_path: Path) -> None:
    folder = make_predicted(tmp_path / "ws", confidence=lambda rng: 0.9, right=lambda rng, sure: rng.random() < 0.95)
    with at(folder) as runtime:
        found = machine.run(runtime, Request(target=0.8, audits=100, stored=True), reviewer="simulated")
        with runtime.database.read() as session:
            row = certificates.certificates(session)[-1]
            ids = [item.question_id for item in certificates.items(session, row.id)]
    assert ids == sorted(ids)
    assert found.standing.state == "in_force"


def test_without_a_reader_stored_predictions_can_be_certified_and_nothing_else(runtime: Runtime) -> None:
    with pytest.raises(NotReady):
        machine.run(runtime, Request(target=0.7, audits=100), reviewer="simulated")
    assert machine.run(runtime, ASKED, reviewer="simulated").certificate is not None


def test_a_pool_of_a_few_questions_is_not_worth_a_certificate(tmp_path: Path) -> None:
    with at(make_predicted(tmp_path / "ws", passages=3)) as runtime, pytest.raises(NotReady, match="at least 20"):
        machine.run(runtime, ASKED, reviewer="simulated")


def test_an_audit_needs_a_reviewer(runtime: Runtime) -> None:
    with pytest.raises(NotReady, match="needs a reviewer"):
        machine.run(runtime, ASKED, reviewer="none")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 85])
def test_a_target_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="--target is a share between 0 and 1"):
        Request(target=share)


def test_attempts_share_delta_and_their_number_is_fixed_with_the_first(runtime: Runtime) -> None:
    first = machine.run(
        runtime, Request(target=0.7, audits=100, attempts=2, stored=True, seed="a"), reviewer="simulated"
    )
    assert (first.certificate or {})["delta"] == 0.05
    for other in (Request(attempts=3), Request(delta=0.2)):
        with pytest.raises(ConfigError, match="attempt 2 belongs to the plan"):
            machine.run(runtime, other, reviewer="simulated")
    second = machine.run(runtime, Request(target=0.7, audits=100, stored=True, seed="a"), reviewer="simulated")
    document = second.certificate or {}
    assert (document["attempt"], document["delta"], document["delta_sum"]) == (2, 0.05, 0.1)
    with runtime.database.read() as session:
        assert next(one.state for one in standings(session)) in ("superseded", "in_force")


def test_a_dry_run_says_what_to_expect_and_changes_nothing(runtime: Runtime) -> None:
    found = forecast(runtime, Request(target=0.7, audits=100))
    assert (found.population, found.audits, found.delta_sum) == (472, 100, 0.1)
    assert found.expected_coverage is not None
    assert 0.1 < found.expected_coverage < 0.8
    assert 100 < found.minutes < 130  # a minute for each blind answer, and some judgements
    with runtime.database.read() as session:
        assert certificates.certificates(session) == []
        assert queries.current_round(session) is None


# --- withdrawal ------------------------------------------------------------------------------------------------------


def contradict(runtime: Runtime, count: int) -> None:
    """Blind reviews of random questions in a later round that agree with no released answer."""
    with runtime.database.write() as session:
        row, _ = in_force(session) or pytest.fail("no certificate is in force")
        ids = [label.question_id for label in released_labels(session, row)][:count]
        number = store.open_round(session, "loop", config={}, seed=0, code_version="1").number
        place = queries.live_labels(session, question_ids=ids)
        tasks = [
            NewTask(label.question_id, "random", True, at, (label.answers[0].passage_id,))
            for at, label in enumerate(place)
        ]
        store.add_tasks(session, number, tasks)
        for task in queries.tasks(session, round_number=number):
            store.record_review(session, NewReview(task.id, "ben", "no_answer"))
        store.advance(session, number, "open", "closed", promoted=False)


def test_later_blind_reviews_that_contradict_it_withdraw_it_until_it_is_restored(
    certified: Runtime, tmp_path: Path
) -> None:
    contradict(certified, 30)
    with certified.database.read() as session:
        row = certificates.certificates(session)[-1]
        later = later_reviews(session, row)
        standing = standings(session)[-1]
    assert later is not None
    assert (later.reviewed, later.correct) == (30, 0)
    assert later.probability < 0.01
    assert (standing.state, standing.current) == ("contradicted", False)
    assert not [row for row in exported(certified, tmp_path / "o") if row["kind"] == "pseudo"]
    assert restore_certificate(certified, row.uid[:8], reason="ben misread").state == "in_force"
    assert [row for row in exported(certified, tmp_path / "p") if row["kind"] == "pseudo"]


def test_one_disagreement_is_not_beyond_chance(certified: Runtime) -> None:
    contradict(certified, 1)
    assert state_of(certified) == "in_force"


def test_a_certificate_can_be_withdrawn_and_restored_by_hand(certified: Runtime, tmp_path: Path) -> None:
    uid = document_of(certified)["id"]
    assert withdraw(certified, uid, reason="wrong passages").state == "withdrawn"
    assert not [row for row in exported(certified, tmp_path / "o") if row["kind"] == "pseudo"]
    assert restore_certificate(certified, uid, reason="they were right").state == "in_force"


def test_pseudo_labels_that_nobody_vouches_for_leave_only_on_request_and_say_so(
    certified: Runtime, tmp_path: Path
) -> None:
    withdraw(certified, document_of(certified)["id"], reason="x")
    report = export_labels(certified.database, tmp_path / "a", format="jsonl", kinds=["human", "pseudo"])
    assert report.left_out["pseudo-labels that no certificate in force covers (--uncertified exports them)"]
    rows = exported(certified, tmp_path / "b", kinds=["pseudo"], uncertified=True)
    assert {(row["vouched_by"], row["certificate"]) for row in rows} == {("nobody", "")}


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_makes_lists_writes_and_verifies(predicted: Path, tmp_path: Path) -> None:
    ws = str(shutil.copytree(predicted, tmp_path / "ws"))
    given = ("certify", "--target", "0.7", "--stored", "--audits", "150", "-w", ws)
    assert ok(*given, "--dry-run")["audits"] == 150
    file = str(tmp_path / "c.json")
    made = ok(*given, "--reviewer", "simulated", "-o", file)
    assert (made["valid"], made["current"], made["waiting_for"]) == (True, True, None)
    assert ok("certify", "--verify", file, "-w", ws)["valid"] is True
    (listed,) = ok("certify", "list", "-w", ws)["certificates"]
    assert (listed["certificate"], listed["state"]) == (made["certificate"]["id"], "in_force")
    edited = json.loads(Path(file).read_text(encoding="utf-8")) | {"target": 0.99}
    Path(file).write_text(json.dumps(edited), encoding="utf-8")
    refused = run("certify", "--verify", file, "-w", ws, "--json")
    assert (refused.code, refused.json["valid"]) == (1, False)
    assert "edited" in refused.json["why"]
    warned = run("export", "--format", "jsonl", "-o", str(tmp_path / "o"), "--uncertified", "-w", ws)
    assert warned.code == 0


# --- with a reader ---------------------------------------------------------------------------------------------------


def test_the_current_reader_predicts_unless_it_predicted_last(tmp_path: Path) -> None:
    with scripted(make_releasing(tmp_path / "ws")) as runtime:
        rounds.train(runtime)
        found = machine.run(runtime, Request(target=0.5, audits=30), reviewer="simulated")
        with runtime.database.read() as session:
            first = queries.round_(session, 1)
            made = queries.predictions(session, 1)
        assert (first.kind, first.stage, first.promoted) == ("audit", "closed", False)
        assert first.calibrator_id is not None
        assert {row.question_role for row in made} == {"pool", "calibration"}
        assert (found.certificate or {})["predictions_of_round"] == 1
        again = machine.run(runtime, Request(target=0.5, audits=30), reviewer="simulated")
        assert (again.certificate or {})["predictions_of_round"] == 1  # by the same reader with the same index
        assert rounds.run(runtime, reviewer="none").round.number == 3
        with runtime.database.read() as session:
            human = {label.question_id for label in queries.live_labels(session, kinds=["human"])}
            taught = {row.question.id for row in queries.training_rows(session, 3)}
        assert human
        assert human <= taught | {row.question_id for row in made if not row.answers} | _without_answers(runtime)


def _without_answers(runtime: Runtime) -> set[str]:
    """Human labels that cannot teach: from held-out passages."""
    with runtime.database.read() as session:
        labels = queries.live_labels(session, kinds=["human"])
        usable = {row.question.id for row in queries.training_labels(session)}
    return {label.question_id for label in labels} - usable
