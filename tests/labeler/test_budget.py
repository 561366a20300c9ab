"""The budget of a round: what it costs, and the part of the pool that is taken where it does not cover all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db import queries
from db.rows import QuestionRow, RoundRow
from labeler.certify.machine import choose_source
from labeler.certify.request import Attempt
from labeler.core.config import Config
from labeler.core.runtime import Runtime, with_settings
from labeler.rounds import machine, recorded
from labeler.rounds.budget import planning
from labeler.rounds.budget.cost import Cost, Pace, Work, cost, most_questions
from labeler.rounds.budget.subset import choose
from labeler.rounds.forecast import forecast
from labeler.rounds.steps import opening, predicting
from tests.commands import ok, run
from tests.state import state
from tests.worlds import at

PACE = Pace(example=0.5, passage=0.1)
WORK = Work(pool=100, questions=10, human=48, dev=20, calibration=10, passages=2)


@pytest.fixture
def runtime(baseline: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A copy of the baseline that a test may change."""
    with at(shutil.copytree(baseline, tmp_path / "copy")) as opened:
        yield opened


def config(**sections: dict[str, object]) -> Config:
    return with_settings(Config(), **sections)


# --- what a round costs ---------------------------------------------------------------------------


def test_the_cost_of_a_round_is_what_it_reads_and_shows_at_the_pace_of_the_last_one() -> None:
    found = cost(WORK, PACE, config(read={"top_k": 5}), pool=80)
    reading = (10 + 80) * 2 * 0.1  # questions, passages, pace
    training = (4 * 48 + 2 * 40) * 2 * 0.5  # passes over human- and pseudo-labels (half of 80), with a negative each
    closing = ((20 + 10) * 5 + 20 * 2) * 0.1  # all passages to tune, those that are read to judge
    assert found.reading == pytest.approx(reading)
    assert found.training == pytest.approx(training)
    assert found.closing == pytest.approx(closing)
    assert found.total == pytest.approx(reading + training + closing)


def test_fold_readers_and_a_retriever_cost_their_part() -> None:
    alone = cost(WORK, PACE, config(), pool=0).training
    folds = cost(WORK, PACE, config(calibrate={"folds": 2}), pool=0).training
    assert folds == pytest.approx(alone + 2 * (4 * 24) * 2 * 0.5)  # each on half of the labels
    pace = replace(PACE, retriever=(60.0, 40))
    assert cost(WORK, pace, config(), pool=0).training == alone
    encoder = {"train": True}
    assert cost(WORK, pace, config(retriever=encoder), pool=0).training == pytest.approx(alone + 60 * 48 / 40)
    fixed = config(retriever={**encoder, "max_steps": 5})
    assert cost(WORK, pace, fixed, pool=0).training == pytest.approx(alone + 60)


def test_a_teacher_that_is_distilled_reads_what_is_taught() -> None:
    plain, soft = (cost(WORK, PACE, config(train={"distill_weight": w}), pool=80).training for w in (0.0, 0.5))
    assert soft - plain == pytest.approx(40 * 2 * 0.1)


@pytest.mark.parametrize("minutes", [4.0, 4.5, 5.0, 5.5])
def test_the_budget_takes_as_many_questions_as_fit(minutes: float) -> None:
    settings = config()
    count = most_questions(WORK, PACE, settings, least=1, minutes=minutes)
    assert 1 < count < 100
    assert cost(WORK, PACE, settings, pool=count).total <= 60 * minutes
    assert cost(WORK, PACE, settings, pool=count + 1).total > 60 * minutes


@pytest.mark.parametrize(("minutes", "least", "taken"), [(0.01, 12, 12), (0.01, 200, 100), (1000, 12, 100)])
def test_the_reviewed_questions_are_never_left_out_and_a_large_budget_takes_all(
    minutes: float, least: int, taken: int
) -> None:
    assert most_questions(WORK, PACE, config(), least=least, minutes=minutes) == taken


# --- which questions ------------------------------------------------------------------------------


def questions(count: int, *, of_group: int = 1) -> list[QuestionRow]:
    """Questions on three topics, some of one paragraph."""
    topics = ("Which river flows through city {}?", "Who wrote the novel number {}?", "When did king {} die?")
    names = QuestionRow.__dataclass_fields__
    rows = []
    for number in range(count):
        known = {
            "id": f"q{number:03}",
            "text": topics[number % 3].format(number),
            "split_group": f"group {number // of_group}",
        }
        rows.append(QuestionRow(**{name: known.get(name) for name in names}))  # type: ignore[arg-type]
    return rows


def test_half_of_a_subset_is_a_uniform_sample_and_at_least_the_random_reviews_are() -> None:
    pool = questions(60)
    assert len(choose(pool, 20, random=3, confidences={}, seed=1).sampled) == 10
    found = choose(pool, 20, random=15, confidences={}, seed=1)
    assert (len(found.sampled), len(found.selected)) == (15, 5)
    assert len(found.all) == 20
    assert choose(pool, 20, random=50, confidences={}, seed=1).selected == ()
    counts = [0] * 60
    for seed in range(300):
        for name in choose(pool, 20, random=20, confidences={"q000": 0.99}, seed=seed).sampled:
            counts[int(name[1:])] += 1
    assert min(counts) > 60, "each question is drawn in a third of the 300 subsets, 100 times"
    assert max(counts) < 140


def test_the_others_are_the_most_confident_of_every_topic() -> None:
    pool = questions(90)
    confidences = {row.id: 0.9 if int(row.id[1:]) < 45 else 0.1 for row in pool}
    confidences |= {row.id: 0.2 + int(row.id[1:]) / 1000 for row in pool if int(row.id[1:]) % 3 == 2}  # a hard topic
    found = choose(pool, 24, random=0, confidences=confidences, seed=3)
    taken = [int(name[1:]) for name in found.selected]
    assert len(taken) == 12
    assert {number % 3 for number in taken} == {0, 1, 2}, "no topic is left out for its low confidence"
    left = [row.id for row in pool if row.id not in found.all]
    for topic in (0, 1):
        worst = min(confidences[name] for name in found.selected if int(name[1:]) % 3 == topic)
        assert worst >= max(confidences[name] for name in left if int(name[1:]) % 3 == topic) - 1e-9


def test_questions_that_no_round_has_read_follow_those_with_a_confidence() -> None:
    pool = questions(60)
    known = {row.id: 0.1 for row in pool if int(row.id[1:]) < 30}
    found = choose(pool, 20, random=0, confidences=known, seed=0)
    assert set(found.selected) <= set(known)


def test_a_split_group_gives_one_question_while_there_are_others() -> None:
    pool = questions(60, of_group=3)
    found = choose(pool, 16, random=0, confidences={}, seed=2)
    groups = [row.split_group for row in pool if row.id in found.selected]
    assert len(set(groups)) == len(groups) == 8


def test_a_subset_does_not_depend_on_the_order_of_the_pool() -> None:
    pool = questions(50)
    confidences = {row.id: (int(row.id[1:]) * 7 % 50) / 50 for row in pool}
    first = choose(pool, 20, random=4, confidences=confidences, seed=9)
    assert choose(pool[::-1], 20, random=4, confidences=confidences, seed=9) == first
    assert choose(pool, 20, random=4, confidences=confidences, seed=10) != first


# --- rounds ---------------------------------------------------------------------------------------


def budget_for(runtime: Runtime, pool: int, *, reviewer: str = "simulated") -> float:
    """Minutes that this many pool questions take, and no question more."""
    settings = with_settings(runtime.config, round={"reviewer": reviewer})
    with runtime.database.read() as session:
        pace, teacher = planning.pace_of(session), runtime.best_model()
        passages = planning.passages_read(runtime, teacher)
        groups = opening.questions_of(session, settings, teacher, None)
        work = planning.work_of(session, settings, groups, passages=passages)
    assert pace is not None
    here, next_one = (cost(work, pace, settings, pool=count).total for count in (pool, pool + 1))
    return (here + next_one) / 2 / 60


def budgeted(runtime: Runtime, minutes: float) -> Runtime:
    return runtime.with_config(with_settings(runtime.config, round={"budget_minutes": minutes}))


def read_of(runtime: Runtime, row: RoundRow) -> tuple[set[str], set[str]]:
    """The ids of the pool questions that a round predicted, and of those that it sampled."""
    with runtime.database.read() as session:
        pool = {each.id for each in queries.questions(session, roles=["pool"])}
        predicted = queries.predicted_ids(session, row.number) & pool
        return predicted, queries.sampled_questions(session, row.number) & pool


def test_a_round_within_a_budget_reads_and_teaches_a_part_of_the_pool_and_all_gold(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        gold = {each.question_id for each in queries.live_labels(session, kinds=["gold"], roles=["gold"])}
        calibration = {each.id for each in queries.questions(session, roles=["calibration"])}
    limited = budgeted(runtime, budget_for(runtime, 30))
    planned = forecast(limited, reviewer="simulated")
    row = machine.run(limited, reviewer="simulated").round
    read, sampled = read_of(runtime, row)
    assert len(read) == 30
    assert len(sampled) == 15
    with runtime.database.read() as session:
        stored = recorded.subset_of(session, row)
        predicted = queries.predicted_ids(session, row.number)
        taught = queries.training_rows(session, row.number)
        tasks = queries.tasks(session, round_number=row.number)
    assert stored is not None
    assert (stored["pool"], stored["read"], stored["left_out"], stored["sampled"]) == (59, 30, 29, 15)
    assert stored["exceeded"] is False
    assert planned.pool_subset == {name: value for name, value in stored.items() if name != "sampled"}
    assert planned.questions == len(predicted)
    assert calibration <= predicted
    assert gold == {each.question.id for each in taught if each.label.kind == "gold"}
    assert {each.question.id for each in taught if each.label.kind == "pseudo"} <= read
    assert {task.question_id for task in tasks} <= read
    assert {task.question_id for task in tasks if task.blind} <= sampled
    assert len(tasks) == 12


def test_the_next_round_takes_the_most_confident_of_what_was_read(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="none")
    with runtime.database.read() as session:
        known = queries.newest_confidences(session)
    row = machine.run(budgeted(runtime, budget_for(runtime, 20, reviewer="none")), until="predicted").round
    read, sampled = read_of(runtime, row)
    selected = read - sampled
    assert (len(read), len(selected)) == (20, 10)
    left = {name for name in known if name not in read}
    assert sum(known[name] for name in selected) / 10 > sum(known[name] for name in left) / len(left)


def test_an_interrupted_round_goes_on_with_the_same_part(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = budget_for(runtime, 30)
    whole = shutil.copytree(runtime.workspace.folder, tmp_path / "whole")
    with at(whole) as undisturbed:
        machine.run(budgeted(undisturbed, minutes), reviewer="simulated")
        with undisturbed.database.read() as session:
            expected = state(session)
    stop = predicting.convert.new_prediction
    calls = 0

    def killed(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 30:  # in the second chunk
            raise KeyboardInterrupt
        return stop(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(predicting.convert, "new_prediction", killed)
        with pytest.raises(KeyboardInterrupt):
            machine.run(budgeted(runtime, minutes), reviewer="simulated")
    assert forecast(runtime).pool_subset is not None, "an open round keeps its budget"
    machine.run(runtime, reviewer="simulated")
    with runtime.database.read() as session:
        assert state(session) == expected


def test_a_certificate_does_not_silently_cover_only_the_part_that_a_round_read(runtime: Runtime) -> None:
    fresh, kept = (Attempt(0.8, 0.1, 0.1, 1, 1, 20, stored, None) for stored in (False, True))
    machine.run(budgeted(runtime, budget_for(runtime, 30, reviewer="none")), reviewer="none", until="predicted")
    with runtime.database.read() as session:
        assert choose_source(runtime, session, fresh)[0] is None
        assert choose_source(runtime, session, kept)[0] == 1, "unless it is asked for"


def test_the_commands_say_what_a_budget_leaves_out(
    baseline: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(baseline, tmp_path / "ws")
    given = ("-w", folder, "--budget-minutes", "0.0001", "--reviewer", "simulated")
    told = ok("round", "--dry-run", *given)["pool_subset"]
    assert (told["pool"], told["read"], told["left_out"]) == (59, 12, 47), "the twelve reviews are kept"
    assert told["exceeded"] is True
    said = run("round", "--dry-run", *given).out
    assert "12 of 59 pool questions; 47 are left out; gold labels and reviews alone take longer" in said
    done = run("round", *given)
    assert "takes 12 of 59 pool questions and leaves out 47" in caplog.text
    assert "does not suffice" in caplog.text
    assert "budget: 0.0001 minutes" in done.out
    assert "47 are left out" in run("rounds", "show", "1", "-w", folder).out
    assert ok("rounds", "show", "1", "-w", folder)["pool_subset"]["left_out"] == 47
    assert ok("rounds", "show", "0", "-w", folder)["pool_subset"] is None
    assert run("round", "-w", folder, "--budget-minutes", "0").code == 2


def test_without_a_budget_the_whole_pool_is_a_sample_and_the_forecast_is_logged(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="labeler"):
        row = machine.run(runtime, reviewer="none", until="predicted").round
    read, sampled = read_of(runtime, row)
    assert read == sampled
    assert len(read) == 59
    assert any(line.startswith("round 1: about ") for line in caplog.messages)
    with runtime.database.read() as session:
        assert recorded.subset_of(session, row) is None
    assert Cost(60.0, 30.0, 6.0).total == 96.0
