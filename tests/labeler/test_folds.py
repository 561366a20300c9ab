"""Fold readers: no question is read by a reader that was taught its paragraph, and all gold labels calibrate."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from db import queries
from labeler.core.round_settings import CalibrateConfig
from labeler.core.runtime import Runtime, with_settings
from labeler.demo.encyclopaedia import make_encyclopaedia
from labeler.maintenance.prune import prune
from labeler.reading import folds, tuning
from labeler.reading.early_exit import fitted_rule, stored_rule
from labeler.rounds import forecast, machine
from labeler.rounds.steps import training
from mrc import pipeline
from mrc.read.predict.adaptive import StoppingRule
from mrc.read.train_config import TrainConfig
from mrc.types import Question
from tests.state import state
from tests.worlds import at, make_workspace

FOLDS = {
    "calibrate__folds": None,  # not set: two, as labels allow them and no question has the role calibration
    "review__random_share": 1.0,
    "review__uncertain_share": 0.0,
    "review__suspect_share": 0.0,
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after a baseline with two fold readers. Not to be changed."""
    folder = make_workspace(tmp_path_factory.mktemp("folds") / "begun", **FOLDS)
    with at(folder) as runtime:
        machine.train(runtime)
    return folder


@pytest.fixture
def copy(begun: Path, tmp_path: Path) -> Path:
    return shutil.copytree(begun, tmp_path / "copy")


def test_a_split_group_is_always_in_the_same_fold_and_folds_are_of_like_size() -> None:
    counts = Counter(folds.fold_of(f"group {number}", 3) for number in range(3000))
    assert sorted(counts) == [0, 1, 2]
    assert min(counts.values()) > 900
    assert [folds.fold_of(f"group {number}", 3) for number in range(4)] == [
        folds.fold_of(f"group {number}", 3) for number in range(4)
    ]


def test_without_a_setting_there_are_two_folds_where_the_labels_allow_them(begun: Path, tmp_path: Path) -> None:
    """The fixture's workspace sets none, and its rounds have two; these have one reader and hold questions out."""
    with at(begun) as runtime, runtime.database.read() as session:
        assert runtime.config.calibrate.folds is None
        assert queries.round_(session, 0).config["calibrate"]["folds"] == 2
        assert folds.fold_count(session, CalibrateConfig(folds=3)) == 3
    one_document = make_encyclopaedia("en", seed=5, documents=1).squad()
    for number, (squad, division) in enumerate(
        ((None, "gold=60,calibration=20,dev=30,pool=60"), (one_document, "gold=3,pool=rest"))
    ):
        folder = make_workspace(tmp_path / str(number), division=division, squad=squad, calibrate__folds=None)
        with at(folder) as runtime, runtime.database.read() as session:
            assert folds.fold_count(session, runtime.config.calibrate) == 1


def test_a_fold_reader_sees_its_labels_as_often_as_the_student_also_with_fixed_updates() -> None:
    assert folds.fold_training(TrainConfig(epochs=3.0), 2) == TrainConfig(epochs=3.0)
    assert folds.fold_training(TrainConfig(max_steps=600), 2).max_steps == 300
    assert folds.fold_training(TrainConfig(max_steps=600), 3).max_steps == 400
    assert folds.fold_training(TrainConfig(max_steps=1), 2).max_steps == 1


def trained_on(runtime: Runtime, name: str, number: int = 0) -> set[str]:
    """The split groups whose labels a model of the round was trained on, by its stored hash."""
    with runtime.database.read() as session:
        rows = queries.training_rows(session, number)
        stored = queries.model_of_round(session, number, name=name)
        assert stored is not None
        (own,) = [
            part
            for part in (rows, *folds.training_folds(rows, 2))
            if queries.training_sha256(part) == stored.training_sha256
        ]
        return {row.question.split_group for row in own}


def test_a_round_trains_a_reader_without_each_fold_and_holds_nothing_out(begun: Path) -> None:
    with at(begun) as runtime:
        every = trained_on(runtime, "student")
        first, second = (trained_on(runtime, folds.name_of(fold, 2)) for fold in (0, 1))
        with runtime.database.read() as session:
            assert not queries.questions(session, roles=["calibration"])
            hashes = {model.hash for model in queries.models(session)}
            best = queries.best_model(session)
    assert first
    assert second
    assert first | second == every
    assert not first & second
    assert len(hashes) == 3
    assert best is not None
    assert best.name == "student"


def test_every_question_is_read_by_a_reader_that_was_not_taught_its_paragraph(copy: Path) -> None:
    with at(copy) as runtime:
        for number in (1, 2):
            with runtime.database.read() as session:
                planned = forecast.forecast(runtime).questions
            row = machine.run(runtime, reviewer="simulated").round
            assert row.promoted, "else the next round has the same teacher"
            with runtime.database.read() as session:
                assert row.teacher_id is not None
                teacher = queries.model(session, row.teacher_id)
                predictions = queries.predictions(session, number)
                questions = {each.id: each for each in queries.questions(session)}
                names = {model.id: model.name for model in queries.models(session)}
                gold = {each.question.id for each in queries.labelled_questions(session, "gold")}
            assert len(predictions) == planned
            used = Counter(names[each.model_id] for each in predictions)
            assert set(used) == {"student", "fold-1-of-2", "fold-2-of-2"}
            taught = {name: trained_on(runtime, name, teacher.round_number) for name in used}
            for each in predictions:
                assert questions[each.question_id].split_group not in taught[names[each.model_id]]
            assert gold <= {each.question_id for each in predictions}
            assert all(each.confidence is not None for each in predictions if each.answers)
            calibrated = [each for each in predictions if each.question_id in gold and each.answers]
            with runtime.database.read() as session:
                calibrator = queries.calibrator(session, row.calibrator_id or 0)
            assert len(calibrator.state["correct"]) >= len(calibrated)
            if number == 2:  # the blind reviews at random of round 1 calibrate too
                assert len(calibrator.state["correct"]) > len(calibrated)


def test_a_training_that_is_killed_between_two_readers_ends_as_an_undisturbed_one(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shutil.copytree(copy, tmp_path / "whole")
    with at(whole) as runtime:
        machine.run(runtime, reviewer="simulated")
        with runtime.database.read() as session:
            expected = state(session)
    train_reader, calls = training.train_reader, 0

    def killed(*args: object, **keys: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return train_reader(*args, **keys)  # type: ignore[arg-type]

    with at(copy) as runtime, monkeypatch.context() as patch:
        patch.setattr(training, "train_reader", killed)
        with pytest.raises(KeyboardInterrupt):
            machine.run(runtime, reviewer="simulated")
    with at(copy) as runtime:
        machine.run(runtime, reviewer="simulated")
        with runtime.database.read() as session:
            assert state(session) == expected


# --- what else must not have seen what it is used on ----------------------------------------------


def test_adaptive_reading_is_fitted_on_out_of_fold_questions_and_stops_early(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, asked = pipeline.held_out_rule, list[dict[str, str]]()

    def watched(questions: Sequence[Question], **given: Any) -> StoppingRule:
        parts = [(questions, given["reader"]), *given["others"]]
        asked.append({each.id: reader.fingerprint for own, reader in parts for each in own})
        return honest(parts[0][0], **given | {"others": parts[1:]})

    monkeypatch.setattr(pipeline, "held_out_rule", watched)
    with at(copy) as runtime:
        settings = {"adaptive": "calibrated", "adaptive_risk": 0.5}
        adaptive = runtime.with_config(with_settings(runtime.config, experimental=settings))
        model, index = runtime.best_model(), runtime.current_index()
        rule = fitted_rule(adaptive, model, index=index)
        assert rule is not None
        assert rule.questions > 0
        assert min(rule.thresholds) < 1, "it may stop: without out-of-fold questions it never did"
        assert stored_rule(adaptive, model, index=index) == rule
        assert len(asked) == 1
        with runtime.database.read() as session:
            gold = {each.question.id: each.question for each in queries.labelled_questions(session, "gold")}
            prints = {runtime.reader(each).fingerprint: each.name for each in queries.models(session)}
        taught = {name: trained_on(runtime, name) for name in prints.values()}
        assert {key for key, each in gold.items() if each.duplicate_of is None} == asked[0].keys()
        for key, reader in asked[0].items():
            assert gold[key].split_group not in taught[prints[reader]]


def test_a_pool_question_is_distilled_from_the_reader_that_was_not_taught_it(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at(copy) as opened:
        every = {"train_share": 1.0, "min_train_confidence": 0.0}
        runtime = opened.with_config(with_settings(opened.config, review=every))
        assert machine.run(runtime, reviewer="none").round.promoted, "else the teacher was taught no pool question"
        row = machine.run(runtime, reviewer="none", until="labelled").round
        soft = runtime.with_config(with_settings(runtime.config, train={"distill_weight": 0.5}))
        given = list[dict[str, Any]]()

        def caught(examples: object, **keywords: Any) -> None:
            given.append(keywords)
            raise KeyboardInterrupt

        monkeypatch.setattr("mrc.read.train.trainer.train", caught)
        with runtime.database.read() as session:
            rows = queries.training_rows(session, row.number)
            names = {runtime.reader(each).fingerprint: each for each in queries.models(session)}
        with pytest.raises(KeyboardInterrupt):
            training.train_reader(soft, row, rows, folder=runtime.workspace.models_folder / "never")
        readers = [names[each.fingerprint] for each in given[0]["teachers"]]
        taught = [trained_on(runtime, each.name, each.round_number) for each in readers]
        pool = [each for each in rows if each.label.kind == "pseudo"]
        assert {each.name for each in readers} == {"student", "fold-1-of-2", "fold-2-of-2"}
        used = {given[0]["teacher_of"][each.question.id] for each in pool}
        assert len(used) > 1
        for each in pool:
            assert each.question.split_group not in taught[given[0]["teacher_of"][each.question.id]]


def test_a_reader_is_tuned_on_questions_that_each_of_its_fold_readers_has_not_seen(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, asked = pipeline.read_candidates, list[tuple[set[str], str]]()

    def watched(questions: Sequence[Question], **given: Any) -> Any:
        asked.append(({each.id for each in questions}, given["reader"].fingerprint))
        return honest(questions, **given)

    monkeypatch.setattr(pipeline, "read_candidates", watched)
    monkeypatch.setattr(folds, "TUNED_ON", 20)
    with at(copy) as runtime:
        model, index = runtime.best_model(), runtime.current_index()
        tuned = tuning.tune(runtime, model, index=index)
        with runtime.database.read() as session:
            questions = {each.id: each for each in queries.questions(session)}
            names = {runtime.reader(each).fingerprint: each.name for each in queries.models(session)}
        taught = {name: trained_on(runtime, name) for name in names.values()}
        assert {names[reader] for _, reader in asked} == {"student", "fold-1-of-2", "fold-2-of-2"}
        for ids, reader in asked:
            roles = {questions[key].role for key in ids}
            assert roles == ({"dev"} if names[reader] == "student" else {"gold"})
            assert not {questions[key].split_group for key in ids} & taught[names[reader]]
        assert sum(len(ids) for ids, reader in asked if names[reader] != "student") == 20
        assert tuning.tune(runtime, model, index=index) == tuned
        assert len(asked) == 3, "it is known, and read once"


def test_prune_keeps_the_fold_readers_that_the_next_round_needs_and_deletes_refused_ones(copy: Path) -> None:
    with at(copy) as runtime:
        machine.run(runtime, reviewer="simulated")
        prune(runtime, keep=1)
        kept = {
            folder.name.partition("-")[2].split("-")[0] for folder in runtime.workspace.models_folder.glob("round-*")
        }
        assert kept == {"0", "1"}
        machine.run(runtime, reviewer="simulated", until="predicted")  # reads with them
    with at(copy) as runtime:
        runtime.workspace.models_folder.joinpath("round-7-0badcafe-fold-1-of-2").mkdir()
        assert "models/round-7-0badcafe-fold-1-of-2" in prune(runtime, keep=1).models


def test_too_few_labels_for_the_folds_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_workspace(tmp_path / "few", division="gold=3,dev=20,test=20,pool=60", calibrate__folds=10)
    with at(folder) as runtime:
        machine.train(runtime)
        row = machine.run(runtime, reviewer="none", until="predicted").round
    assert "too few labels for 10 folds" in caplog.text
    assert row.release is not None
    assert row.release["threshold"] is None
