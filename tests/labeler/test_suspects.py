"""Labels that readers contradict out of fold: found, ranked, reviewed again blind, corrected with their history."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries, store
from db.rows import LabelRow, NewReview, SpanRow, TaskRow
from db.store.question import exclude
from labeler.core.runtime import Runtime
from labeler.labels.export import export_labels
from labeler.review.presentation import passage_order
from labeler.review.suspects import Suspect, expected_gain, find_suspects, queue, queued
from labeler.rounds import machine
from labeler.rounds.drift import measure_drift
from tests.commands import ok, run
from tests.scripted import make_releasing, scripted

FOLDS = {"calibrate__folds": 2, "train__max_steps": 2, "train__checkpoint_every": 2}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two fold readers after its baseline. Not to be changed."""
    folder = make_releasing(tmp_path_factory.mktemp("suspects") / "begun", **FOLDS)
    with scripted(folder) as runtime:
        machine.train(runtime)
    return folder


@pytest.fixture(scope="module")
def spoiled(begun: Path) -> tuple[Path, str, str]:
    """The same, predicted, with a wrong gold label: the folder, its question, and the right answer.

    The label is that of the gold question which the reader answers rightly with the highest confidence.
    """
    folder = shutil.copytree(begun, begun.with_name("spoiled"))
    with scripted(folder) as runtime:
        machine.run(runtime, reviewer="people", until="predicted")
        key, right = _most_certain(runtime)
        with runtime.database.write() as session:
            label = label_of(runtime, key)
            passage = queries.passages(session, [label.answers[0].passage_id])[label.answers[0].passage_id]
            wrong = passage.text.split()[-1].rstrip(".")
            span = SpanRow(wrong, passage.id, passage.text.rindex(wrong), passage.text.rindex(wrong) + len(wrong))
            store.set_label(session, key, [span], reviewer="a careless one")
    return folder, key, right


@pytest.fixture
def world(spoiled: tuple[Path, str, str], tmp_path: Path) -> Iterator[tuple[Runtime, str, str]]:
    """To be changed: the runtime, the question of the wrong label, and the right answer."""
    folder, key, right = spoiled
    with scripted(shutil.copytree(folder, tmp_path / "copy")) as runtime:
        yield runtime, key, right


def _most_certain(runtime: Runtime) -> tuple[str, str]:
    with runtime.database.read() as session:
        golds = {row.question_id: row for row in queries.live_labels(session, kinds=["gold"], roles=["gold"])}
        found = [
            (entry.confidence or 0.0, entry.question_id, entry.answers[0].text)
            for entry in queries.iter_predictions(session, 1)
            if entry.question_id in golds and entry.answers[0].text in golds[entry.question_id].gold_texts
        ]
    return max(found)[1:]


def label_of(runtime: Runtime, key: str) -> LabelRow:
    with runtime.database.read() as session:
        (label,) = queries.live_labels(session, question_ids=[key])
        return label


def suspects(runtime: Runtime, *, least: float = 0.0) -> list[Suspect]:
    with runtime.database.read() as session:
        return find_suspects(session, metric=runtime.metric, least=least)


# --- finding --------------------------------------------------------------------------------------


def test_a_wrong_gold_label_is_the_first_suspect_and_names_the_reader_that_did_not_see_it(
    world: tuple[Runtime, str, str],
) -> None:
    runtime, key, right = world
    first = suspects(runtime)[0]
    assert (first.question_id, first.answer, first.role) == (key, right, "gold")
    assert first.gold == first.golds[0] == label_of(runtime, key).answers[0].text != right
    assert first.reader.startswith("fold-")
    assert 0 < first.gain <= 1


def test_labels_that_readers_confirm_are_no_suspects(world: tuple[Runtime, str, str]) -> None:
    runtime, _, _ = world
    for each in suspects(runtime):
        assert each.answer not in each.golds
        assert each.kind in ("gold", "human")


def test_suspects_are_ranked_by_gain_and_limited_by_confidence(world: tuple[Runtime, str, str]) -> None:
    runtime, _, _ = world
    every = suspects(runtime)
    assert [each.gain for each in every] == sorted((each.gain for each in every), reverse=True)
    middle = sorted(each.confidence for each in every)[len(every) // 2]
    some = suspects(runtime, least=middle)
    assert some == [each for each in every if each.confidence >= middle]
    assert 0 < len(some) < len(every)


def test_the_gain_grows_with_the_confidence_and_falls_with_the_overlap() -> None:
    """At a confidence of .95, .05 * .95 of labels are wrong and contradicted, and .95 * .05 right and contradicted."""
    assert expected_gain(0.95, 0.0) == pytest.approx(0.5)
    assert expected_gain(0.95, 0.5) == pytest.approx(0.25)
    assert expected_gain(0.5, 0.0) == pytest.approx(0.05)
    assert expected_gain(1.0, 0.0) == 1.0
    assert expected_gain(0.0, 0.0) == 0.0


def test_a_reader_that_was_taught_the_paragraph_says_nothing_about_its_labels(tmp_path: Path) -> None:
    """Without folds only calibration questions are answered by a reader that did not see them."""
    with scripted(make_releasing(tmp_path / "ws")) as runtime:
        machine.train(runtime)
        machine.run(runtime, reviewer="simulated", until="labelled")
        found = suspects(runtime)
        assert {each.role for each in found} <= {"calibration", "pool"}
        assert any(each.role == "calibration" for each in found)
        with runtime.database.read() as session:
            taught = queries.taught_split_groups(session, 0)
            groups = {row.id: row.split_group for row in queries.questions(session)}
        assert not [each for each in found if groups[each.question_id] in taught]


# --- reviewing again ------------------------------------------------------------------------------


def asked_again(runtime: Runtime, key: str) -> TaskRow:
    """Queue the label, run the round until its tasks wait for people, and return the label's task."""
    with runtime.database.write() as session:
        assert queue(session, [key]) == 1
    machine.run(runtime, until="in_review")
    with runtime.database.read() as session:
        assert queued(session) == []
        (task,) = [each for each in queries.tasks(session, round_number=1) if each.question_id == key]
    return task


def finish(runtime: Runtime, task: TaskRow, verdict: str, text: str | None = None) -> None:
    """A person answers the task, then the round labels with the reviews so far."""
    answer = None
    if text is not None:
        passage = next(each for each in runtime.fetch(task.passages).values() if text in each.text)
        start = passage.text.index(text)
        answer = SpanRow(text, passage.id, start, start + len(text))
    with runtime.database.write() as session:
        store.record_review(session, NewReview(task.id, "kim", verdict, answer, seconds=9.0, source="terminal"))
    machine.run(runtime, until="labelled", accept_partial=True)


def test_the_task_is_blind_and_shows_the_passage_of_the_label(world: tuple[Runtime, str, str]) -> None:
    runtime, key, _ = world
    task = asked_again(runtime, key)
    assert (task.kind, task.blind) == ("suspect", True)
    assert label_of(runtime, key).answers[0].passage_id in task.passages
    turned = dataclasses.replace(task, passages=task.passages[::-1])
    assert passage_order(turned) == passage_order(task), "no place tells which passage the label is from"


def test_a_corrected_label_replaces_the_wrong_one_and_the_history_keeps_both(world: tuple[Runtime, str, str]) -> None:
    runtime, key, right = world
    wrong = label_of(runtime, key)
    finish(runtime, asked_again(runtime, key), "answerable", right)
    now = label_of(runtime, key)
    assert (now.answers[0].text, now.kind, now.reviewer, now.parent_id) == (right, "human", "kim", wrong.id)
    said = run("labels", "history", key, "-w", runtime.workspace.folder).out
    assert f"replaces label {wrong.id}" in said
    assert "suspect, blind" in said
    assert key not in {each.question_id for each in suspects(runtime)}, "it was reviewed again"


def test_a_confirmed_label_stays_with_all_its_golds_and_is_not_asked_a_third_time(
    world: tuple[Runtime, str, str],
) -> None:
    runtime, key, _ = world
    before = label_of(runtime, key)
    finish(runtime, asked_again(runtime, key), "answerable", before.answers[0].text)
    assert label_of(runtime, key) == before
    with runtime.database.read() as session:
        assert [each.kind for each in queries.events(session) if each.question_id == key][-1] == "label_kept"
    assert key not in {each.question_id for each in suspects(runtime)}


def test_a_skipped_label_stays(world: tuple[Runtime, str, str]) -> None:
    runtime, key, _ = world
    before = label_of(runtime, key)
    finish(runtime, asked_again(runtime, key), "skipped")
    assert label_of(runtime, key) == before
    assert key in taught(runtime)


def taught(runtime: Runtime) -> set[str]:
    """The questions whose labels may teach now."""
    with runtime.database.read() as session:
        return {row.question.id for row in queries.training_labels(session)}


def test_a_label_of_a_bad_question_stays_in_the_history_and_neither_teaches_nor_leaves(
    world: tuple[Runtime, str, str], tmp_path: Path
) -> None:
    runtime, key, right = world
    before = label_of(runtime, key)
    assert key in taught(runtime)
    finish(runtime, asked_again(runtime, key), "bad_question")
    assert label_of(runtime, key) == before
    assert key not in taught(runtime)
    report = export_labels(runtime.database, tmp_path / "o.jsonl", format="jsonl", kinds=["gold", "human"])
    assert f'"{key}"' not in (tmp_path / "o.jsonl").read_text(encoding="utf-8")
    assert report.left_out["labels of questions that reviewers rejected as bad"] == 1
    assert key not in {each.question_id for each in suspects(runtime)}, "it was reviewed again"
    with runtime.database.write() as session:  # a person finds an answer after all
        passage = queries.passages(session, [before.answers[0].passage_id])[before.answers[0].passage_id]
        start = passage.text.index(right)
        store.set_label(session, key, [SpanRow(right, passage.id, start, start + len(right))], reviewer="kim")
    assert key in taught(runtime)


def test_a_bad_question_of_a_held_out_role_is_not_evaluated(world: tuple[Runtime, str, str]) -> None:
    runtime, _, _ = world
    with runtime.database.write() as session:
        (first, *others) = queries.labelled_questions(session, "dev")
        exclude(session, [first.question.id], reason="bad question in round 1")
        assert queries.labelled_questions(session, "dev") == others


def test_no_answer_in_the_label_s_own_passage_takes_the_label_back(world: tuple[Runtime, str, str]) -> None:
    runtime, key, _ = world
    finish(runtime, asked_again(runtime, key), "no_answer")
    assert label_of(runtime, key).no_answer


def test_suspect_labels_are_no_fair_sample_for_the_alarm(world: tuple[Runtime, str, str]) -> None:
    """The audit of confidences counts blind random questions alone."""
    runtime, key, right = world
    finish(runtime, asked_again(runtime, key), "answerable", right)
    with runtime.database.read() as session:
        row = queries.round_(session, 1)
        assert (row.release or {})["audit"]["items"] == 0
        assert measure_drift(runtime, session, row).overconfidence is None


def test_without_a_reviewer_the_queue_waits(world: tuple[Runtime, str, str]) -> None:
    runtime, key, _ = world
    with runtime.database.write() as session:
        queue(session, [key])
        assert queue(session, [key]) == 1, "a label waits once"
    machine.run(runtime, reviewer="none", until="labelled")
    with runtime.database.read() as session:
        assert queued(session) == [key]


# --- the command ----------------------------------------------------------------------------------


def test_the_command_lists_and_sends(world: tuple[Runtime, str, str]) -> None:
    runtime, key, right = world
    at_ws = ("-w", runtime.workspace.folder)
    found = ok("suspects", "--min-confidence", "0", *at_ws)
    assert (found["suspects"][0]["question_id"], found["suspects"][0]["answer"]) == (key, right)
    assert found["queued"] is None
    assert found["total"] == len(found["suspects"]) > 1
    said = run("suspects", "--min-confidence", "0", "--limit", "1", *at_ws).out
    assert right in said
    assert f"1 of {found['total']}" in said
    sent = ok("suspects", "--min-confidence", "0", "--review", "--limit", "1", *at_ws)
    assert sent["queued"] == 1
    with runtime.database.read() as session:
        assert queued(session) == [key]


def test_without_suspects_the_command_says_what_helps(begun: Path) -> None:
    assert "calibrate.folds" in run("suspects", "-w", begun).out
    assert ok("suspects", "-w", begun)["suspects"] == []
