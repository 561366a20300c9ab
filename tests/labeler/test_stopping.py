"""When a series of rounds stops: each rule with its neighbours, and the command over kills and waiting reviewers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from db import certificates, queries, store
from db.engine import Session
from db.rows import NewLabel, NewReview, NewTask, RoundRow, SpanRow
from labeler.core.runtime import Runtime
from labeler.core.workspace import open_workspace
from labeler.rounds import machine
from labeler.rounds.stopping import Churn, Limits, Outcome, Spent, stop
from mrc.text import passage_id
from tests.commands import new_workspace, ok, run, squad

MILL = "Oren keeps the mill of Tarn."
POOL = 120


def outcome(
    number: int = 1, *, promoted: bool = True, gain: float | None = 0.02, churn: Churn | None = None
) -> Outcome:
    return Outcome(number, promoted, gain, churn)


def why(
    outcomes: Sequence[Outcome], limits: Limits | None = None, spent: Spent | None = None, **given: Any
) -> str | None:
    found = stop(outcomes, spent or Spent(len(outcomes), 0, 0.0), limits or Limits(), **given)
    return None if found is None else found.rule


# --- rules ----------------------------------------------------------------------------------------


def test_nothing_stops_before_the_first_round_or_while_rounds_gain() -> None:
    assert why([]) is None
    assert why([outcome(1), outcome(2)]) is None


@pytest.mark.parametrize(
    ("promoted", "rule"),
    [
        ((False,), None),
        ((False, False), "refused"),
        ((True, False, False), "refused"),
        ((False, True, False), None),
        ((False, False, True), None),
    ],
)
def test_two_refused_rounds_in_a_row_stop(promoted: tuple[bool, ...], rule: str | None) -> None:
    assert why([outcome(number, promoted=each) for number, each in enumerate(promoted)]) == rule


def test_a_refused_round_does_not_stop_by_its_gain() -> None:
    assert why([outcome(promoted=False, gain=-0.03)]) is None


@pytest.mark.parametrize(
    ("changed", "compared", "rule"),
    [(2, 100, "churn"), (3, 100, None), (0, 99, None), (0, 100, "churn"), (29, 1000, "churn"), (30, 1000, None)],
)
def test_less_than_3_percent_of_at_least_100_labels_stop(changed: int, compared: int, rule: str | None) -> None:
    assert why([outcome(churn=Churn(changed, compared))]) == rule


def test_only_the_last_rounds_churn_counts() -> None:
    assert why([outcome(1, churn=Churn(0, 500)), outcome(2, churn=Churn(100, 500))]) is None


@pytest.mark.parametrize(
    ("gain", "coverage", "rule"),
    [
        (0.005, None, None),
        (0.0049, None, "gain"),
        (-0.01, None, "gain"),
        (None, None, None),
        (0.0049, 0.02, None),
        (0.0049, 0.019, "gain"),
        (0.0049, -0.1, "gain"),
        (0.01, -0.1, None),
    ],
)
def test_a_gain_of_less_than_half_a_point_stops_unless_certificates_cover_more(
    gain: float | None, coverage: float | None, rule: str | None
) -> None:
    assert why([outcome(gain=gain)], coverage_gain=coverage) == rule


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        (Limits(rounds=3), "rounds"),
        (Limits(rounds=4), None),
        (Limits(reviews=30), "reviews"),
        (Limits(reviews=31), None),
        (Limits(minutes=12.5), "minutes"),
        (Limits(minutes=12.6), None),
        (Limits(rounds=9, reviews=9, minutes=99), "reviews"),
    ],
)
def test_a_spent_budget_stops(limits: Limits, rule: str | None) -> None:
    assert why([outcome()], limits, Spent(rounds=3, reviews=30, minutes=12.5)) == rule


def test_an_empty_pool_stops_and_a_rule_comes_before_it() -> None:
    assert why([outcome()], pool=False) == "pool"
    assert why([outcome(gain=0.0)], pool=False) == "gain"


def test_the_sentence_names_the_numbers() -> None:
    found = stop([outcome(4, churn=Churn(2, 100))], Spent(1, 0, 0.0), Limits())
    assert found is not None
    assert found.why == "2 of 100 pseudo-labels (2.0%) changed in round 4, less than 3%"


# --- the command ----------------------------------------------------------------------------------


@dataclass
class Script:
    """Rounds that end as they are told to: a stand-in for `machine.run`. None: the round waits, and then goes on."""

    ends: list[tuple[bool, float, int] | None]  # promoted, gain, pseudo-labels that change
    killed_after: int | None = None  # rounds
    made: int = 0
    budgets: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=lambda: ["Oren"] * 110)  # of the pseudo-labels so far

    def __call__(self, runtime: Runtime, **_: Any) -> machine.RoundStatus:
        with runtime.database.write() as session:
            row = queries.current_round(session) or self._open(runtime, session)
            end = self.ends.pop(0)
            if end is not None:
                row = self._close(session, row, *end)
                self.made += 1
        if self.made == self.killed_after:
            self.killed_after = None
            raise KeyboardInterrupt
        return machine.RoundStatus(row, "2 reviews" if row.is_open else None)

    def _open(self, runtime: Runtime, session: Session) -> RoundRow:
        self.budgets.append(runtime.config.review.review_budget)
        best = queries.best_model(session)
        return store.open_round(
            session, "loop", config={}, seed=0, code_version="1", teacher_id=best.id if best else None
        )

    def _close(self, session: Session, row: RoundRow, promoted: bool, gain: float, changed: int) -> RoundRow:
        self.words[:changed] = ["mill" if word == "Oren" else "Oren" for word in self.words[:changed]]
        return _close(session, row, promoted, gain, self.words)


def _close(session: Session, row: RoundRow, promoted: bool, gain: float, words: Sequence[str]) -> RoundRow:
    """Two reviews of 90 s and one without a time, and a pseudo-label for each word."""
    tasks = [NewTask(f"p{place:03}", "random", True, place, (passage_id(MILL),)) for place in range(3)]
    store.add_tasks(session, row.number, tasks)
    for task in queries.tasks(session, round_number=row.number):
        seconds = None if task.position == 2 else 90.0
        store.record_review(session, NewReview(task.id, "kim", "skipped", seconds=seconds))
    model = store.add_model(
        session,
        row.number,
        hash=f"{row.number:064}",
        training_sha256="t",
        path=f"models/round-{row.number}",
        start="builtin",
        config={},
        examples=1,
        seconds=1.0,
        loss=0.5,
    )
    pseudo = [
        NewLabel(f"p{place:03}", (_span(word),), train_weight=0.6, released=False, model_id=model)
        for place, word in enumerate(words)
    ]
    store.record_labels(session, row.number, human=[], pseudo=pseudo, reason=f"round {row.number}")
    gate = {"why": "as told", "unpowered": False, "exact_match_change": gain}
    gate |= {"minimum_detectable_change": 0.05, "questions": 200, "power": 0.8}
    return store.advance(session, row.number, "open", "closed", promoted=promoted, student_id=model, gate=gate)


def _span(word: str) -> SpanRow:
    start = MILL.index(word)
    return SpanRow(word, passage_id(MILL), start, start + len(word))


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = new_workspace(tmp_path / "ws")
    asked = [(f"p{number:03}", f"Question {number}?", "Oren") for number in range(POOL)]
    ok("import", squad(tmp_path / "pool.json", {MILL: asked}), "--as", "pool", "-w", folder)
    return folder


@pytest.fixture
def play(pool: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def started(*ends: tuple[bool, float, int] | None, killed_after: int | None = None) -> Script:
        script = Script(list(ends), killed_after)
        monkeypatch.setattr(machine, "run", script)
        return script

    return started


def until(workspace: Path, *more: str) -> Any:
    return ok("round", "--until-converged", *more, "-w", workspace)


GAINS, REFUSED = (True, 0.02, 50), (False, -0.02, 50)


def test_rounds_follow_each_other_until_two_are_refused(pool: Path, play: Any) -> None:
    script = play(GAINS, REFUSED, GAINS, REFUSED, REFUSED, GAINS)
    found = until(pool)
    assert (found["stopped"], found["why"]) == ("refused", "the last 2 rounds were refused (3 and 4)")
    assert found["stopped_because"] == found["why"]
    assert [each["round"] for each in found["rounds"]] == [0, 1, 2, 3, 4]
    assert script.ends == [GAINS]


def test_the_text_ends_with_the_rule(pool: Path, play: Any) -> None:
    play(GAINS, (True, 0.004, 50))
    text = run("round", "--until-converged", "-w", pool).out
    assert text.splitlines()[-1] == "stopped (gain): EM on dev changed by +0.4 points in round 1, less than +0.5"


def test_equal_pseudo_labels_stop_only_where_another_reader_gave_them(pool: Path, play: Any) -> None:
    script = play(GAINS, REFUSED, (True, 0.02, 0), (True, 0.02, 2))
    assert until(pool)["stopped"] == "churn"  # round 2 has the teacher of round 1: that it changed nothing says nothing
    assert script.made == 4


def test_the_last_round_gets_what_is_left_of_the_reviews(pool: Path, play: Any) -> None:
    script = play(GAINS, GAINS, GAINS)
    found = until(pool, "--max-reviews", "8", "--review-budget", "5")
    assert (found["stopped"], found["why"]) == ("reviews", "9 of at most 8 reviews were done")
    assert script.budgets == [5, 5, 2]


def test_minutes_count_reviews_without_a_time_as_the_mean(pool: Path, play: Any) -> None:
    script = play(GAINS, GAINS, GAINS)
    found = until(pool, "--max-minutes", "9")  # 3 reviews a round, 90 s each
    assert found["why"] == "9 of at most 9 minutes of reviewing were spent"
    assert script.made == 2


def test_a_series_that_waits_for_people_goes_on_and_counts_its_first_rounds(pool: Path, play: Any) -> None:
    play(GAINS, None, GAINS, GAINS)
    waiting = until(pool, "--rounds", "2")
    assert (waiting["waiting_for"], waiting["stopped"], waiting["why"]) == ("2 reviews", None, None)
    found = until(pool, "--rounds", "2")
    assert (found["stopped"], [each["round"] for each in found["rounds"]]) == ("rounds", [1])


def test_a_round_that_people_finished_otherwise_is_judged_by_the_next_call(pool: Path, play: Any) -> None:
    script = play(GAINS, None, REFUSED, REFUSED, GAINS)
    until(pool)
    ok("round", "-w", pool)
    found = until(pool)
    assert (found["stopped"], script.made) == ("refused", 3)


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_series_stops_after_the_same_round(pool: Path, play: Any, killed_after: int) -> None:
    script = play(GAINS, REFUSED, REFUSED, GAINS, killed_after=killed_after)
    assert run("round", "--until-converged", "-w", pool).code == 130
    found = until(pool)
    assert (found["stopped"], script.made) == ("refused", 3)
    assert [each["round"] for each in found["rounds"]] == [0, 1, 2]


def test_a_series_killed_before_it_said_that_it_stopped_says_so(
    pool: Path, play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = play(REFUSED, REFUSED, GAINS)
    with monkeypatch.context() as patch:
        patch.setattr("labeler.cli.rounds._Runs.show", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run("round", "--until-converged", "--json", "-w", pool).code == 130
    found = until(pool)
    assert (found["stopped"], script.made, [each["round"] for each in found["rounds"]]) == ("refused", 2, [0, 1])


def test_after_a_stop_the_next_call_is_a_new_series(pool: Path, play: Any) -> None:
    script = play(REFUSED, REFUSED, REFUSED, GAINS, (True, 0.0, 20))
    assert until(pool)["stopped"] == "refused"
    found = until(pool)
    assert (found["stopped"], script.made) == ("gain", 5)  # the third refused round is the first of this series


def certify(workspace: Path, coverage: float | None) -> None:
    """A certificate of this share of the pool, with the audit that it rests on; None: of nothing."""
    database = open_workspace(workspace).database()
    with database.write() as session:
        row = store.open_round(session, "audit", config={}, seed=0, code_version="1")
        tasks = [NewTask(f"p{place:03}", "audit", True, place, (passage_id(MILL),)) for place in range(3)]
        store.add_tasks(session, row.number, tasks)
        for task in queries.tasks(session, round_number=row.number):
            store.record_review(session, NewReview(task.id, "kim", "skipped", seconds=600.0))
        made = certificates.add(session, row.number, request={})
        certificates.freeze(session, made.id, plan={}, seed="1", items=[])
        document = {"certified": None if coverage is None else {"coverage": coverage}}
        certificates.conclude(session, made.id, audited=[], document=document, sha256="0" * 64)
        store.advance(session, row.number, "open", "closed", promoted=False)
    database.close()


@pytest.mark.parametrize(
    ("coverages", "rule"),
    [((), "gain"), ((0.1,), None), ((None,), "gain"), ((0.1, 0.11), "gain"), ((0.1, 0.13), None), ((0.2, 0.1), "gain")],
)
def test_a_round_without_a_gain_goes_on_where_certificates_cover_more(
    pool: Path, play: Any, coverages: tuple[float | None, ...], rule: str | None
) -> None:
    play(None, (True, 0.0, 50), None)
    until(pool)
    ok("round", "-w", pool)
    for coverage in coverages:
        certify(pool, coverage)
    assert until(pool)["stopped"] == rule


def test_a_certificate_from_before_the_round_says_nothing_about_it(pool: Path, play: Any) -> None:
    play(GAINS, (True, 0.0, 50))
    certify(pool, 0.5)
    assert until(pool)["stopped"] == "gain"


def test_audits_are_no_rounds_of_a_series_and_spend_none_of_its_reviews(pool: Path, play: Any) -> None:
    play(None, GAINS, GAINS, GAINS)
    until(pool)
    ok("round", "-w", pool)
    certify(pool, 0.5)
    found = until(pool, "--rounds", "3", "--max-reviews", "9", "--max-minutes", "14")
    assert [each["round"] for each in found["rounds"]] == [2, 3]
    assert (found["stopped"], found["why"]) == ("rounds", "the limit of 3 rounds is reached")


def test_limits_need_a_series_and_a_dry_run_has_none(pool: Path) -> None:
    for wrong in (("--max-reviews", "3"), ("--max-minutes", "3"), ("--until-converged", "--dry-run")):
        assert run("round", *wrong, "-w", pool).code == 2


def test_without_a_question_it_ends_in_the_line_of_the_command(tmp_path: Path) -> None:
    folder = new_workspace(tmp_path / "empty")
    assert run("round", "--until-converged", "-w", folder).fault == run("round", "-w", folder).fault
