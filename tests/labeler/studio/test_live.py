"""`labeler serve` and a real Label Studio in a real browser: live suggestions, and blind tasks that stay blind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from db import queries, store
from db.rows import NewTask
from labeler.core.errors import ConfigError, StudioError
from labeler.core.runtime import Runtime
from labeler.review.studio.api.live import REVEALING, LiveClient
from labeler.review.studio.payloads import MODEL_VERSION
from labeler.review.studio.push import push
from labeler.rounds.steps import human_review
from labeler.serving import keeper as keeper_module
from labeler.serving.access import Access
from labeler.serving.attaching import TITLE, connect, disconnect
from labeler.serving.backend import Backend
from labeler.serving.keeper import Keeper
from labeler.serving.renewal import is_needed
from labeler.serving.server import Server
from labeler.serving.suggestions import Suggester
from tests.labeler.serving.world import in_review, promote, tasks_of
from tests.labeler.studio.people import People, says
from tests.labeler.studio.test_browser import PAGES, Studio, studio  # noqa: F401  (a fixture)
from tests.studio import TestServer
from tests.worlds import at

WAIT = 60.0  # seconds for what happens by itself
LIMIT = 100.0  # seconds that the server waits for predictions
PATIENCE = 550.0  # seconds for storing hundreds of predictions on a busy machine

Mark = tuple[str, int, int]  # name of the text, start, end
#: what is marked on the page, whatever overlaps
ON_PAGE = "window.Htx.annotationStore.selected.serializeAnnotation().filter(each => each.type === 'labels')"


@dataclass
class Live:
    """A workspace in review whose tasks are on the server, a backend that listens, and the calls that it got."""

    runtime: Runtime
    people: People
    client: LiveClient
    suggester: Suggester
    keeper: Keeper
    url: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # that each call took

    @property
    def predicted(self) -> int:
        return [path for _, path in self.calls].count("/predict")

    def project(self, *, blind: bool) -> int:
        with self.runtime.database.read() as session:
            (found,) = [row for row in queries.projects(session) if row.blind == blind]
        assert found.remote_id is not None
        return found.remote_id

    def ids(self, *, blind: bool) -> list[int]:
        return [task["id"] for task in self.people.tasks(self.project(blind=blind))]

    def predictions(self, task: int) -> list[Any]:
        found: list[Any] = self.people.call("GET", f"/api/predictions/?task={task}")
        return found

    def forget(self, task: int) -> None:
        """Deletes the predictions of a task on the server."""
        for each in self.predictions(task):
            self.people.call("DELETE", f"/api/predictions/{each['id']}/")

    def backends(self, *, blind: bool) -> list[Any]:
        found: list[Any] = self.people.call("GET", f"/api/ml/?project={self.project(blind=blind)}")
        return found

    def retrieve(self, project: int) -> None:
        """Has the server ask its backend for all tasks of a project, as the button in its task list does."""
        everything = {"selectedItems": {"all": True, "excluded": []}}
        path = f"/api/dm/actions/?id=retrieve_tasks_predictions&project={project}"
        headers = {"Authorization": f"Token {self.people.server.token}"}
        url = self.people.server.url
        httpx.post(url + path, json=everything, headers=headers, timeout=PATIENCE).raise_for_status()

    @contextmanager
    def revealed(self, project: int) -> Iterator[None]:
        """The settings are on by which a project asks a backend and shows what it answered."""
        for on in (True, False):
            self.people.call("PATCH", f"/api/projects/{project}/", dict.fromkeys(REVEALING, on))
            if on:
                yield

    @contextmanager
    def listening(self, secret: str | None = None) -> Iterator[str]:
        """A backend at an address of its own."""
        backend = _Listened(self.runtime, self.suggester, self.keeper.hint)
        backend.calls, backend.seconds = self.calls, self.seconds
        server = Server("127.0.0.1", 0, backend, Access(secret))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Listened(Backend):
    """A backend that notes its calls."""

    calls: list[tuple[str, str]]
    seconds: list[float]

    def answer(self, method: str, path: str, body: bytes) -> Any:
        self.calls.append((method, path))
        began = time.monotonic()
        reply = super().answer(method, path, body)
        self.seconds.append(time.monotonic() - began)
        return reply


@pytest.fixture(scope="module")
def live(baseline: Path, label_studio: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = in_review(baseline, tmp_path_factory.mktemp("live") / "ws")
    client = LiveClient(label_studio.connection)
    with pytest.MonkeyPatch.context() as patch, at(folder) as runtime:
        patch.setenv("LABEL_STUDIO_URL", label_studio.url)
        patch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
        with runtime.database.read() as session:
            row = queries.round_(session, 1)
        push(runtime, client, row)
        suggester = Suggester(runtime)
        keeper = Keeper(runtime, suggester)
        keeper.start()
        made = Live(runtime, People(label_studio), client, suggester, keeper)
        with made.listening() as made.url:
            connect(runtime, client, made.url, secret=None)
            yield made
        keeper.stop()
        suggester.close()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def open_task(studio: Studio, project: int, task: int) -> list[Mark]:  # noqa: F811
    """Opens one task as a reviewer does from the list, and returns what is marked on its page."""
    studio.page.set_default_timeout(4 * PAGES * 1000)
    studio.page.goto(f"{studio.url}/projects/{project}/data?task={task}")
    studio.page.wait_for_selector(".lb-passage .lsf-richtext__line")
    studio.page.wait_for_function("window.Htx?.annotationStore?.selected")
    studio.page.wait_for_timeout(1500)  # marks are drawn after the text
    return sorted(
        (each["to_name"], each["value"]["start"], each["value"]["end"]) for each in studio.page.evaluate(ON_PAGE)
    )


def marks(prediction: Any) -> list[Mark]:
    regions = [each for each in prediction["result"] if each["type"] == "labels"]
    return sorted((each["to_name"], each["value"]["start"], each["value"]["end"]) for each in regions)


# --- which projects ask ---------------------------------------------------------------------------


def test_the_backend_is_attached_to_the_project_with_suggestions_alone(live: Live) -> None:
    (attached,) = live.backends(blind=False)
    assert (attached["title"], attached["url"], attached["readable_state"]) == (TITLE, live.url, "Connected")
    assert attached["model_version"] == MODEL_VERSION
    assert live.backends(blind=True) == []
    again = connect(live.runtime, live.client, live.url, secret=None)
    assert {(each.blind, each.backend, each.others) for each in again.projects} == {
        (False, "updated", ()),
        (True, "none", ()),
    }
    assert len(live.backends(blind=False)) == 1


def test_a_blind_project_loses_a_backend_and_the_settings_that_people_gave_it(live: Live) -> None:
    project = live.project(blind=True)
    live.people.call("POST", "/api/ml/", {"project": project, "url": live.url, "title": TITLE})
    live.people.call("PATCH", f"/api/projects/{project}/", dict.fromkeys(REVEALING, True))
    done = connect(live.runtime, live.client, live.url, secret=None)
    assert [each.backend for each in done.projects if each.blind] == ["detached"]
    assert live.backends(blind=True) == []
    state = live.people.call("GET", f"/api/projects/{project}/")
    assert [state[name] for name in REVEALING] == [False, False]
    assert live.people.call("GET", f"/api/webhooks/?project={project}") == []


def test_a_backend_that_does_not_answer_or_is_elsewhere_without_a_secret_is_refused(live: Live) -> None:
    with pytest.raises(StudioError, match="labeler serve"):
        connect(live.runtime, live.client, "http://127.0.0.1:9", secret=None)
    with pytest.raises(ConfigError, match="LABELER_SERVE_SECRET"):
        connect(live.runtime, live.client, "http://labeler.example:9090", secret=None)
    connect(live.runtime, live.client, live.url, secret=None)


# --- blind tasks ----------------------------------------------------------------------------------


def test_blind_tasks_are_opened_without_a_call_and_show_nothing(
    live: Live,
    studio: Studio,  # noqa: F811
) -> None:
    project, ids = live.project(blind=True), live.ids(blind=True)
    before = list(live.calls)
    with studio.listening() as bodies:
        studio.open(project)
        assert studio.page.locator(".htx-highlight").count() == 0
        assert open_task(studio, project, ids[0]) == []
        with live.revealed(project):  # as a person might set it
            assert open_task(studio, project, ids[1]) == []
            live.retrieve(project)
    assert live.calls == before
    assert any(f'"id":{ids[1]}' in body.replace(" ", "") for body in bodies)  # the tasks were among them
    assert f'"{MODEL_VERSION}"' not in "".join(bodies)
    assert all(live.predictions(task) == [] for task in ids)


def test_a_backend_in_a_blind_project_is_told_nothing(live: Live) -> None:
    project, task = live.project(blind=True), live.ids(blind=True)[0]
    attached = live.people.call("POST", "/api/ml/", {"project": project, "url": live.url, "title": "by hand"})
    before = live.predicted
    with live.revealed(project):
        live.people.call("GET", f"/api/tasks/{task}/?project={project}")
    assert live.predicted == before + 1
    assert all(each["result"] == [] for each in live.predictions(task))
    live.people.call("DELETE", f"/api/ml/{attached['id']}")
    live.forget(task)


# --- suggestions ----------------------------------------------------------------------------------


def test_opening_a_task_shows_the_current_readers_answer_and_after_a_promotion_the_new_one(
    live: Live,
    studio: Studio,  # noqa: F811
) -> None:
    project, task = live.project(blind=False), live.ids(blind=False)[0]
    (sent,) = live.predictions(task)
    live.forget(task)
    before = live.predicted
    assert open_task(studio, project, task) == marks(sent)
    studio.shoot("live-suggestion")
    assert live.predicted == before + 1
    (asked,) = live.predictions(task)
    assert (asked["result"], asked["model_version"]) == (sent["result"], MODEL_VERSION)
    promote(live.runtime)
    wait_until(lambda: not is_needed(live.runtime, live.client.url))
    (renewed,) = live.predictions(task)
    assert renewed["id"] == asked["id"]
    assert marks(renewed) != marks(asked)
    assert open_task(studio, project, task) == marks(renewed)
    studio.shoot("live-suggestion-renewed")
    live.forget(task)
    assert open_task(studio, project, task) == marks(renewed)
    studio.open(project)  # the stream of tasks shows what was renewed, too
    assert studio.page.locator(".htx-highlight").count() > 0


def test_an_interactive_call_is_answered_through_the_server(live: Live) -> None:
    project, task = live.project(blind=False), live.ids(blind=False)[1]
    (attached,) = live.backends(blind=False)
    live.people.call("PATCH", f"/api/ml/{attached['id']}", {
        "project": project, "url": live.url, "title": TITLE, "is_interactive": True
    })  # fmt: skip
    context = {"result": [{"type": "labels", "to_name": "p2", "value": {"start": 0, "end": 3}}]}
    body = {"task": task, "context": context}
    answer = live.people.call("POST", f"/api/ml/{attached['id']}/interactive-annotating", body)
    places = {each["to_name"] for each in answer["data"]["result"] if each["type"] == "labels"}
    assert places == {"p2"}
    versions = live.people.call("GET", f"/api/ml/{attached['id']}/versions")
    assert versions == {"versions": [MODEL_VERSION]}


# --- webhooks -------------------------------------------------------------------------------------


def test_an_annotation_is_fetched_by_the_hint_that_the_server_gives(live: Live) -> None:
    done = live.people.answer(live.ids(blind=False)[2], says("no_answer"))
    wait_until(lambda: len(_reviews(live.runtime)) == 1)
    live.people.take_back(done)
    wait_until(lambda: len(_reviews(live.runtime)) == 0)


def test_with_a_secret_the_server_logs_in_and_its_webhook_too(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cret-of-the-test"
    with live.listening(secret) as url:
        with pytest.raises(StudioError, match="LABELER_SERVE_SECRET"):
            connect(live.runtime, live.client, url, secret="wrong")
        connect(live.runtime, live.client, url, secret=secret)
        (attached,) = live.backends(blind=False)
        assert (attached["url"], attached["readable_state"]) == (url, "Connected")
        before = live.calls.count(("POST", "/webhook"))
        annotation = live.people.answer(live.ids(blind=False)[3], says("no_answer"))
        assert live.calls.count(("POST", "/webhook")) == before + 1
        live.people.take_back(annotation)
        connect(live.runtime, live.client, live.url, secret=None)
    gone = disconnect(live.runtime, live.client)
    assert {each.backend for each in gone.projects if not each.blind} == {"detached"}
    assert live.backends(blind=False) == []
    assert human_review.client(live.runtime).url == live.client.url


# --- many tasks -----------------------------------------------------------------------------------


def test_five_hundred_tasks_are_predicted_within_the_servers_time_limit(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = SimpleNamespace(changed=False)  # a pull would withdraw repetitions of unanswered tasks
    monkeypatch.setattr(keeper_module, "exchange_reviews", lambda *given, **more: nothing)
    monkeypatch.setattr(keeper_module, "is_needed", lambda *given: False)
    connect(live.runtime, live.client, live.url, secret=None)
    first = [task for task in tasks_of(live.runtime) if not task.blind and task.attempt == 0]
    with live.runtime.database.write() as session:
        for attempt in range(1, 500 // len(first) + 1):
            more = [NewTask(task.question_id, "random", False, 99, task.passages, attempt) for task in first]
            store.add_tasks(session, 1, more)
        row = queries.round_(session, 1)
    push(live.runtime, live.client, row)
    project = live.project(blind=False)
    version = {"model_version": MODEL_VERSION}
    live.people.call("DELETE", f"/api/projects/{project}/model-versions/", version)
    live.suggester._read.clear()  # all are read again
    before = live.predicted
    live.seconds.clear()
    live.retrieve(project)
    tasks = live.people.tasks(project)
    assert len(tasks) >= 500
    assert live.predicted == before + 1
    assert all(len(task["predictions"]) == 1 and task["predictions"][0]["result"] for task in tasks)
    assert max(live.seconds) < LIMIT


def _reviews(runtime: Runtime) -> list[Any]:
    with runtime.database.read() as session:
        return queries.reviews(session)
