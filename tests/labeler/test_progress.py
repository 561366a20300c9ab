"""Progress without a terminal: log lines with done, total and time left, and at most one a minute."""

from __future__ import annotations

import io
import logging

import pytest

from labeler.core import progress


class Clock:
    """A clock that moves only by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level(logging.INFO, logger="labeler")
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def test_a_training_logs_one_line_a_minute_with_done_total_and_time_left(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with progress.updates("train") as report:
        for step in range(1, 101):
            clock.now += 10  # six updates a minute
            report(step, 100, 0.5, 10 * (100 - step))
    assert caplog.messages[0] == "train: 6 of 100 updates, loss 0.500, 16 min left"
    assert caplog.messages[-1] == "train: 100 updates in 1000.0 s, loss 0.500"
    assert len(caplog.messages) == 100 // 6 + 1


def test_other_work_estimates_the_time_left_from_its_pace(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with progress.bar("predict", total=400, unit="questions") as shown:
        for _ in range(2):
            clock.now += 60
            shown.update(100)
    assert caplog.messages == [
        "predict: 100 of 400 questions, 3 min left",
        "predict: 200 of 400 questions, 2 min left",
        "predict: 200 questions in 120.0 s",
    ]


def test_the_first_piece_of_a_whole_batch_says_nothing_of_the_pace(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with progress.bar("tune reading", total=699, unit="questions") as shown:
        clock.now += 130
        shown.update(1)
        clock.now += 60
        shown.update(511)
    assert caplog.messages[:2] == ["tune reading: 1 of 699 questions", "tune reading: 512 of 699 questions, 1 min left"]


def test_work_of_unknown_size_logs_what_is_done(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with progress.bar("pull", total=0, unit="tasks") as shown:
        clock.now += 60
        shown.update(40)
    assert caplog.messages == ["pull: 40 tasks", "pull: 40 tasks in 60.0 s"]


def test_short_work_logs_its_end_alone_and_no_work_logs_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with progress.bar("search", total=0, unit="questions"):
        pass
    with progress.bar("search", total=5, unit="questions") as shown:
        shown.update(5)
    assert caplog.messages == ["search: 5 questions in 0.0 s"]


def test_the_bar_of_a_training_shows_one_estimate_of_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    with progress.updates("train") as report:
        report(50, 100, 0.5, 90.0)
        report(60, 100, 0.5, 80.0)
    shown = terminal.getvalue()
    assert "loss 0.500, 1 min left" in shown
    assert "<" not in shown  # what tqdm puts before its own estimate


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "1 h 00 min"), (3900, "1 h 05 min")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text
