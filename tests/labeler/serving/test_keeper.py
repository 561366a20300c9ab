"""Beside the calls: suggestions on the server are renewed after a promotion, and hints lead to a pull."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from db import queries, store
from db.rows import NewTask
from labeler.core.errors import ServerDown
from labeler.core.runtime import Runtime
from labeler.review.studio.payloads import MODEL_VERSION
from labeler.review.studio.push import push
from labeler.serving import keeper as keeper_module
from labeler.serving.keeper import Keeper
from labeler.serving.renewal import is_needed, renew, renew_alone
from labeler.serving.suggestions import Suggester
from tests.labeler.fake_studio import FakeStudio
from tests.labeler.serving.world import answer_of, promote, tasks_of

Json = dict[str, Any]


@dataclass
class LiveStudio(FakeStudio):
    """A Label Studio in memory that keeps predictions too."""

    shown: dict[int, dict[int, Json]] = field(default_factory=dict)  # task -> prediction id -> prediction
    fails_at: int = 0  # of the changes of predictions, counted down

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers = itertools.count(1)

    def import_tasks(self, remote_id: int, tasks: Any) -> list[int]:
        ids = super().import_tasks(remote_id, tasks)
        for task_id, task in zip(ids, tasks, strict=True):
            self.shown[task_id] = {next(self._numbers): each for each in task.get("predictions", [])}
        return ids

    def predictions(self, task_id: int, *, model_version: str) -> list[int]:
        assert model_version == MODEL_VERSION
        return sorted(self.shown[task_id])

    def set_prediction(self, prediction_id: int, prediction: Json) -> None:
        self._changed()
        for each in self.shown.values():
            if prediction_id in each:
                each[prediction_id] = prediction

    def add_prediction(self, task_id: int, prediction: Json) -> None:
        self._changed()
        self.shown[task_id][next(self._numbers)] = prediction

    def delete_prediction(self, prediction_id: int) -> None:
        self._changed()
        for each in self.shown.values():
            each.pop(prediction_id, None)

    def _changed(self) -> None:
        self.fails_at -= 1
        if self.fails_at == 0:
            raise ServerDown("it broke off", unsure=True)

    def marks(self) -> dict[str, list[Any]]:
        """Task key -> where its predictions mark their answers."""
        return {
            task.key: [answer_of(each) for each in self.shown[task.id].values()]
            for tasks in self.tasks.values()
            for task in tasks.values()
        }


@pytest.fixture
def server(runtime: Runtime) -> Any:
    """A server that holds the tasks of round 1."""
    made = LiveStudio()
    with runtime.database.read() as session:
        row = queries.round_(session, 1)
    push(runtime, made, row)  # type: ignore[arg-type]
    return made


@pytest.fixture
def suggester(runtime: Runtime) -> Iterator[Suggester]:
    made = Suggester(runtime)
    yield made
    made.close()


def test_nothing_is_renewed_while_the_same_reader_is_current(
    runtime: Runtime, server: Any, suggester: Suggester
) -> None:
    before = server.marks()
    assert not is_needed(runtime, server.url)
    assert renew(runtime, server, suggester) == 0
    assert server.marks() == before


def test_a_promotion_renews_the_suggestions_of_open_tasks_once_and_a_revert_brings_them_back(
    runtime: Runtime, server: Any, suggester: Suggester
) -> None:
    before = server.marks()
    promote(runtime)
    open_tasks = [task for task in tasks_of(runtime) if not task.blind]
    assert is_needed(runtime, server.url)
    assert not is_needed(runtime, "http://elsewhere.test")
    assert renew(runtime, server, suggester) == len(open_tasks)
    after = server.marks()
    assert {key for key in after if after[key] != before[key]} <= {key for key in before if before[key]}
    assert after != before
    assert all(len(marks) == len(before[key]) for key, marks in after.items())
    assert renew(runtime, server, suggester) == 0
    with runtime.database.write() as session:
        store.revert(session, 2)
    assert renew(runtime, server, suggester) == len(open_tasks)
    assert server.marks() == before


def test_blind_done_and_judged_tasks_are_left_alone(runtime: Runtime, server: Any, suggester: Suggester) -> None:
    first, second = [task for task in tasks_of(runtime) if not task.blind][:2]
    with runtime.database.write() as session:
        store.set_task_states(session, [first.id], "done")
        store.add_tasks(session, 1, [NewTask(second.question_id, "judgement", False, 0, second.passages, attempt=1)])
        row = queries.round_(session, 1)
    push(runtime, server, row)
    before = server.marks()
    promote(runtime)
    assert renew(runtime, server, suggester) == sum(not task.blind for task in tasks_of(runtime)) - 2
    kept = [key for key, marks in server.marks().items() if marks == before[key]]
    assert len(kept) >= sum(task.blind for task in tasks_of(runtime)) + 2
    blind = [key for key, marks in before.items() if not marks]
    assert all(server.marks()[key] == [] for key in blind)


def test_a_task_that_lost_its_prediction_gets_one_and_surplus_ones_go(
    runtime: Runtime, server: Any, suggester: Suggester
) -> None:
    with_suggestion = [task_id for task_id, shown in server.shown.items() if shown]
    server.shown[with_suggestion[0]].clear()
    server.shown[with_suggestion[1]][999] = next(iter(server.shown[with_suggestion[1]].values()))
    promote(runtime)
    renew(runtime, server, suggester)
    assert all(len(server.shown[task_id]) == 1 for task_id in with_suggestion)


def test_a_task_whose_id_was_given_to_another_is_not_touched(
    runtime: Runtime, server: Any, suggester: Suggester
) -> None:
    task_id = next(task_id for task_id, shown in server.shown.items() if shown)
    for tasks in server.tasks.values():
        if task_id in tasks:
            tasks[task_id] = type(tasks[task_id])(task_id, tasks[task_id].updated_at, {"task": "another"})
    before = dict(server.shown[task_id])
    promote(runtime)
    renew(runtime, server, suggester)
    assert server.shown[task_id] == before


def test_a_renewal_that_breaks_off_is_completed_by_the_next(
    runtime: Runtime, server: Any, suggester: Suggester
) -> None:
    promote(runtime)
    server.fails_at = 3
    with pytest.raises(ServerDown):
        renew(runtime, server, suggester)
    assert renew_alone(runtime, server) > 0
    expected = server.marks()
    assert renew(runtime, server, suggester) == 0
    assert server.marks() == expected


@pytest.fixture
def kept(
    runtime: Runtime, server: Any, suggester: Suggester, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Keeper, list[float]]]:
    """A running keeper, and the moments of its pulls."""
    pulls: list[float] = []
    real = keeper_module.exchange_reviews

    def counted(*given: Any, **more: Any) -> Any:
        pulls.append(time.monotonic())
        return real(*given, **more)

    for name, seconds in (("LOOK_SECONDS", 0.05), ("PULL_SECONDS", 0.5), ("RETRY_SECONDS", 0.2)):
        monkeypatch.setattr(keeper_module, name, seconds)
    monkeypatch.setattr(keeper_module, "find_connection", lambda *given: None)
    monkeypatch.setattr(keeper_module, "LiveClient", lambda connection: server)
    monkeypatch.setattr(keeper_module, "exchange_reviews", counted)
    keeper = Keeper(runtime, suggester)
    keeper.start()
    yield keeper, pulls
    keeper.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_keeper_notices_a_promotion(runtime: Runtime, server: Any, kept: Any) -> None:
    before = server.marks()
    promote(runtime)
    wait_until(lambda: not is_needed(runtime, server.url))
    assert server.marks() != before


def test_a_hint_leads_to_a_pull_and_many_hints_to_few(runtime: Runtime, server: Any, kept: Any) -> None:
    keeper, pulls = kept
    server.skip(server.open()[0])
    for _ in range(200):
        keeper.hint()
    wait_until(lambda: len(_reviews(runtime)) == 1)
    time.sleep(0.5)
    assert 1 <= len(pulls) <= 2
    server.skip(server.open()[0])
    keeper.hint()
    wait_until(lambda: len(_reviews(runtime)) == 2)
    for first, second in itertools.pairwise(pulls):
        assert second - first >= 0.4


def test_a_hint_waits_while_another_command_holds_the_workspace_and_while_the_server_is_down(
    runtime: Runtime, server: Any, kept: Any, caplog: pytest.LogCaptureFixture
) -> None:
    keeper, _ = kept
    server.skip(server.open()[0])
    with runtime.workspace.lock("labeler train"):
        keeper.hint()
        wait_until(lambda: "is in use by" in caplog.text)
        assert _reviews(runtime) == []
        server.down = True
    wait_until(lambda: "trying again" in caplog.text.partition("is in use by")[2])
    server.down = False
    wait_until(lambda: len(_reviews(runtime)) == 1)
    assert caplog.text.count("is in use by") == 1


def _reviews(runtime: Runtime) -> list[Any]:
    with runtime.database.read() as session:
        return queries.reviews(session)
