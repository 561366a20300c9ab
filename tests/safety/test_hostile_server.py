"""A server may send anything: one spoiled task is a conflict, the others are pulled; every size and time is bounded."""

from __future__ import annotations

import copy
import gzip
import json
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from db import queries
from labeler.core.errors import AnswerTooLarge, NotLabelStudio, ServerDown, StudioError
from labeler.core.runtime import Runtime
from labeler.core.web import bounded
from labeler.review.studio import reconcile
from labeler.review.studio.api import client, tasks, transport
from labeler.review.studio.labeling_config import config_sha256
from labeler.review.studio.pull import Pulled, pull
from labeler.review.studio.push import push
from labeler.review.studio.untrusted import as_text, is_deep, load_json
from tests.labeler.studio.people import says
from tests.labeler.studio.runtimes import Shape, at, make_runtime
from tests.safety.hostile import Hostile, Json, Raw, hostile_server

BAD = 2  # the id of the spoiled task, of four


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LOST_SECONDS", 0.2)


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile_server() as running:
        yield running


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with four open tasks. Not to be changed."""
    return make_runtime(tmp_path_factory.mktemp("hostile") / "ws", Shape(tasks=4, blind_every=9, characters=60))


@pytest.fixture
def runtime(workspace: Path, tmp_path: Path) -> Iterator[Runtime]:
    with at(shutil.copytree(workspace, tmp_path / "ws"), batch=10) as opened:
        yield opened


def in_review(runtime: Runtime) -> Any:
    with runtime.database.read() as session:
        return queries.current_round(session)


@pytest.fixture
def answered(runtime: Runtime, server: Hostile) -> Hostile:
    """The server, to which four tasks were sent; each has an answer."""
    push(runtime, server.client(), in_review(runtime))
    for number in server.tasks:
        server.annotate(number, says("answerable", (1, 4, 9)))
    return server


def spoiling(change: Callable[[Json], object]) -> Callable[[str, Any], Any]:
    """Apply a change to the bad task in every list of whole tasks."""

    def spoil(path: str, answer: Any) -> Any:
        if "/api/tasks/" not in path or "fields=all" not in path:
            return answer
        answer = copy.deepcopy(answer)
        for task in answer["tasks"]:
            if task["id"] == BAD:
                change(task)
        return answer

    return spoil


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def annotation(**changes: Any) -> Callable[[Json], object]:
    return lambda task: task["annotations"][0].update(changes)


def region(**changes: Any) -> Callable[[Json], object]:
    """A change of the value of each region."""
    return lambda task: [each["value"].update(changes) for each in task["annotations"][0]["result"]]


SPOILED: dict[str, Callable[[Json], object]] = {
    "null as the id of an annotation": annotation(id=None),
    "NaN as the id of an annotation": annotation(id=float("nan")),
    "2^70 as the id of an annotation": annotation(id=1 << 70),
    "a list as the id of an annotation": annotation(id=[1]),
    "an id below zero": annotation(id=-1),
    "true as an id": annotation(id=True),
    "a naive date": annotation(updated_at="2026-01-02T03:04:05"),
    "no date": lambda task: task["annotations"][0].pop("updated_at"),
    "a number as a date": annotation(updated_at=5),
    "a date in the year 1": annotation(updated_at="0001-01-01T00:00:00+14:00"),
    "a date in the year 9999": annotation(updated_at="9999-12-31T23:59:59-14:00"),
    "a date of endless length": annotation(updated_at="2026" * 99),
    "a list as the person": annotation(completed_by=[1]),
    "a text as the person": annotation(completed_by="kim"),
    "an annotation nested 700 deep": annotation(result=nested(700)),
    "an annotation nested 700 deep in an unused field": annotation(lead_time=nested(700)),
    "a text as the result": annotation(result="answerable"),
    "a list of texts as the result": annotation(result=["answerable"]),
    "a list in the place of a choice": region(choices=[["answerable"]]),
    "an object in the place of choices": region(choices={"answerable": 1}),
    "a list in the place of a label": region(labels=[["Answer"]]),
    "NaN as an offset": region(start=float("nan")),
    "infinity as an offset": region(end=float("inf")),
    "2^70 as an offset": region(end=1 << 70),
    "a text that says whether it is skipped": annotation(was_cancelled="no"),
    "a text as an annotation": lambda task: task.update(annotations=["answerable"]),
    "a number as the annotations": lambda task: task.update(annotations=7),
    "a list as the data": lambda task: task.update(data=[1]),
    "null as the id of the task": lambda task: task.update(id=None),
    "NaN as the id of the task": lambda task: task.update(id=float("nan")),
    "2^70 as the id of the task": lambda task: task.update(id=1 << 70),
    "an edited question": lambda task: task["data"].update(question=task["data"]["question"] + " "),
    "a list as the question": lambda task: task["data"].update(question=[task["data"]["question"]]),
    "an edited passage": lambda task: task["data"].update(p1=task["data"]["p1"] + "."),
    "a passage with half a surrogate pair": lambda task: task["data"].update(p1="\ud800"),
}


@pytest.mark.parametrize("change", SPOILED.values(), ids=SPOILED)
def test_one_spoiled_task_is_a_listed_conflict_and_the_others_are_pulled(
    change: Callable[[Json], object], answered: Hostile, runtime: Runtime
) -> None:
    answered.spoil = spoiling(change)
    first = pull(runtime, answered.client())
    _only_the_bad_one_is_missing(runtime, first)
    again = pull(runtime, answered.client(), everything=True)
    assert (again.reviews, again.deleted) == (0, 0)
    _only_the_bad_one_is_missing(runtime, again)


def _only_the_bad_one_is_missing(runtime: Runtime, done: Pulled) -> None:
    (conflict,) = done.conflicts
    assert conflict.question_id == "q00001"
    assert 0 < len(conflict.why) < 200
    with runtime.database.read() as session:
        assert len(queries.reviews(session)) == 3


def test_a_spoiled_task_that_is_mended_is_pulled(answered: Hostile, runtime: Runtime) -> None:
    answered.spoil = spoiling(annotation(id=None))
    assert len(pull(runtime, answered.client()).conflicts) == 1
    answered.spoil = lambda path, answer: answer
    mended = pull(runtime, answered.client(), everything=True)
    assert (mended.reviews, mended.conflicts) == (1, ())


@pytest.mark.parametrize("spoiled", [None, float("nan"), 1 << 70])
def test_a_task_without_id_in_every_listing_is_not_taken_for_deleted(
    spoiled: Any, answered: Hostile, runtime: Runtime
) -> None:
    def spoil(path: str, answer: Any) -> Any:
        if "/api/tasks/" not in path:
            return answer
        answer = copy.deepcopy(answer)
        for task in answer["tasks"]:
            task["id"] = spoiled if task["id"] == BAD else task["id"]
        return answer

    answered.spoil = spoil
    done = pull(runtime, answered.client())
    assert (done.gone, done.reviews, [each.question_id for each in done.conflicts]) == (0, 3, ["q00001"])


def test_a_task_nested_deeper_than_can_be_parsed_is_a_conflict(answered: Hostile, runtime: Runtime) -> None:
    deep = b"[" * 50_000 + b"]" * 50_000

    def spoil(path: str, answer: Any) -> Any:
        spoiled = spoiling(annotation(result="(deep)"))(path, answer)
        return json.dumps(spoiled).encode().replace(b'"(deep)"', deep)

    answered.spoil = spoil
    done = pull(runtime, answered.client())
    assert done.reviews == 3
    assert [each.why for each in done.conflicts] == ["annotation 2: is nested deeper than 100"]


def test_one_task_that_is_too_large_is_a_conflict(
    answered: Hostile, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MAX_BYTES", 100_000)
    answered.spoil = spoiling(annotation(result=["x" * 100_000]))
    done = pull(runtime, answered.client())
    assert done.reviews == 3
    assert [each.why for each in done.conflicts] == ["the task on the server is too large"]


def test_one_task_with_too_many_values_is_a_conflict(
    answered: Hostile, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_VALUES", 1000)
    answered.spoil = spoiling(annotation(result=[[]] * 2000))
    done = pull(runtime, answered.client())
    assert (done.reviews, len(done.conflicts)) == (3, 1)


# --- users, projects, lists -----------------------------------------------------------------------

STRANGE: list[Any] = [None, 5, "text", [], [1], [[]], {}, {"results": 7}, {"count": 10**12}, float("nan"), nested(700)]


@pytest.mark.parametrize("answer", STRANGE, ids=lambda answer: repr(answer)[:20])
@pytest.mark.parametrize("path", ["/api/users/", "/api/projects/1/", "/api/tasks/", "/api/version/"])
def test_an_answer_of_another_type_is_an_error_of_one_line_or_is_ignored(
    path: str, answer: Any, answered: Hostile, runtime: Runtime
) -> None:
    answered.spoil = lambda asked, honest: answer if path in asked else honest
    with suppress(StudioError):
        done = pull(runtime, answered.client())
        assert done.gone in (0, 4)  # 4: a project without its description and without tasks is not ours


def test_text_that_no_file_can_hold_is_text_with_a_replacement() -> None:
    assert as_text("Kim \ud800\udc00 \ud83d!") == "Kim \U00010000 \ufffd!"
    assert len(config_sha256("<View>\0</View>")) == 64


@pytest.mark.parametrize("page", ["\ud800", "<View>\udfff</View>", "<View>\0</View>", "<View", "&"])
def test_a_page_that_is_no_xml_is_taken_for_an_edited_one(page: str, answered: Hostile, runtime: Runtime) -> None:
    answered.spoil = lambda asked, honest: honest | {"label_config": page} if "/api/projects/1/" in asked else honest
    with runtime.database.read() as session:
        row = queries.current_round(session)
    assert row is not None
    with suppress(StudioError):
        push(runtime, answered.client(), row)


@pytest.mark.parametrize("ids", [None, [], "1234", [1, 1, 1, 1], [None] * 4, [1 << 70] * 4, [{}] * 4])
def test_an_import_with_unusable_ids_is_looked_for(ids: Any, server: Hostile, runtime: Runtime) -> None:
    server.spoil = lambda path, answer: {"task_ids": ids} if "/import" in path else answer
    sent = push(runtime, server.client(), in_review(runtime))
    assert (sent.adopted, len(server.tasks)) == (4, 4)


def test_a_list_of_projects_that_counts_ten_to_the_twelve_ends(
    server: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_PROJECT_PAGES", 7)
    server.projects[1] = {"id": 1, "description": "of others"}
    server.spoil = lambda path, answer: {**answer, "count": 10**12}
    with pytest.raises(AnswerTooLarge, match="does not end"):
        server.client().find_project("u" * 32)
    assert len(server.requests) == 7


def test_a_count_of_ten_to_the_twelve_does_no_harm(answered: Hostile, runtime: Runtime) -> None:
    answered.spoil = lambda path, answer: {**answer, "count": 10**12, "total": 10**12} if "tasks/" in path else answer
    assert pull(runtime, answered.client()).reviews == 4


def test_ids_that_do_not_grow_from_page_to_page_end_the_listing(
    answered: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = [copy.deepcopy(answered.tasks[number]) for number in (1, 2)]
    answered.spoil = lambda path, answer: {"tasks": same}
    before = len(answered.requests)
    with pytest.raises(NotLabelStudio):
        list(answered.client().changed_since(1, None, page_size=2))
    assert len(answered.requests) - before == 2


def test_endless_pages_end(answered: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MAX_TASKS", 20)
    numbers = iter(range(1, 10**6))
    answered.spoil = lambda path, answer: {"tasks": [{"id": next(numbers)} for _ in range(5000)]}
    with pytest.raises(AnswerTooLarge, match="tasks"):
        answered.client().ids(1)


def test_pages_that_take_too_long_together_end(answered: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LISTING_SECONDS", 0.0)
    with pytest.raises(AnswerTooLarge, match="too long"):
        answered.client().ids(1)


# --- bytes and seconds ----------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def gzip_bomb(file: Any) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    file.write(HEAD + b"Content-Encoding: gzip\r\n\r\n")
    for _ in range(400):
        file.write(packer.compress(b" " * (1 << 20)))
    file.write(packer.flush())


def bomb_in_a_bomb(file: Any) -> None:
    file.write(HEAD + b"Content-Encoding: gzip, gzip\r\n\r\n")
    file.write(gzip.compress(gzip.compress(b"[" * (1 << 20))))


def endless_body(file: Any) -> None:
    file.write(HEAD + b"\r\n")
    while True:
        file.write(b" " * (1 << 16))


def endless_head(file: Any) -> None:
    file.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        file.write(b"X-More: " + b"x" * 1000 + b"\r\n")


BODIES: dict[str, tuple[Callable[[Any], None], type[StudioError]]] = {
    "a gzip bomb": (gzip_bomb, AnswerTooLarge),
    "a bomb in a bomb": (bomb_in_a_bomb, NotLabelStudio),
    "an endless body": (endless_body, AnswerTooLarge),
    "an endless head": (endless_head, ServerDown),
    "a list that opens for ever": (lambda file: file.write(HEAD + b"\r\n" + b"[" * (1 << 20)), NotLabelStudio),
    "two million lists": (lambda file: file.write(HEAD + b"\r\n[" + b"[]," * (3 << 20)), AnswerTooLarge),
    "a number of five thousand digits": (lambda file: file.write(HEAD + b"\r\n" + b"9" * 5000), NotLabelStudio),
    "an unfinished text": (lambda file: file.write(HEAD + b'\r\n{"release": "' + b"\\" * 99_999), NotLabelStudio),
    "no bytes": (lambda file: file.write(HEAD + b"\r\n"), NotLabelStudio),
}


@pytest.mark.parametrize(("write", "error"), BODIES.values(), ids=BODIES)
def test_a_body_of_any_kind_is_refused_within_seconds(
    write: Callable[[Any], None], error: type[StudioError], server: Hostile
) -> None:
    server.spoil = lambda path, answer: Raw(write)
    began = time.monotonic()
    with pytest.raises(error):
        server.client().check()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-A: ", HEAD + b"\r\n", HEAD + b"Content-Length: 999\r\n\r\n"])
def test_one_byte_at_a_time_is_given_up_after_the_time_of_one_request(start: bytes, server: Hostile) -> None:
    def drip(file: Any) -> None:
        file.write(start)
        for _ in range(200):
            file.write(b"a")
            time.sleep(0.05)

    server.spoil = lambda path, answer: Raw(drip)
    began = time.monotonic()
    with pytest.raises(ServerDown, match=r"within 0\.5 s") as caught:
        server.client(timeout=0.5).check()
    assert caught.value.unsure
    assert time.monotonic() - began < 3


# --- JSON -----------------------------------------------------------------------------------------


def test_json_has_no_value_that_is_no_json() -> None:
    found = load_json("[NaN, Infinity, -Infinity, 1e999, 1, -5, 1.5, " + "9" * 5000 + "]")
    assert found == ["NaN", "Infinity", "-Infinity", "1e999", 1, -5, 1.5, "9" * 5000]


@pytest.mark.parametrize("depth", [99, 100, 101, 700, 5000, 100_000])
def test_json_of_any_depth_is_parsed_and_known_as_deep(depth: int) -> None:
    text = '{"a": "[\\"]", "deep": ' + "[" * (depth - 1) + "0" + "]" * (depth - 1) + ', "b": [1, {"c": "]"}]}'
    found = load_json(text)
    assert (found["a"], found["b"]) == ('["]', [1, {"c": "]"}])
    assert is_deep(found) is (depth > 100)


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, '{"a": ' * 100_000, "]" * 10, "[1}", '"'])
def test_text_that_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        load_json(text)
