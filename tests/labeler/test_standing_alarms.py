"""Alarms that are in force are shown wherever people look, and one that blocks stops pseudo-labels from leaving."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries
from labeler.core.errors import ReleaseStopped
from labeler.core.runtime import Runtime
from labeler.evaluation.standing_alarms import check_release, standing_alarms
from labeler.rounds import history, machine
from tests.commands import ok, run
from tests.scripted import make_releasing, scripted


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Round 1 after its labels: the reviewers contradict every answer, whatever its confidence. Not to be changed."""
    folder = tmp_path_factory.mktemp("alarms") / "wrong"
    make_releasing(folder, round__simulated_error_rate=1.0, review__review_budget=40)
    with scripted(folder) as runtime:
        machine.train(runtime)
        assert machine.run(runtime, reviewer="simulated", until="labelled").round.stage == "labelled"
    return folder


@pytest.fixture(scope="module")
def closed(wrong: Path) -> Path:
    """The same after the round is closed. Not to be changed."""
    folder = shutil.copytree(wrong, wrong.with_name("closed"))
    with scripted(folder) as runtime:
        status = machine.run(runtime)
        assert (status.round.stage, status.round.promoted) == ("closed", True)
    return folder


@pytest.fixture
def runtime(closed: Path, tmp_path: Path) -> Iterator[Runtime]:
    with scripted(shutil.copytree(closed, tmp_path / "copy")) as opened:
        yield opened


@pytest.mark.parametrize("stage", ["wrong", "closed"])
def test_an_overconfident_round_stops_the_export_of_pseudo_labels_alone(
    stage: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Already before the round is closed: its labels are live as soon as they are written."""
    folder: Path = request.getfixturevalue(stage)
    out = tmp_path / "labels.json"
    stopped = run("export", "-w", folder, "--format", "squad", "-o", out, "--uncertified")
    assert (stopped.code, out.exists()) == (1, False)
    assert len(stopped.err.splitlines()) == 1
    assert "blind reviews (95% interval" in stopped.err
    assert "--despite-alarms" in stopped.err
    kept = ok("export", "-w", folder, "--format", "squad", "-o", out, "--kinds", "gold,human")
    assert kept["kinds"].keys() == {"gold", "human"}
    assert kept["alarms"][0]["alarm"]["blocks"] is True
    everything = run("export", "-w", folder, "--format", "squad", "-o", out, "--uncertified", "--despite-alarms")
    assert everything.code == 0
    assert "pseudo" in everything.out
    assert "alarm of round 1: confidence is" in everything.out


def test_status_round_and_the_report_show_it(closed: Path, tmp_path: Path) -> None:
    (alarm, *_) = ok("status", "-w", closed)["alarms"]
    found = alarm["alarm"]
    assert (alarm["round"], found["kind"], found["blocks"]) == (1, "overconfidence", True)
    assert found["limit"] < found["low"] <= found["value"] <= found["high"]
    assert found["items"] > 0
    assert f"round 1: {found['message']}" in run("status", "-w", closed).out
    assert found["message"] in run("rounds", "show", "1", "-w", closed).out
    page = tmp_path / "report.html"
    assert run("report", "-w", closed, "-o", page).code == 0
    opening = page.read_text(encoding="utf-8")
    assert opening.index("do not trust the confidence") < opening.index('id="rounds"')
    assert "--despite-alarms" in opening


def test_certify_shows_it_before_people_are_asked(closed: Path) -> None:
    found = ok("certify", "--dry-run", "-w", closed)
    assert found["alarms"][0]["alarm"]["kind"] == "overconfidence"
    said = run("certify", "--dry-run", "-w", closed).out
    assert "alarm of round 1: confidence is" in said
    assert "no pseudo-label is exported without --despite-alarms" in said


def test_round_prints_the_alarms_in_text_and_json(runtime: Runtime) -> None:
    from labeler.cli.describe.rounds import summary_text

    with runtime.database.read() as session:
        row = queries.round_(session, 1)
    found = history.summary(runtime, machine.RoundStatus(row, None))
    assert json.dumps(found["alarms"])
    assert "alarm of round 1: confidence is" in summary_text(found)
    assert "power: on 29 dev questions" in summary_text(found)


def test_a_round_that_only_trains_leaves_the_alarms_in_force(runtime: Runtime) -> None:
    machine.train(runtime)
    with runtime.database.read() as session:
        assert [each.round for each in standing_alarms(session) if each.alarm.blocks] == [1]


def test_a_reverted_round_raises_no_alarm(runtime: Runtime) -> None:
    history.revert(runtime, 1, with_reviews=True)
    with runtime.database.read() as session:
        assert standing_alarms(session) == ()
        check_release(session)


def test_labels_of_other_rounds_may_leave(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        check_release(session, [0, None])
        check_release(session, [1], despite=True)
        with pytest.raises(ReleaseStopped, match="round 1"):
            check_release(session, [1])
        with pytest.raises(ReleaseStopped):
            check_release(session)


def test_a_round_whose_reviews_confirm_the_confidence_stops_nothing(tmp_path: Path) -> None:
    with scripted(make_releasing(tmp_path / "right")) as runtime:
        machine.train(runtime)
        machine.run(runtime, reviewer="simulated")
        with runtime.database.read() as session:
            assert not [each for each in standing_alarms(session) if each.alarm.blocks]
    report = ok("export", "-w", tmp_path / "right", "--format", "squad", "-o", tmp_path / "out.json", "--uncertified")
    assert report["kinds"]["pseudo"] > 0
