"""The server or our process killed in the middle of a push or a pull: in the end as if nothing had happened."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from labeler.review.studio import reconcile
from tests.labeler.studio.kills import OUR_KILLS, SERVER_KILLS, Kill, Trial
from tests.labeler.studio.runtimes import Shape
from tests.studio import TestServer


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LOST_SECONDS", 0.5)


@pytest.fixture(scope="module")
def trial(label_studio: TestServer) -> Trial:
    return Trial(label_studio, Shape(tasks=60, batch=20), answered_every=6)


@pytest.fixture(scope="module")
def undisturbed(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return trial.play(tmp_path_factory.mktemp("undisturbed") / "ws")


def test_an_undisturbed_run_labels_the_answered_tasks(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["server"] == [f"q{number:05}" for number in range(60)]
    states = [task[-1] for task in undisturbed["tasks"]]
    assert {name: states.count(name) for name in set(states)} == {
        "done": 6,
        "skipped": 2,
        "conflict": 2,
        "withdrawn": 50,
    }
    assert (
        len(undisturbed["labels"]) == 4
    )  # 10 answered: 2 each of an answer, no answer, skip, bad question, unreadable


def both(kills: Sequence[Kill]) -> list[tuple[Kill, ...]]:
    """A kill of the push and one of the pull for each run: restarting takes most of the time."""
    pushes, pulls = ([kill for kill in kills if kill.command == command] for command in ("push", "pull"))
    return [tuple(filter(None, pair)) for pair in zip_longest(pushes, pulls)]


@pytest.mark.parametrize("kills", both(SERVER_KILLS), ids=lambda kills: "; ".join(map(str, kills)))
def test_a_killed_server_loses_and_repeats_nothing(
    kills: tuple[Kill, ...], trial: Trial, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    assert trial.server.pid is not None
    assert trial.play(tmp_path / "ws", *kills) == undisturbed


@pytest.mark.parametrize("kills", both(OUR_KILLS), ids=lambda kills: "; ".join(map(str, kills)))
def test_a_killed_command_loses_and_repeats_nothing(
    kills: tuple[Kill, ...], trial: Trial, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    assert trial.play(tmp_path / "ws", *kills) == undisturbed
