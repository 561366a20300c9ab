"""Searching again by a reviewer's words: a miss of the retrieval becomes a label and teaches the retriever."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db import queries, store
from db.rows import NewReview, ReviewRow, RoundRow, SpanRow, TaskRow
from labeler.core.runtime import Runtime, with_settings
from labeler.review.agreement import AnswerMatcher, matcher_of
from labeler.review.follow_up import resolve
from labeler.review.searching import MAX_SEARCHES, next_search
from labeler.review.studio.export_parser import ReviewerNames
from labeler.review.studio.files import import_reviews, write_tasks
from labeler.rounds import machine
from labeler.rounds.retriever.examples import recorded_reviews, retriever_examples
from tests.labeler.studio.test_studio_files import annotation, entry, mark, verdict
from tests.worlds import at

NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
MATCHER = AnswerMatcher("squad", "en")


# --- which searches are due -------------------------------------------------------------------------


def a_task(attempt: int = 0, state: str = "done", **changes: Any) -> TaskRow:
    task = TaskRow(attempt + 1, 1, "q", "random", True, 4, (f"p{attempt}",), attempt, 1, state, NOW, None)
    return dataclasses.replace(task, **changes)


def searched(attempt: int, words: str, parent: int, state: str = "open") -> TaskRow:
    return a_task(attempt, state, search=words, searched_from=parent)


def a_review(task: TaskRow, verdict: str, words: str | None = None, reviewer: str = "kim") -> ReviewRow:
    answer = SpanRow("mill", task.passages[0], 0, 4) if verdict == "answerable" else None
    known = {"id": 10 * task.id, "task_id": task.id, "round_number": 1, "question_id": "q", "reviewer": reviewer}
    known |= {"verdict": verdict, "answer": answer, "passages": task.passages, "created_at": NOW, "search_again": words}
    return ReviewRow(**{name: known.get(name) for name in ReviewRow.__dataclass_fields__})  # type: ignore[arg-type]


def due(tasks: list[TaskRow], *reviews: ReviewRow) -> Any:
    by_task: dict[int, list[ReviewRow]] = {}
    for review in reviews:
        by_task.setdefault(review.task_id, []).append(review)
    return next_search(tasks, by_task, MATCHER)


def test_words_with_no_answer_are_searched_once() -> None:
    first = a_task()
    said = a_review(first, "no_answer", "the mill of Tarn")
    search = due([first], said).search
    assert (search.words, search.parent, search.shown, search.attempt) == ("the mill of Tarn", first, ("p0",), 1)
    assert due([first, searched(1, "the mill of Tarn", 0)], said) == due([])


@pytest.mark.parametrize(
    ("verdict", "words", "state"),
    [
        ("no_answer", None, "done"),
        ("answerable", "mill", "done"),
        ("bad_question", "mill", "done"),
        ("skipped", "mill", "skipped"),
        ("no_answer", "mill", "open"),  # one of two people has not answered yet
    ],
)
def test_nothing_is_searched_without_words_or_with_another_verdict(verdict: str, words: str, state: str) -> None:
    first = a_task(state=state)
    assert due([first], a_review(first, verdict, words)) == due([])


def test_a_search_may_follow_a_search_but_not_for_ever() -> None:
    tasks, reviews = [a_task()], [a_review(a_task(), "no_answer", "words")]
    for attempt in range(1, MAX_SEARCHES + 1):
        search = due(tasks, *reviews).search
        assert search.attempt == attempt
        assert search.shown == tuple(f"p{number}" for number in range(attempt)), "the same words find other passages"
        tasks.append(searched(attempt, "words", attempt - 1, "done"))
        reviews.append(a_review(tasks[-1], "no_answer", "words"))
    assert due(tasks, *reviews) == due([])


def test_a_search_that_is_not_asked_for_any_more_is_withdrawn_unless_it_is_answered() -> None:
    first, second = a_task(), searched(1, "mill", 0)
    changed = a_review(first, "no_answer", "bridge")
    found = due([first, second], changed)
    assert found.withdraw == (second.id,)
    assert found.search.words == "bridge"
    answered = dataclasses.replace(second, state="done")
    assert due([first, answered], changed, a_review(answered, "answerable")).withdraw == ()
    withdrawn = dataclasses.replace(second, state="withdrawn", withdrawn_at=NOW)
    again = due([first, withdrawn], a_review(first, "no_answer", "mill"))
    assert (again.search, again.reopen) == (None, (second.id,))


# --- from a file of reviews to a label --------------------------------------------------------------


@pytest.fixture
def runtime(baseline: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A round in review, whose tasks show one passage each."""
    with at(shutil.copytree(baseline, tmp_path / "ws")) as opened:
        shown = {"passages": 1, "random_share": 1.0, "uncertain_share": 0.0, "suspect_share": 0.0, "review_budget": 3}
        yield opened.with_config(with_settings(opened.config, review=shown))


def in_review(runtime: Runtime) -> RoundRow:
    return machine.run(runtime, reviewer="people", until="in_review").round


def open_tasks(runtime: Runtime) -> list[TaskRow]:
    with runtime.database.read() as session:
        return queries.tasks(session, states=["open"])


def hidden_sentence(runtime: Runtime, task: TaskRow) -> tuple[str, str]:
    """A passage that the task does not show, and a word of it that is the answer."""
    with runtime.database.read() as session:
        held_out = queries.held_out_passages(session)
        passage = next(
            each for each in queries.iter_passages(session) if each.id not in held_out and each.id not in task.passages
        )
    return passage.id, passage.text


def typed(words: str) -> dict[str, Any]:
    value = {"text": [words]}
    return {"from_name": "search_again", "to_name": "p1", "type": "textarea", "value": value}


def write(runtime: Runtime, folder: Path) -> dict[str, dict[str, Any]]:
    """Question id -> its task in the review file."""
    write_tasks(runtime, folder)
    return {
        each["data"]["question_id"]: each for file in folder.glob("*.json") for each in json.loads(file.read_text())
    }


def bring_back(runtime: Runtime, file: Path, *entries: Any) -> Any:
    file.write_text(json.dumps(list(entries)), encoding="utf-8")
    return import_reviews(runtime, [str(file)], ReviewerNames("kim"))


def test_a_retrieval_miss_becomes_a_label_and_a_training_pair_of_the_retriever(
    runtime: Runtime, tmp_path: Path
) -> None:
    row = in_review(runtime)
    tasks = open_tasks(runtime)
    missed, others = tasks[0], tasks[1:]
    right, text = hidden_sentence(runtime, missed)
    written = write(runtime, tmp_path / "first")
    said = [annotation(1, [verdict("no_answer"), typed(text)])]
    rest = [
        entry(written[each.question_id], annotation(number, [verdict("bad_question")]))
        for number, each in enumerate(others, start=2)
    ]
    bring_back(runtime, tmp_path / "first.json", entry(written[missed.question_id], *said), *rest)
    (again,) = open_tasks(runtime)
    assert (again.question_id, again.attempt, again.search, again.searched_from) == (missed.question_id, 1, text, 0)
    assert (again.kind, again.blind, again.position) == (missed.kind, missed.blind, missed.position)
    assert again.passages == (right,), "the words are those of this passage"
    (shown,) = write(runtime, tmp_path / "second").values()
    assert shown["data"]["p1"] == text
    assert resolve(runtime, row.number) == 0, "nothing more is due"
    word = text.split()[0]
    bring_back(
        runtime, tmp_path / "second.json", entry(shown, annotation(9, [mark(shown, word), verdict("answerable")]))
    )
    assert open_tasks(runtime) == []
    machine.run(runtime, until="labelled")
    with runtime.database.read() as session:
        (label,) = queries.live_labels(session, kinds=["human"], question_ids=[missed.question_id])
        rows = [each for each in queries.training_rows(session, row.number) if each.label.id == label.id]
        reviews = recorded_reviews(session, rows)
    assert [(each.text, each.passage_id) for each in label.answers] == [(word, right)]
    index = runtime.index(row.index_fingerprint)
    (pair,) = retriever_examples(rows, index, reviews, trainable=set(index.ids))
    assert pair.positives == (right,)
    assert pair.negatives[:1] == missed.passages, "what was retrieved at first is the first hard negative"


def test_where_nothing_more_is_found_the_first_answer_stays(
    runtime: Runtime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_review(runtime)
    task = open_tasks(runtime)[0]
    written = write(runtime, tmp_path / "tasks")
    words = annotation(1, [verdict("no_answer"), typed("xyzzy qwxz")])
    with caplog.at_level("INFO", logger="labeler"):
        bring_back(runtime, tmp_path / "reviews.json", entry(written[task.question_id], words))
    assert all(each.search is None for each in open_tasks(runtime))
    assert "1 of 1 searches by reviewers found no further passage" in caplog.text


def test_without_an_index_the_log_says_that_nothing_can_be_searched(
    runtime: Runtime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = in_review(runtime)
    task = open_tasks(runtime)[0]
    assert row.index_fingerprint is not None
    shutil.rmtree(runtime.index_folder(row.index_fingerprint))
    runtime._indexes.clear()
    new = NewReview(task.id, "kim", "no_answer", search_again="the mill")
    with runtime.database.write() as session:
        store.record_review(session, new)
    assert resolve(runtime, row.number) == 0
    assert "cannot search again for 1 questions" in caplog.text


def test_two_people_who_disagree_about_what_was_found_are_adjudicated_there(runtime: Runtime) -> None:
    """Votes on the first passages do not bar anybody from the next ones."""
    runtime = runtime.with_config(with_settings(runtime.config, review={"double_annotation": 1.0}))
    row = in_review(runtime)
    task = open_tasks(runtime)[0]
    _, text = hidden_sentence(runtime, task)

    def say(on: TaskRow, who: str, verdict: str, answer: SpanRow | None = None, words: str | None = None) -> None:
        with runtime.database.write() as session:
            store.record_review(session, NewReview(on.id, who, verdict, answer, search_again=words))
        resolve(runtime, row.number)

    say(task, "kim", "no_answer", words=text)
    assert all(each.search is None for each in open_tasks(runtime)), "the other one may find the answer"
    say(task, "lee", "no_answer")
    (second,) = [each for each in open_tasks(runtime) if each.search]
    assert second.reviewers == 2
    with runtime.database.read() as session:
        found = queries.passages(session, second.passages)[second.passages[0]]
    say(second, "kim", "answerable", SpanRow(found.text[:4], found.id, 0, 4))
    say(second, "lee", "no_answer")
    (third,) = [each for each in open_tasks(runtime) if each.search]
    assert (third.kind, third.search, third.searched_from) == ("adjudication", second.search, second.searched_from)
    say(third, "park", "answerable", SpanRow(found.text[:4], found.id, 0, 4))
    assert not [each for each in open_tasks(runtime) if each.search]
    with runtime.database.read() as session:
        attempts = [each for each in queries.tasks(session) if each.question_id == task.question_id]
    assert [each.state for each in attempts] == ["done", "conflict", "done"]
    assert matcher_of(runtime).metric == "squad"
