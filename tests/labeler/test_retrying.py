"""A student that fell into a bad seed is trained once more, and the better of the two is judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db import queries
from db.rows import ModelRow
from labeler.cli.describe.rounds import summary_text
from labeler.rounds import history, machine
from labeler.rounds.gate import Verdict
from labeler.rounds.steps import promotion, retrying, training
from labeler.rounds.steps.retrying import SECOND, SEED_STEP, bad_seed, is_better
from mrc.errors import TrainingDiverged
from tests.commands import run
from tests.state import state
from tests.worlds import at

GOOD = Verdict(True, "promoted", False, 200, 0.5, 0.6, 0.01, 0.0, 0.1, 0.9, 0.05)
BAD = replace(GOOD, promoted=False, exact_match=0.4, f1=0.5, exact_match_change=-0.1, mcnemar_p=0.01)


def why(verdict: Verdict = GOOD, losses: tuple[float, ...] = (5.0, 1.0), **more: Any) -> str | None:
    return bad_seed(verdict, losses, **({"updates": 100, "refuse_below_p": 0.1, "compared": True} | more))


# --- the rule -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "bad"), [(0.0999, True), (0.1, False), (0.9, False)])
def test_a_student_worse_by_mcnemars_test_has_a_bad_seed(p: float, bad: bool) -> None:
    assert (why(replace(BAD, mcnemar_p=p)) is not None) is bad


def test_a_first_reader_or_one_without_dev_questions_is_judged_by_its_loss_alone() -> None:
    assert why(BAD, compared=False) is None
    assert why(replace(BAD, questions=0)) is None


def test_a_refused_student_that_is_not_surely_worse_keeps_its_seed() -> None:
    assert why(replace(BAD, mcnemar_p=0.3)) is None


@pytest.mark.parametrize(
    ("losses", "updates", "bad"),
    [((5.0, 5.0), 30, True), ((5.0, 4.99), 30, False), ((5.0, 6.0), 29, False), ((), 100, False), ((5.0,), 99, False)],
)
def test_a_loss_that_does_not_fall_is_a_bad_seed(losses: tuple[float, ...], updates: int, bad: bool) -> None:
    for compared in (True, False):
        assert (why(GOOD, losses, updates=updates, compared=compared) is not None) is bad


def test_the_better_one_has_the_higher_em_then_f1_and_ties_stay_with_the_first() -> None:
    def better(second: Verdict, losses: tuple[float | None, float | None] = (1.0, 2.0)) -> bool:
        return is_better(second, GOOD, second_loss=losses[0], first_loss=losses[1])

    assert better(replace(GOOD, exact_match=0.51, f1=0.1))
    assert better(replace(GOOD, f1=0.61))
    assert not better(GOOD)
    assert not better(replace(GOOD, exact_match=0.49, f1=0.9))


def test_without_dev_questions_the_lower_loss_is_better() -> None:
    nothing = replace(GOOD, questions=0)
    for second, first, expected in ((1.0, 2.0, True), (2.0, 2.0, False), (None, 2.0, False), (1.0, None, False)):
        assert is_better(nothing, nothing, second_loss=second, first_loss=first) is expected


# --- in a round -----------------------------------------------------------------------------------


@pytest.fixture
def workspace(baseline: Path, tmp_path: Path) -> Path:
    return shutil.copytree(baseline, tmp_path / "ws")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the verdicts on students: `judged(student=..., **{SECOND: ...})`, by the name of the model."""

    def given(verdicts: Mapping[str, Verdict]) -> None:
        judge = promotion.judge

        def one(runtime: Any, row: Any, student: ModelRow, best: Any) -> Verdict:
            judge(runtime, row, student, best)
            with runtime.database.read() as session:
                second = queries.model_of_round(session, row.number, name=SECOND)
            return verdicts[SECOND if second is not None and second.id == student.id else "student"]

        monkeypatch.setattr(promotion, "judge", one)

    return given


def seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that readers are trained with, as they are."""
    used: list[int] = []
    train = training.train_reader

    def one(runtime: Any, row: Any, rows: Any, **given: Any) -> Any:
        used.append(row.seed if given.get("seed") is None else given["seed"])
        return train(runtime, row, rows, **given)

    monkeypatch.setattr(training, "train_reader", one)
    return used


def test_the_second_student_is_judged_where_it_is_better(
    workspace: Path, judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged({"student": BAD, SECOND: GOOD})
    used = seeds(monkeypatch)
    with at(workspace) as runtime:
        machine.train(runtime)
        row = history.one_round(runtime, 1)
        with runtime.database.read() as session:
            student, first = (queries.model_of_round(session, 1, name=name) for name in ("student", SECOND))
            best = queries.best_model(session)
    assert used[0] + SEED_STEP == used[-1]
    assert student is not None
    assert first is not None
    assert (student.path.endswith(SECOND), first.path.endswith(SECOND), best) == (True, False, student)
    assert row["gate"]["retried"]["chosen"] == used[-1]
    assert [each["exact_match"] for each in row["gate"]["retried"]["scores"]] == [0.4, 0.5]
    assert [event["seed"] for event in row["events"] if event["kind"] == "trained_again"] == [used[-1]]
    text = run("rounds", "show", "1", "-w", workspace).out
    assert (
        f"trained twice, with seeds {used[0]} and {used[-1]}: worse than the current reader by McNemar's test" in text
    )
    assert f"EM 40.0 % and 50.0 % on dev, seed {used[-1]} was chosen" in text


def test_a_second_student_that_is_no_better_changes_nothing(workspace: Path, judged: Any) -> None:
    judged({"student": BAD, SECOND: BAD})
    with at(workspace) as runtime:
        machine.train(runtime)
        with runtime.database.read() as session:
            student = queries.model_of_round(session, 1)
            row = queries.round_(session, 1)
    assert student is not None
    assert (row.student_id, row.promoted, student.path.endswith(SECOND)) == (student.id, False, False)
    assert row.gate is not None
    assert row.gate["retried"]["chosen"] == row.seed


@pytest.mark.parametrize("setting", [True, False])
def test_a_good_seed_or_the_setting_trains_once(
    workspace: Path, judged: Any, monkeypatch: pytest.MonkeyPatch, setting: bool
) -> None:
    judged({"student": GOOD if setting else BAD})
    used = seeds(monkeypatch)
    ran = run("train", "--set", f"train.retry_bad_seed={str(setting).lower()}", "-w", workspace)
    assert ran.code == 0, ran.err
    assert len(set(used)) == 1


def test_a_second_training_that_fails_leaves_the_first_student(
    workspace: Path, judged: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judged({"student": BAD})
    train = training.train_reader

    def one(runtime: Any, row: Any, rows: Any, **given: Any) -> Any:
        if given.get("seed") is not None:
            raise TrainingDiverged("the loss is not finite")
        return train(runtime, row, rows, **given)

    monkeypatch.setattr(training, "train_reader", one)
    with at(workspace) as runtime:
        machine.train(runtime)
        summary = history.summary(runtime, machine.RoundStatus(_round(runtime), None))
    assert summary["verdict"] == "refused"
    assert "the second training failed, seed" in summary_text(summary)
    assert "the second training of round 1 failed, and its first student stays: the loss is not finite" in caplog.text


def _round(runtime: Any) -> Any:
    with runtime.database.read() as session:
        return queries.round_(session, 1)


@pytest.mark.parametrize("place", ["in training", "after it"])
def test_killed_in_the_second_training_the_round_ends_the_same(
    workspace: Path, judged: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    judged({"student": BAD, SECOND: GOOD})
    other = shutil.copytree(workspace, workspace.with_name("other"))
    ends = []
    for folder, killed in ((workspace, False), (other, True)):
        with at(folder) as runtime:
            if killed:
                with monkeypatch.context() as patch:
                    _kill(patch, place)
                    with pytest.raises(KeyboardInterrupt):
                        machine.train(runtime)
            machine.train(runtime)
            with runtime.database.read() as session:
                ends.append(state(session))
                events = [event.kind for event in queries.events(session, round_number=1)]
        assert events.count("trained_again") == 1
    assert ends[0] == ends[1]


def _kill(patch: pytest.MonkeyPatch, place: str) -> None:
    """Interrupts the second training after its third update, or the round after it."""
    if place == "after it":
        patch.setattr(retrying, "is_better", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        return
    from mrc.read.train import update

    left, apply, train = [3], update.apply_gradients, training.train_reader

    def updated(*given: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return apply(*given)

    def trained(*given: Any, **more: Any) -> Any:
        if more.get("seed") is not None:
            patch.setattr(update, "apply_gradients", updated)
        return train(*given, **more)

    patch.setattr(training, "train_reader", trained)
