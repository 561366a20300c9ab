"""Rounds on a miniature world: what is labelled, promoted, refused, reverted, and that nothing leaks."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db import queries, store
from db.errors import Conflict
from labeler.core.config import FILE_NAME, load_config
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime, with_settings
from labeler.evaluation import reader_metrics
from labeler.evaluation.evaluate import evaluate
from labeler.importing.ingest import import_files
from labeler.reading.ask import ask
from labeler.rounds import history, machine, resolved_settings
from labeler.rounds.gate import Verdict
from labeler.rounds.steps import opening, promotion, training
from mrc import pipeline
from mrc.errors import BadCheckpoint
from tests.state import state
from tests.worlds import at, make_workspace


@pytest.fixture(scope="module")
def played(baseline: Path) -> Path:
    """The same workspace after one round with the simulated reviewer."""
    folder = shutil.copytree(baseline, baseline.with_name("played"))
    with at(folder) as runtime:
        assert machine.run(runtime, reviewer="simulated").round.stage == "closed"
    return folder


@pytest.fixture
def runtime(played: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A copy of the played workspace that a test may change."""
    with at(shutil.copytree(played, tmp_path / "copy")) as opened:
        yield opened


def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the gate refuse whatever it sees."""
    honest = promotion.compare

    def refuse(*rows: object, **settings: object) -> Verdict:
        return dataclasses.replace(honest(*rows, **settings), promoted=False, why="refused: by this test")  # type: ignore[arg-type]

    monkeypatch.setattr(promotion, "compare", refuse)


def test_the_baseline_holds_out_calibration_questions_and_trains_on_the_other_gold(baseline: Path) -> None:
    with at(baseline) as runtime, runtime.database.read() as session:
        counts = queries.counts(session).questions
        taught = queries.training_rows(session, 0)
    assert counts["calibration"] == 12  # a fifth of 60
    assert {row.label.kind for row in taught} == {"gold"}
    assert len(taught) == counts["gold"]


def test_no_held_out_question_or_passage_trains(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        held = {row.id for role in ("dev", "test", "calibration") for row in queries.questions(session, roles=[role])}
        held_out = queries.held_out_passages(session)
        for number in (0, 1):
            for row in queries.training_rows(session, number):
                assert row.question.id not in held
                assert not {answer.passage_id for answer in row.label.answers} & held_out


def test_mined_negatives_hold_no_answer_and_no_held_out_passage(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        rows, row = queries.training_rows(session, 1), queries.round_(session, 1)
        held_out = queries.held_out_passages(session)
        forbidden = {passage.text for passage in queries.passages(session, held_out).values()}
    answered = [each for each in training.training_examples(runtime, row, rows, held_out) if each.golds]
    assert any(each.negatives for each in answered)
    for each in answered:
        for text in each.negatives:
            assert text not in forbidden
            assert all(gold.lower() not in text.lower() for gold in each.golds)


def test_each_reviewed_question_has_a_human_label_or_a_reason_to_have_none(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        reviews = queries.reviews(session, round_number=1)
        human = {label.question_id for label in queries.live_labels(session, kinds=["human"])}
        pseudo = {label.question_id for label in queries.live_labels(session, kinds=["pseudo"])}
    assert len(reviews) == 12
    assert human == {row.question_id for row in reviews if row.verdict in ("answerable", "no_answer")}
    assert not human & pseudo


def test_a_round_counts_the_labels_it_wrote_live_or_withdrawn(runtime: Runtime) -> None:
    told = [history.all_rounds(runtime)[1]["written"]]
    with runtime.database.read() as session:
        made = queries.labels(session, round_number=1)
    assert told[0] == {
        "human": sum(label.kind == "human" for label in made),
        "pseudo": sum(label.kind == "pseudo" for label in made),
        "trained_on": sum(label.kind == "pseudo" and label.train_weight > 0 for label in made),
    }
    assert told[0]["human"]
    machine.run(runtime, reviewer="none")
    history.revert(runtime, 2, with_reviews=False)  # gives round 1's pseudo-labels back as copies
    told.append(history.all_rounds(runtime)[1]["written"])
    assert told[0] == told[1]


def test_a_second_run_after_the_round_opens_the_next_one(runtime: Runtime) -> None:
    assert machine.run(runtime, reviewer="none").round.number == 2


def test_without_a_reviewer_there_are_no_tasks(runtime: Runtime) -> None:
    row = machine.run(runtime, reviewer="none", until="labelled").round
    with runtime.database.read() as session:
        assert queries.tasks(session, round_number=row.number) == []


def test_a_refused_round_keeps_its_human_labels_and_gives_the_old_pseudo_labels_back(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch)
    before = live(runtime, "pseudo")
    row = machine.run(runtime, reviewer="simulated").round
    after = live(runtime, "pseudo")
    assert row.promoted is False
    assert runtime.best_model().round_number < row.number
    reviewed = live(runtime, "human")
    assert after == {key: text for key, text in before.items() if key not in reviewed}


def live(runtime: Runtime, kind: str) -> dict[str, str]:
    """Question id -> answer of the live labels of a kind; empty text for "no answer"."""
    with runtime.database.read() as session:
        rows = queries.live_labels(session, kinds=[kind])
    return {row.question_id: row.answers[0].text if row.answers else "" for row in rows}


def test_reverting_a_round_restores_the_reader_and_the_labels_before_it(runtime: Runtime, baseline: Path) -> None:
    told = history.revert(runtime, 1, with_reviews=True)
    assert told["reverted"] == [1]
    assert runtime.best_model().round_number == 0
    assert (live(runtime, "human"), live(runtime, "pseudo")) == ({}, {})
    with at(baseline) as before:
        assert live(runtime, "gold") == live(before, "gold")


def test_the_history_of_a_question_survives_a_revert(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        written = len(queries.labels(session))
        question = queries.reviews(session, round_number=1)[0].question_id
    history.revert(runtime, 1, with_reviews=True)
    with runtime.database.read() as session:
        assert len(queries.labels(session)) >= written
        kinds = {event.kind for event in queries.history(session, question)}
    assert {"review", "prediction", "task"} <= kinds


def test_a_round_continues_with_the_settings_it_was_opened_with(runtime: Runtime) -> None:
    opening.open_next(runtime, reviewer="none")
    changed = runtime.with_config(resolved_settings.resolve(runtime))
    with runtime.database.write() as session:
        row = queries.current_round(session)
        assert row is not None
    status = machine.run(changed, until="predicted")
    assert status.round.config == row.config


def test_settings_that_an_open_round_does_not_use_are_named(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    machine.run(runtime, reviewer="none", until="open")
    given = load_config(
        runtime.workspace.folder / FILE_NAME, environ={}, overrides=["review.review_budget=99", "train.start=elsewhere"]
    )
    machine.run(runtime.with_config(given), until="open")
    stays = runtime.config.review.review_budget, resolved_settings.resolve_start(runtime)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "round 2 continues with the settings it was opened with; not used: "
        f"review.review_budget (stays {stays[0]}), train.start (stays {stays[1]})"
    ]


def test_threads_and_studio_settings_of_now_apply_to_an_open_round(runtime: Runtime) -> None:
    row = machine.run(runtime, reviewer="none", until="open").round
    changed = with_settings(
        runtime.config, compute={"threads": 3}, studio={"batch_size": 7}, review={"review_budget": 99}
    )
    used = resolved_settings.of_round(runtime.with_config(changed), row).config
    assert (used.compute.threads, used.studio.batch_size) == (3, 7)
    assert used.review.review_budget == runtime.config.review.review_budget


def test_predicting_a_later_stage_again_changes_nothing(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="simulated", until="in_review")
    assert machine.predict(runtime).stage == "in_review"


def test_a_round_is_judged_with_its_own_index_after_a_later_import(runtime: Runtime, tmp_path: Path) -> None:
    machine.run(runtime, reviewer="none", until="trained")
    late = tmp_path / "late.txt"
    late.write_text("A passage that came while the round was open.", encoding="utf-8")
    import_files(runtime.database, [str(late)], role="corpus")
    assert machine.run(runtime).round.stage == "closed"


def test_training_between_rounds_is_a_round_of_kind_retrain_and_judged(runtime: Runtime) -> None:
    trained = machine.train(runtime)
    with runtime.database.read() as session:
        row = queries.round_(session, trained.round)
    assert (row.kind, row.stage) == ("retrain", "closed")


def test_training_in_the_middle_of_a_round_names_the_command_to_run(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="none", until="predicted")
    with pytest.raises(NotReady, match="labeler round"):
        machine.train(runtime)


def test_a_stale_index_is_named_before_a_round_opens(runtime: Runtime) -> None:
    with runtime.database.write() as session:
        undone = queries.imports(session)[0].id
        store.undo_import(session, undone)
    with pytest.raises(Exception, match="labeler index"):
        machine.run(runtime, reviewer="none")


def test_evaluation_is_made_once_and_then_read(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate(runtime, "test")
    monkeypatch.setattr(reader_metrics, "compute_scores", None)
    assert evaluate(runtime, "test") == first


def test_evaluation_is_made_anew_under_another_precision(runtime: Runtime) -> None:
    evaluate(runtime, "test")
    other = with_settings(runtime.config, compute={"precision": "bf16"})
    evaluate(runtime.with_config(other), "test")
    with runtime.database.read() as session:
        keys = [row.key for row in queries.evaluations(session, split="test")]
    assert len(keys) == 4  # the gold passage and end to end, each in two precisions
    assert len(set(keys)) == 4


def test_an_answer_has_a_confidence_if_as_many_passages_were_read_as_when_it_was_calibrated(runtime: Runtime) -> None:
    assert ask(runtime, "Who built it?")[0].confidence is None  # nothing is known of a student fresh from training
    machine.run(runtime, reviewer="none", until="predicted")
    assert runtime.config.read.top_k == 2
    confident, other = (ask(runtime, "Who built it?", k=k) for k in (2, 1))
    assert ask(runtime, "Who built it?") == confident
    assert confident[0].confidence is not None
    assert [other[0].confidence, *(each.confidence for each in confident[1:])] == [None] * len(confident)


def test_answers_are_merged_by_the_metric_of_the_workspace(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, seen = pipeline.answer, []

    def answer(*questions: Any, metric: Any, **settings: Any) -> Any:
        seen.append(metric)
        return honest(*questions, metric=metric, **settings)

    monkeypatch.setattr(pipeline, "answer", answer)
    ask(runtime.with_config(with_settings(runtime.config, workspace={"metric": "korquad"})), "Who built it?")
    assert seen == ["korquad"]


def test_a_reader_whose_files_changed_is_not_used(runtime: Runtime) -> None:
    weights = runtime.workspace.folder / runtime.best_model().path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="labeler train"):
        runtime.reader(runtime.best_model())


def test_a_pool_without_gold_labels_starts_with_a_random_blind_sample(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "cold", division="test=20,pool=60")
    with at(folder) as runtime:
        row = machine.run(runtime, reviewer="simulated").round
        with runtime.database.read() as session:
            tasks = queries.tasks(session, round_number=row.number)
            questions = queries.questions(session)
    assert (row.kind, row.stage, row.promoted) == ("cold", "closed", True)
    assert all(task.blind and task.kind == "random" for task in tasks)
    sides: dict[str, set[str]] = {}
    for question in questions:
        sides.setdefault(question.split_group, set()).add(question.role)
    assert {"calibration", "pool"} <= set.union(*sides.values())
    assert all(len(roles) == 1 for roles in sides.values()), "units are held out whole, reviewed or not"


@pytest.fixture
def unlabelled(tmp_path: Path) -> Iterator[Runtime]:
    """A workspace of a pool and a few test questions, without gold labels."""
    folder = make_workspace(tmp_path / "unlabelled", division="test=20,pool=60", review__review_budget=0)
    with at(folder) as opened:
        yield opened


def gold_file(tmp_path: Path) -> str:
    context = "The mill of Orrin was built in 1712 by Tamsin Hale."
    qas = [
        {"id": str(number), "question": question, "answers": [{"text": text, "answer_start": context.index(text)}]}
        for number, (question, text) in enumerate([("When was the mill built?", "1712"), ("By whom?", "Tamsin Hale")])
    ]
    file = tmp_path / "gold.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}), encoding="utf-8")
    return str(file)


def test_without_gold_and_without_a_reviewer_no_round_is_opened(unlabelled: Runtime) -> None:
    with pytest.raises(NotReady, match="--as gold"):
        machine.run(unlabelled, reviewer="none")
    assert machine.current(unlabelled) is None


def test_predicting_without_a_reader_names_the_command_to_run(unlabelled: Runtime) -> None:
    with pytest.raises(NotReady, match="labeler train"):
        machine.predict(unlabelled)
    assert machine.current(unlabelled) is None


def test_a_cold_start_without_any_answer_waits_for_gold_labels(unlabelled: Runtime, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="--as gold"):
        machine.run(unlabelled, reviewer="simulated")
    import_files(unlabelled.database, [gold_file(tmp_path)], role="gold")
    row = machine.run(unlabelled).round
    assert (row.kind, row.stage, row.promoted) == ("cold", "closed", True)


def test_a_first_round_that_cannot_train_can_be_reverted_and_replaced(tmp_path: Path) -> None:
    with at(make_workspace(tmp_path / "first")) as runtime:
        opening.open_baseline(runtime)
        assert history.revert(runtime, 0, with_reviews=False)["reverted"] == [0]
        assert machine.train(runtime).round == 1
        with pytest.raises(Conflict, match="all others build on"):
            history.revert(runtime, 1, with_reviews=False)


def test_two_runs_on_the_same_data_end_in_the_same_state(baseline: Path, played: Path, tmp_path: Path) -> None:
    again = shutil.copytree(baseline, tmp_path / "again")
    with at(again) as runtime:
        machine.run(runtime, reviewer="simulated")
        with runtime.database.read() as session:
            second = state(session)
    with at(played) as runtime, runtime.database.read() as session:
        assert state(session) == second
