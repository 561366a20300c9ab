"""The demo in miniature: it resumes after an interruption, refuses another corpus, and waits for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labeler.certify import conclusion
from labeler.core.errors import WorkspaceError
from labeler.demo import run as demo
from labeler.demo.results import DemoResult
from labeler.demo.run import run_demo
from labeler.rounds.steps import human_review
from tests.labeler.fake_studio import FakeStudio
from tests.worlds import DIVISION, SETTINGS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus of 80 articles and a reader of a few thousand weights."""
    monkeypatch.setattr(demo, "DOCUMENTS", 80)
    monkeypatch.setattr(demo, "SPLIT", DIVISION)
    monkeypatch.setattr(demo, "settings", lambda language, seed: dict(SETTINGS) | {("round", "seed"): seed})


def run_small(folder: Path, *, seed: int = 3) -> DemoResult:
    return run_demo(folder, language="en", seed=seed, rounds=1, say=lambda line: None)


def test_an_interrupted_demo_resumes_to_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*anything: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    undisturbed = run_small(tmp_path / "undisturbed")
    with monkeypatch.context() as broken:
        broken.setattr(demo.machine, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            run_small(tmp_path / "stopped")
    with monkeypatch.context() as broken:
        broken.setattr(conclusion, "result_from", stop)  # the audit is answered and not concluded
        with pytest.raises(KeyboardInterrupt):
            run_small(tmp_path / "stopped")
    again = run_small(tmp_path / "stopped")
    assert again.rounds == undisturbed.rounds
    assert (again.baseline, again.gold_and_human, again.full_loop) == (
        undisturbed.baseline,
        undisturbed.gold_and_human,
        undisturbed.full_loop,
    )
    assert Path(again.report).is_file()
    assert again.certificate is not None
    assert undisturbed.certificate is not None
    assert again.certificate.audits == undisturbed.certificate.audits > 0
    assert again.certificate.certified == undisturbed.certificate.certified
    assert f"Certificate {again.certificate.certificate[:12]}" in Path(again.report).read_text(encoding="utf-8")
    assert run_small(tmp_path / "stopped") == again, "a finished demo certifies no second time"
    assert set(again.rounds[0].labels) == {"gold", "human", "pseudo"}
    assert again.rounds[0].labels["human"] > 0


def test_a_folder_with_another_corpus_is_refused(tmp_path: Path) -> None:
    run_small(tmp_path / "demo")
    with pytest.raises(WorkspaceError, match="another language, seed or version"):
        run_small(tmp_path / "demo", seed=4)


def test_with_people_it_waits_for_their_reviews_and_retries_a_server_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    found = run_demo(
        tmp_path / "demo", language="en", seed=3, rounds=1, say=said.append,
        overrides=["review.review_budget=5"], reviewer="studio",
    )  # fmt: skip
    assert [line for line in said if "waiting for 5 reviews in Label Studio: http://studio.test/projects/" in line]
    assert "  http://studio.test does not answer; retrying later" in said
    assert found.rounds[0].labels["human"] == 5
    assert found.certificate is None, "150 blind answers are not asked of a person who tries a demo"
