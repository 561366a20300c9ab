"""Rounds that people review: what waits, what goes on, and that edits, late reviews and conflicts are followed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update

from db import queries, store
from db.rows import AnswerRow, LabelRow, NewReview, PredictionRow, ReviewRow, SpanRow, TaskRow
from db.tables import ROUNDS
from labeler.core.config import Config
from labeler.core.errors import NotReady, ServerDown
from labeler.core.runtime import Runtime, with_settings
from labeler.maintenance.status import status
from labeler.review import follow_up
from labeler.review.agreement import matcher_of
from labeler.review.statistics import review_statistics, studio_projects
from labeler.review.studio.labeling_config import ANSWER_LABEL, VERDICT, labels_name
from labeler.rounds import history, machine
from labeler.rounds.adjudication import Adjudication, adjudicate
from labeler.rounds.forecast import forecast
from labeler.rounds.steps import human_review, reviewing
from tests.commands import ok, run
from tests.labeler.fake_studio import FakeStudio
from tests.labeler.studio.people import People
from tests.studio import TestServer
from tests.worlds import at


@pytest.fixture
def folder(baseline: Path, tmp_path: Path) -> Path:
    return shutil.copytree(baseline, tmp_path / "people")


@pytest.fixture
def runtime(folder: Path) -> Iterator[Runtime]:
    """A runtime before round 1, of 4 tasks."""
    with at(folder) as opened:
        yield opened.with_config(with_settings(opened.config, review={"review_budget": 4}))


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> FakeStudio:
    server = FakeStudio()
    monkeypatch.setattr(human_review, "client", lambda runtime: server)
    return server


def tasks_of(runtime: Runtime, number: int = 1) -> list[TaskRow]:
    with runtime.database.read() as session:
        return queries.tasks(session, round_number=number)


def say(runtime: Runtime, task: TaskRow, who: str, word: int | None, *, verdict: str = "no_answer") -> None:
    """A review: the n-th word of the first passage shown, or a verdict without an answer."""
    answer = None
    if word is not None:
        passage = runtime.fetch([task.passages[0]])[task.passages[0]]
        text = passage.text.split()[word]
        start = passage.text.index(text)
        answer, verdict = SpanRow(text, passage.id, start, start + len(text)), "answerable"
    with runtime.database.write() as session:
        store.record_review(session, NewReview(task.id, who, verdict, answer, seconds=30.0, source="terminal"))


def live(runtime: Runtime, question_id: str) -> LabelRow | None:
    with runtime.database.read() as session:
        return next(iter(queries.live_labels(session, kinds=["human"], question_ids=[question_id])), None)


def label_again(runtime: Runtime) -> None:
    """What the next labelling does with reviews, without a round around it."""
    with runtime.database.write() as session:
        found = adjudicate(session, matcher_of(runtime))
        number = queries.next_round_number(session) - 1
        store.record_labels(
            session,
            number,
            human=[],
            pseudo=[],
            reason="again",
            reviews=found.considered,
            bad_questions=found.bad_questions,
            unsupported=found.unsupported,
            waiting=found.waiting,
        )
    assert not found.labels


def adjudicated(runtime: Runtime) -> Adjudication:
    with runtime.database.read() as session:
        return adjudicate(session, matcher_of(runtime))


# --- by file and terminal -------------------------------------------------------------------------


def test_a_round_waits_for_people_and_continues_when_all_have_answered(runtime: Runtime) -> None:
    status = machine.run(runtime, reviewer="people")
    assert (status.round.stage, status.waiting_for) == (
        "in_review",
        "4 reviews by file or terminal (labeler review)",
    )
    first, *others = tasks_of(runtime)
    say(runtime, first, "kim", 0)
    assert machine.run(runtime).waiting_for == "3 reviews by file or terminal (labeler review)"
    for task in others:
        say(runtime, task, "kim", None)
    closed = machine.run(runtime)
    assert (closed.round.stage, closed.waiting_for) == ("closed", None)
    label = live(runtime, first.question_id)
    assert label is not None
    assert (label.reviewer, label.train_weight) == ("kim", 1.0)


def test_accepting_a_partial_review_withdraws_the_rest_and_a_late_review_counts_in_the_next_round(
    runtime: Runtime,
) -> None:
    with pytest.raises(NotReady, match="no round is waiting"):
        machine.run(runtime, accept_partial=True)
    machine.run(runtime, reviewer="people")
    first, late, *_ = tasks_of(runtime)
    say(runtime, first, "kim", 0)
    assert machine.run(runtime, accept_partial=True).round.stage == "closed"
    assert [task.state for task in tasks_of(runtime)] == ["done", "withdrawn", "withdrawn", "withdrawn"]
    say(runtime, late, "kim", 1)
    machine.run(runtime, until="in_review")
    assert late.question_id not in {task.question_id for task in tasks_of(runtime, 2)}, "what is decided is not asked"
    machine.run(runtime, reviewer="none", until="labelled")
    label = live(runtime, late.question_id)
    assert label is not None
    assert label.written_by == 2


def test_a_skipped_question_may_be_asked_again_and_makes_no_label(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="people")
    for task in tasks_of(runtime):
        say(runtime, task, "kim", None, verdict="skipped")
    assert machine.run(runtime).round.stage == "closed"
    assert {task.state for task in tasks_of(runtime)} == {"skipped"}
    assert all(live(runtime, task.question_id) is None for task in tasks_of(runtime))
    with runtime.database.read() as session:
        pool = {row.id for row in queries.pool_to_predict(session)}
    assert {task.question_id for task in tasks_of(runtime)} <= pool


def reviewed_round(runtime: Runtime, *, until: str = "labelled") -> list[TaskRow]:
    """The tasks of a round that is labelled, whose first question kim has answered, the others have no answer."""
    machine.run(runtime, reviewer="people")
    first, *others = tasks_of(runtime)
    say(runtime, first, "kim", 0)
    for task in others:
        say(runtime, task, "kim", None)
    machine.run(runtime, until=until)
    return tasks_of(runtime)


def current(runtime: Runtime, task: TaskRow) -> ReviewRow:
    with runtime.database.read() as session:
        return next(row for row in queries.reviews(session) if row.task_id == task.id)


def test_an_edited_review_replaces_its_label(runtime: Runtime) -> None:
    first, *_ = reviewed_round(runtime, until="closed")
    before = live(runtime, first.question_id)
    say(runtime, first, "kim", 1)
    assert adjudicated(runtime).labels == (current(runtime, first),)
    machine.run(runtime, reviewer="none", until="labelled")
    after = live(runtime, first.question_id)
    assert before is not None
    assert after is not None
    assert (after.parent_id, after.review_id) == (before.id, current(runtime, first).id)
    assert adjudicated(runtime) == Adjudication(), "the next labelling finds nothing to do"


@pytest.mark.parametrize("verdict", ["skipped", "bad_question"])
def test_an_edit_that_takes_the_answer_back_withdraws_its_label(runtime: Runtime, verdict: str) -> None:
    first, *_ = reviewed_round(runtime)
    say(runtime, first, "kim", None, verdict=verdict)
    label_again(runtime)
    assert live(runtime, first.question_id) is None
    with runtime.database.read() as session:
        excluded = queries.question(session, first.question_id).exclusion_reason
    assert (excluded is not None) == (verdict == "bad_question")
    assert adjudicated(runtime) == Adjudication()


@pytest.mark.parametrize("edited", [False, True])
def test_a_deleted_review_withdraws_its_label_and_the_question_is_a_candidate_again(
    runtime: Runtime, edited: bool
) -> None:
    first, *_ = reviewed_round(runtime)
    if edited:
        say(runtime, first, "kim", 1)
    with runtime.database.write() as session:
        store.delete_review(session, current(runtime, first).id)
    label_again(runtime)
    assert live(runtime, first.question_id) is None
    with runtime.database.read() as session:
        assert first.question_id in {row.id for row in queries.pool_to_predict(session)}
        told = [
            event.detail["reason"] for event in queries.history(session, first.question_id) if "reason" in event.detail
        ]
    assert told == ["its review was taken back"]
    assert adjudicated(runtime) == Adjudication()


def test_a_bad_question_that_was_none_after_all_comes_back(runtime: Runtime) -> None:
    first, *_ = reviewed_round(runtime)
    say(runtime, first, "kim", None, verdict="bad_question")
    label_again(runtime)
    with runtime.database.write() as session:
        store.delete_review(session, current(runtime, first).id)
    label_again(runtime)
    with runtime.database.read() as session:
        assert queries.question(session, first.question_id).exclusion_reason is None


def test_reviews_set_aside_with_their_round_make_no_label_again(runtime: Runtime) -> None:
    first, *_ = reviewed_round(runtime)
    history.revert(runtime, 1, with_reviews=True)
    assert adjudicated(runtime) == Adjudication()
    assert live(runtime, first.question_id) is None


def test_a_label_set_by_hand_outlives_the_review_before_it(runtime: Runtime) -> None:
    first, *_ = reviewed_round(runtime)
    answer = current(runtime, first).answer
    assert answer is not None
    with runtime.database.write() as session:
        store.set_label(session, first.question_id, [answer], reviewer="lee")
        store.delete_review(session, current(runtime, first).id)
    label_again(runtime)
    label = live(runtime, first.question_id)
    assert label is not None
    assert label.reviewer == "lee"


def predicted(best: str | None, hits: str) -> PredictionRow:
    """A prediction that read these passages and found its best answer in one of them."""
    answers = () if best is None else (AnswerRow("x", best, 0, 1, 0.5, 0.5),)
    return PredictionRow(
        id=1, round_number=1, question_id="q", question_role="pool", model_id=1, index_fingerprint=None,
        answers=answers, score=0.5, null_score=0.1, confidence=None, hits=tuple((each, 1.0) for each in hits),
        features={}, decision=None, train_weight=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("best", "places", "page"),
    [("a", 3, "abc"), ("c", 3, "abc"), ("f", 3, "abf"), ("f", 1, "f"), ("f", 5, "abcdf"), (None, 3, "abc")],
)
def test_a_page_shows_the_first_passages_and_always_that_of_the_best_answer(
    best: str | None, places: int, page: str
) -> None:
    assert reviewing.page(predicted(best, "abcdef"), places=places) == tuple(page)


# --- two people -----------------------------------------------------------------------------------


@pytest.fixture
def pairs(runtime: Runtime) -> Runtime:
    """The runtime of a round in review whose 4 tasks are answered by two people each."""
    runtime = runtime.with_config(with_settings(runtime.config, review={"double_annotation": 1.0}))
    status = machine.run(runtime, reviewer="people")
    assert status.waiting_for == "8 reviews by file or terminal (labeler review)"
    return runtime


def test_two_who_agree_make_one_label_and_two_who_do_not_need_a_third(pairs: Runtime) -> None:
    same, other, *rest = tasks_of(pairs)
    for task in (same, *rest):
        say(pairs, task, "kim", 0)
        say(pairs, task, "lee", 0)
    say(pairs, other, "kim", 0)
    say(pairs, other, "lee", 1)
    waiting = machine.run(pairs)
    assert waiting.waiting_for == ("1 review by file or terminal (labeler review); 1 of them for questions asked again")
    (third,) = [task for task in tasks_of(pairs) if task.attempt]
    assert (third.question_id, third.kind, third.blind, third.passages) == (
        other.question_id, "adjudication", other.blind, other.passages,
    )  # fmt: skip
    assert machine.run(pairs).waiting_for == waiting.waiting_for, "asked once"
    with pairs.database.read() as session:
        found = review_statistics(session, matcher_of(pairs))
    assert (found.agreement.pairs, found.agreement.exact, found.conflicts) == (4, 3 / 4, (other.question_id,))
    say(pairs, third, "park", 1)
    assert machine.run(pairs).round.stage == "closed"
    label = live(pairs, other.question_id)
    assert label is not None
    assert (label.reviewer, label.review_id) == ("park", current(pairs, third).id)
    with pairs.database.read() as session:
        assert len(queries.live_labels(session, kinds=["human"])) == 4
        assert queries.unrecorded_reviews(session) == []


def test_a_conflict_without_an_adjudicator_does_not_block_the_round_and_makes_no_label(pairs: Runtime) -> None:
    first, *rest = tasks_of(pairs)
    for task in (first, *rest):
        say(pairs, task, "kim", 0)
        say(pairs, task, "lee", 1 if task is first else 0)
    machine.run(pairs)
    (third,) = [task for task in tasks_of(pairs) if task.attempt]
    say(pairs, third, "lee", 1)  # one of the two
    assert machine.run(pairs).round.stage == "closed"
    assert live(pairs, first.question_id) is None
    with pairs.database.read() as session:
        assert {review.question_id for review in queries.unrecorded_reviews(session)} == {first.question_id}
    assert status(pairs).reviews.conflicts == (first.question_id,)
    say(pairs, first, "lee", 0)  # thinks better of it, after the round
    machine.run(pairs, reviewer="none", until="labelled")
    assert live(pairs, first.question_id) is not None


def test_one_of_two_reviews_counts_where_the_round_went_on_without_the_other(pairs: Runtime) -> None:
    first, *_ = tasks_of(pairs)
    say(pairs, first, "kim", 0)
    assert machine.run(pairs, accept_partial=True).round.stage == "closed"
    assert tasks_of(pairs)[0].state == "done"
    assert live(pairs, first.question_id) is not None
    say(pairs, first, "lee", 1)  # late, and of another mind
    label_again(pairs)
    assert live(pairs, first.question_id) is None
    assert status(pairs).tasks["open"] == 0


@pytest.mark.parametrize("without", ["nobody", "killed"])
def test_one_of_two_reviews_counts_when_the_other_task_is_withdrawn(pairs: Runtime, without: str) -> None:
    first, *_ = tasks_of(pairs)
    say(pairs, first, "kim", 0)
    assert forecast(pairs).reviews == 2 * 4 - 1
    if without == "nobody":
        machine.run(pairs, reviewer="none", until="reviewed")
    else:  # after the tasks were withdrawn on the server, before the round had gone on
        with pairs.database.write() as session:
            store.withdraw_tasks(session, 1)
        machine.run(pairs, until="reviewed")
    assert {task.state for task in tasks_of(pairs)[1:]} == {"withdrawn"}
    assert tasks_of(pairs)[0].state == "done"


def test_many_disputes_are_settled_in_as_many_statements_as_one(pairs: Runtime) -> None:
    """One by one they took minutes at some thousands."""
    statements = 0

    def count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    def disagree(tasks: Sequence[TaskRow]) -> int:
        nonlocal statements
        for task in tasks:
            say(pairs, task, "kim", 0)
            say(pairs, task, "lee", 1)
        statements = 0
        assert follow_up.resolve(pairs, 1) == len(tasks)
        return statements

    event.listen(pairs.database.engine, "before_cursor_execute", count)
    first, *others = tasks_of(pairs)
    assert disagree([first]) == disagree(others)


@pytest.mark.parametrize("verdict", ["no_answer", "bad_question"])
def test_a_review_that_was_contradicted_late_counts_again_once_the_other_is_deleted(
    pairs: Runtime, verdict: str
) -> None:
    first, *_ = tasks_of(pairs)
    say(pairs, first, "kim", None, verdict=verdict)
    say(pairs, first, "lee", None, verdict=verdict)
    machine.run(pairs, accept_partial=True)
    say(pairs, first, "lee", 0)
    label_again(pairs)
    assert live(pairs, first.question_id) is None
    with pairs.database.write() as session:
        [late] = [each for each in queries.reviews(session) if (each.task_id, each.reviewer) == (first.id, "lee")]
        store.delete_review(session, late.id)
    found = adjudicated(pairs)
    decided = [review.question_id for review in found.labels] or list(found.bad_questions)
    assert decided == [first.question_id]


def test_a_bad_question_stays_excluded_by_the_round_that_heard_so(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="people")
    first, *_ = tasks_of(runtime)
    say(runtime, first, "kim", None, verdict="bad_question")
    machine.run(runtime, accept_partial=True)
    with runtime.database.write() as session:
        store.record_review(session, NewReview(first.id, "kim", "bad_question", comment="why", source="terminal"))
    assert adjudicated(runtime).bad_questions == (first.question_id,)
    label_again(runtime)
    assert adjudicated(runtime) == Adjudication()


def test_simulated_pairs_err_apart_and_a_third_one_settles_it(folder: Path) -> None:
    with at(folder) as plain:
        runtime = plain.with_config(
            with_settings(
                plain.config,
                review={"double_annotation": 0.5},
                round={"simulated_error_rate": 0.5, "reviewer": "simulated"},
            )
        )
        machine.run(runtime, until="reviewed")
        tasks = tasks_of(runtime)
        with runtime.database.read() as session:
            reviews = queries.reviews(session)
    double = [task for task in tasks if task.reviewers == 2]
    assert len(double) == 6  # half of 12
    assert {review.reviewer for review in reviews} == {"simulated", "simulated-2", "simulated-3"}
    thirds = {task.question_id for task in tasks if task.kind == "adjudication"}
    assert thirds
    assert thirds <= {task.question_id for task in double}
    assert not [task for task in tasks if task.state == "open"]


def test_who_is_asked_twice_does_not_change_who_is_asked(folder: Path, tmp_path: Path) -> None:
    asked = []
    for share in (0.0, 0.5):
        copy = shutil.copytree(folder, tmp_path / f"share-{share}")
        with at(copy) as plain:
            machine.run(
                plain.with_config(with_settings(plain.config, review={"double_annotation": share})), until="in_review"
            )
            asked.append([(task.question_id, task.kind, task.position) for task in tasks_of(plain)])
    assert asked[0] == asked[1]


# --- in Label Studio ------------------------------------------------------------------------------


def word_of(where: tuple[int, object], number: int = 0) -> str:
    return str(where[1].data["p1"].split()[number])  # type: ignore[attr-defined]


def test_a_round_is_reviewed_in_label_studio(runtime: Runtime, studio: FakeStudio) -> None:
    opened = machine.run(runtime, reviewer="studio")
    with runtime.database.read() as session:
        addresses = [project.url for project in studio_projects(session)]
    assert opened.waiting_for == f"4 reviews in Label Studio: {', '.join(addresses)}"
    assert all(address.startswith("http://studio.test/projects/") for address in addresses)
    (first, second, *rest) = studio.open()
    studio.answer(first, "answerable", word_of(first))
    studio.skip(second)
    assert (machine.run(runtime).waiting_for or "").startswith("2 reviews in Label Studio")
    for where in rest:
        studio.answer(where, "no_answer")
    assert machine.run(runtime).round.stage == "closed"
    label = live(runtime, first[1].data["question_id"])
    assert label is not None
    assert (label.reviewer, label.answers[0].text) == ("p1@test", word_of(first))
    told = status(runtime)
    assert told.reviews.reviewers[0].seconds == 12.5 * 3 + 3
    assert [project.tasks for project in told.studio] == [len(tasks) for tasks in studio.tasks.values()]


def test_an_unreadable_annotation_is_asked_for_again_and_mended_it_is_not(runtime: Runtime, studio: FakeStudio) -> None:
    machine.run(runtime, reviewer="studio")
    first, *rest = studio.open()
    for where in rest:
        studio.answer(where, "no_answer")
    broken = studio.answer(first, "answerable")  # no answer is marked
    assert "1 of them for questions asked again" in (machine.run(runtime).waiting_for or "")
    assert len(studio.open()) == 1
    studio.edit(first, broken, "answerable", word_of(first))
    assert machine.run(runtime).round.stage == "closed"
    assert studio.open() == [], "what is not needed any more is removed there"
    assert live(runtime, first[1].data["question_id"]) is not None


def test_what_the_last_look_finds_is_asked_again_at_once(
    runtime: Runtime, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.run(runtime, reviewer="studio")
    first, *rest = studio.open()
    made = studio.answer(first, "no_answer")
    machine.run(runtime)
    for where in rest:
        studio.answer(where, "no_answer")
    with monkeypatch.context() as patched:
        patched.setattr(studio, "_now", lambda: "2025-12-31T00:00:00.000000Z")  # the server set its clock back
        studio.edit(first, made, "answerable")  # no answer is marked
    assert "1 of them for questions asked again" in (machine.run(runtime).waiting_for or "")
    assert len(studio.open()) == 1


def test_what_changes_in_label_studio_after_a_round_is_followed_by_the_next(
    runtime: Runtime, studio: FakeStudio
) -> None:
    machine.run(runtime, reviewer="studio")
    places = studio.open()
    made = [studio.answer(where, "answerable", word_of(where)) for where in places]
    machine.run(runtime)
    studio.edit(places[0], made[0], "answerable", word_of(places[0], 1))
    studio.take_back(places[1], made[1])
    machine.run(runtime, reviewer="studio", until="in_review")
    machine.run(runtime, reviewer="none", until="labelled")
    edited, deleted = (live(runtime, where[1].data["question_id"]) for where in places[:2])
    assert edited is not None
    assert edited.answers[0].text == word_of(places[0], 1)
    assert deleted is None


def test_going_on_without_the_rest_removes_it_from_the_server(runtime: Runtime, studio: FakeStudio) -> None:
    machine.run(runtime, reviewer="studio")
    first, *_ = studio.open()
    studio.answer(first, "answerable", word_of(first))
    assert machine.run(runtime, accept_partial=True).round.stage == "closed"
    assert [task.id for tasks in studio.tasks.values() for task in tasks.values()] == [first[1].id]
    assert live(runtime, first[1].data["question_id"]) is not None


def test_without_the_server_the_round_can_continue(runtime: Runtime, studio: FakeStudio) -> None:
    machine.run(runtime, reviewer="studio")
    studio.down = True
    with pytest.raises(ServerDown):
        machine.run(runtime)
    with pytest.raises(NotReady, match="labeler round --reviewer none"):
        machine.run(runtime, accept_partial=True)
    assert machine.run(runtime, reviewer="none").round.stage == "closed"


def test_no_round_is_opened_for_a_server_that_does_not_answer(runtime: Runtime, studio: FakeStudio) -> None:
    studio.down = True
    with pytest.raises(ServerDown):
        machine.run(runtime, reviewer="studio")
    assert machine.current(runtime) is None


def test_two_people_are_not_asked_in_silence_where_there_is_one(
    runtime: Runtime, studio: FakeStudio, caplog: pytest.LogCaptureFixture
) -> None:
    studio.people = 1
    double = with_settings(runtime.config, review={"double_annotation": 1.0})
    machine.run(runtime.with_config(double), reviewer="studio", until="open")
    assert any("has one user" in message for message in caplog.messages)


def test_a_whole_round_on_a_real_server_with_a_dispute_and_a_broken_annotation(
    folder: Path, label_studio: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    reviewers = People(label_studio)
    lee = reviewers.second_user()
    go_on = ("round", "-w", folder, "--review-budget", "3", "--set", "review.double_annotation=1.0")
    assert ok(*go_on, "--reviewer", "studio")["waiting_for"].startswith(
        f"6 reviews in Label Studio: {label_studio.url}"
    )
    tasks = _standing(folder, reviewers)
    disputed, broken, agreed = tasks
    for task in (disputed, agreed):
        reviewers.answer(task["id"], _marked(task, 0))
        reviewers.answer(task["id"], _marked(task, 1 if task is disputed else 0), user=lee)
    reviewers.answer(broken["id"], _marked(broken, 0)[:1])  # a verdict without an answer
    assert "; 2 of them for questions asked again" in ok(*go_on)["waiting_for"]
    again = [task for task in _standing(folder, reviewers) if task["id"] not in {each["id"] for each in tasks}]
    third, once_more = sorted(again, key=lambda task: task["data"]["question_id"] != disputed["data"]["question_id"])
    assert once_more["data"]["question_id"] == broken["data"]["question_id"]
    reviewers.answer(once_more["id"], _marked(once_more, 0))
    reviewers.answer(once_more["id"], _marked(once_more, 0), user=lee)
    reviewers.answer(third["id"], _marked(third, 1), user=lee)  # one of the two: this settles nothing
    told = ok(*go_on)
    assert (told["stage"], told["waiting_for"]) == ("closed", None)
    with at(folder) as runtime:
        labels = {task["data"]["question_id"]: live(runtime, task["data"]["question_id"]) for task in tasks}
        facts = status(runtime)
    assert labels[disputed["data"]["question_id"]] is None
    for task in (broken, agreed):
        label = labels[task["data"]["question_id"]]
        assert label is not None
        assert label.answers[0].text == task["data"]["p1"].split()[0]
    assert facts.reviews.conflicts == (disputed["data"]["question_id"],)
    assert {each.name for each in facts.reviews.reviewers} >= {"lee@example.com"}
    assert label_studio.token not in str(ok("status", "-w", folder))


def _standing(folder: Path, reviewers: People) -> list[dict[str, Any]]:
    """What stands on the server, by id."""
    with at(folder) as runtime, runtime.database.read() as session:
        projects = [row.remote_id for row in queries.projects(session) if row.remote_id is not None]
    return sorted((task for each in projects for task in reviewers.tasks(each)), key=lambda task: task["id"])


def _marked(task: dict[str, Any], word: int) -> list[dict[str, Any]]:
    """The verdict `answerable`, and the n-th word of the first passage as the answer."""
    text = task["data"]["p1"]
    words = text.split()
    start = text.index(words[word])
    verdict = {"from_name": VERDICT, "to_name": "p1", "type": "choices", "value": {"choices": ["answerable"]}}
    value = {"start": start, "end": start + len(words[word]), "text": words[word], "labels": [ANSWER_LABEL]}
    return [verdict, {"from_name": labels_name(1), "to_name": "p1", "type": "labels", "value": value}]


# --- as they are typed ----------------------------------------------------------------------------


def test_waiting_leaves_the_workspace_unlocked_and_continues_when_reviews_arrive(
    folder: Path, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        """What others do meanwhile: the server is away once, then somebody answers everything."""
        slept.append(seconds)
        studio.down = len(slept) == 1
        with at(folder) as other, other.workspace.lock():
            if len(slept) == 2:
                for where in studio.open():
                    studio.answer(where, "no_answer")

    monkeypatch.setattr("time.sleep", sleep)
    ran = run("round", "-w", folder, "--reviewer", "studio", "--wait", "--review-budget", "4", "--json",
              "--set", "studio.poll_seconds=7")  # fmt: skip
    assert ran.code == 0, ran.err
    assert (ran.json["stage"], ran.json["waiting_for"], slept) == ("closed", None, [7.0, 7.0])
    assert "does not answer; trying again later" in ran.err


def test_a_dry_run_forecasts_the_round_and_changes_nothing(folder: Path, studio: FakeStudio) -> None:
    before = (folder / "labeler.db").read_bytes()
    told = ok("round", "-w", folder, "--dry-run", "--reviewer", "people", "--review-budget", "10",
              "--set", "review.double_annotation=0.5")  # fmt: skip
    with at(folder) as runtime, runtime.database.read() as session:
        counts = queries.counts(session).questions
        seconds, examples = queries.models(session)[-1].seconds, queries.models(session)[-1].examples
    assert (folder / "labeler.db").read_bytes() == before
    assert (told["dry_run"], told["round"], told["kind"], told["stage"]) == (True, 1, "loop", None)
    assert told["questions"] == counts["pool"] + counts["calibration"]
    assert told["sequences"] == 2 * told["questions"]  # top_k passages each
    assert (told["tasks"], told["reviews"]) == (10, 15)
    shown = 6 * examples / -(-examples // 8)  # six updates of eight questions each, the last of an epoch with fewer
    per_passage = seconds / shown / 2  # each with a negative
    assert told["reading_minutes"] == pytest.approx(told["sequences"] * per_passage / 3 / 60)
    assert told["training_minutes"] == pytest.approx(6 * 8 * 2 * per_passage / 60)  # pseudo-labels fill the batches
    parts = ("reading_minutes", "training_minutes", "closing_minutes")
    assert told["minutes"] == pytest.approx(sum(told[part] for part in parts))
    assert told["disk"]["kept"] < told["disk"]["peak"] < told["disk"]["free"]
    assert "assumed from the pace of training" in run("round", "-w", folder, "--dry-run").out


def test_an_open_round_is_forecast_from_its_stage_at_the_speed_of_the_last_one(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="people")
    found = forecast(runtime)
    assert (found.stage, found.questions, found.tasks, found.reviewer) == ("in_review", 0, 4, "people")
    machine.run(runtime, accept_partial=True)
    with runtime.database.read() as session:
        (event,) = [each for each in queries.events(session) if each.kind == "predicted"]
    after = forecast(runtime)
    pace = event.detail["seconds"] / event.detail["sequences"]
    assert after.reading_minutes == pytest.approx(after.sequences * pace / 60)


def test_waiting_and_going_on_without_exclude_each_other(folder: Path) -> None:
    assert run("round", "-w", folder, "--wait", "--accept-partial").code == 2


@pytest.mark.parametrize("more", [("--wait",), ("--accept-partial",), ("--rounds", "2")])
def test_a_dry_run_does_not_pass_over_what_it_would_not_look_at(folder: Path, more: tuple[str, ...]) -> None:
    assert run("round", "-w", folder, "--dry-run", *more).code == 2


def test_a_round_opened_before_a_setting_existed_uses_its_default(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    stored = runtime.config.resolved()
    del stored["studio"], stored["review"]["double_annotation"], stored["review"]["passages"]
    assert Config.from_resolved(stored).review.double_annotation == 0
    row = machine.run(runtime, reviewer="people", until="open").round
    with runtime.database.write() as session:
        session.execute(update(ROUNDS).where(ROUNDS.c.number == row.number).values(config=stored))
    assert machine.run(runtime, until="in_review").round.stage == "in_review"
    assert not any("not used" in message for message in caplog.messages)
