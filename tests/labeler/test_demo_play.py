"""The demonstration in miniature: what it says, that it goes on where it stopped, and that it mixes no two worlds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labeler.core.errors import WorkspaceError
from labeler.demo import play as demo
from labeler.demo.play import Played, play
from labeler.rounds.steps import human_review
from tests.labeler.fake_studio import FakeStudio
from tests.worlds import DIVISION, SETTINGS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world of 80 articles and a reader of a few thousand weights."""
    monkeypatch.setattr(demo, "DOCUMENTS", 80)
    monkeypatch.setattr(demo, "DIVISION", DIVISION)
    monkeypatch.setattr(demo, "settings", lambda language, seed: dict(SETTINGS) | {("round", "seed"): seed})


def played(folder: Path, *, seed: int = 3) -> Played:
    return play(folder, language="en", seed=seed, rounds=1, say=lambda line: None)


def test_the_demonstration_goes_on_where_it_stopped_and_ends_as_if_it_had_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*anything: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    undisturbed = played(tmp_path / "undisturbed")
    with monkeypatch.context() as broken:
        broken.setattr(demo.machine, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            played(tmp_path / "stopped")
    again = played(tmp_path / "stopped")
    assert again.rounds == undisturbed.rounds
    assert (again.baseline, again.gold_and_human, again.full_loop) == (
        undisturbed.baseline,
        undisturbed.gold_and_human,
        undisturbed.full_loop,
    )
    assert Path(again.report).is_file()
    assert set(again.rounds[0].labels) == {"gold", "human", "pseudo"}
    assert again.rounds[0].labels["human"] > 0


def test_a_folder_with_another_world_is_not_taken_for_this_one(tmp_path: Path) -> None:
    played(tmp_path / "demo")
    with pytest.raises(WorkspaceError, match="another language, seed or version"):
        played(tmp_path / "demo", seed=4)


def test_played_with_people_it_invites_them_waits_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio, said = FakeStudio(), []

    def sleep(seconds: float) -> None:
        """The server is away at the first look; then somebody answers everything."""
        studio.down = not studio.down
        if not studio.down:
            for where in studio.open():
                studio.answer(where, "no_answer")

    monkeypatch.setattr(human_review, "client", lambda runtime: studio)
    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    found = play(
        tmp_path / "demo", language="en", seed=3, rounds=1, say=said.append,
        overrides=["review.review_budget=5"], reviewer="studio",
    )  # fmt: skip
    assert [line for line in said if "waiting for 5 reviews in Label Studio: http://studio.test/projects/" in line]
    assert "  http://studio.test does not answer; looking again later" in said
    assert found.rounds[0].labels["human"] == 5
