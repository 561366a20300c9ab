"""The client against a real Label Studio, and against servers that are none or are broken."""

from __future__ import annotations

import http.server
import json
import logging
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from labeler.core.errors import BadKey, NotLabelStudio, ProjectGone, Refused, ServerDown, StudioError
from labeler.review.studio.api.client import Client
from labeler.review.studio.api.connection import Connection
from tests.studio import TestServer

PAGE = (
    '<View><Text name="p1" value="$p1"/><Labels name="answer1" toName="p1">'
    '<Label value="Answer"/><Label value="Candidate"/></Labels></View>'
)
SPAN = {
    "from_name": "answer1",
    "to_name": "p1",
    "type": "labels",
    "value": {"start": 0, "end": 2, "labels": ["Answer"]},
}
NO_SUCH = 987_654  # a project that is not there


@pytest.fixture
def client(label_studio: TestServer) -> Client:
    return Client(label_studio.connection)


@pytest.fixture
def project(client: Client) -> int:
    return client.make_project(
        "questions", uuid.uuid4().hex, PAGE, summary="Answer it.", instruction="Mark it.", reviewers=2, blind=True
    )


def task(push: str = "p", text: str = "가나다") -> dict[str, Any]:
    return {"data": {"p1": text, "push_id": push}}


def annotate(server: TestServer, task_id: int, **fields: Any) -> int:
    made = server.request("POST", f"/api/tasks/{task_id}/annotations/", json={"result": [SPAN], **fields})
    return int(made["id"])


# --- the server and its projects ------------------------------------------------------------------


def test_a_server_that_accepts_the_key_gives_its_version(client: Client) -> None:
    assert client.check() == "1.23.2"


def test_users_are_known_by_their_address(client: Client, label_studio: TestServer) -> None:
    assert label_studio.email in client.users().values()


def test_a_project_is_found_by_the_uid_in_its_description(client: Client) -> None:
    uid = uuid.uuid4().hex
    assert client.find_project(uid) is None
    made = client.make_project("questions", uid, PAGE, summary="", instruction="", reviewers=1, blind=False)
    assert client.find_project(uid) == made
    assert client.find_project(uid[:-1] + "x") is None


def test_of_two_projects_with_one_uid_the_older_is_found(client: Client) -> None:
    uid = uuid.uuid4().hex
    made = [
        client.make_project("twice", uid, PAGE, summary="", instruction="", reviewers=1, blind=False) for _ in range(2)
    ]
    assert client.find_project(uid) == min(made)


def test_a_project_is_found_after_the_first_page_of_the_list(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = uuid.uuid4().hex
    made = client.make_project("oldest", uid, PAGE, summary="", instruction="", reviewers=1, blind=False)
    for _ in range(3):  # the list begins with the newest
        client.make_project("newer", uuid.uuid4().hex, PAGE, summary="", instruction="", reviewers=1, blind=False)
    monkeypatch.setattr("labeler.review.studio.api.client.PROJECTS_PAGE", 2)
    assert client.find_project(uid) == made


def test_a_list_of_projects_may_end_with_a_full_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.make_project("one at least", uuid.uuid4().hex, PAGE, summary="", instruction="", reviewers=1, blind=False)
    monkeypatch.setattr("labeler.review.studio.api.client.PROJECTS_PAGE", 1)
    assert client.find_project("none has this") is None


def test_a_new_project_has_the_settings_asked_for(client: Client, project: int, label_studio: TestServer) -> None:
    state = client.project(project)
    assert (state.remote_id, state.label_config, state.model_version, state.task_count) == (project, PAGE, "", 0)
    made = label_studio.request("GET", f"/api/projects/{project}/")
    assert (made["maximum_annotations"], made["show_collab_predictions"]) == (2, False)
    assert made["description"].startswith("Answer it. (labeler:")
    assert (made["expert_instruction"], made["show_instruction"]) == ("Mark it.", False)


def test_the_labeling_configuration_can_be_replaced(client: Client, project: int) -> None:
    wider = PAGE.replace("</View>", '<TextArea name="comment" toName="p1"/></View>')
    client.set_label_config(project, wider)
    assert client.project(project).label_config == wider


def test_an_invalid_labeling_configuration_is_refused_with_the_servers_reason(client: Client, project: int) -> None:
    with pytest.raises(Refused, match="400"):
        client.set_label_config(project, "<View>")
    assert client.project(project).label_config == PAGE


# --- tasks ----------------------------------------------------------------------------------------


def test_an_empty_project_has_no_tasks_and_no_newest_change(client: Client, project: int) -> None:
    assert client.ids(project) == set()
    assert client.newest_change(project) is None
    assert list(client.changed_since(project, None)) == []
    assert client.find_by_push(project, "p") == []


def test_imported_tasks_get_ids_in_their_order_and_are_found_by_their_push(client: Client, project: int) -> None:
    texts = [f"passage {number}" for number in range(7)]
    ids = client.import_tasks(project, [task("mine", text) for text in texts])
    client.import_tasks(project, [task("other")])
    found = client.find_by_push(project, "mine")
    assert [(each.id, each.data["p1"]) for each in found] == list(zip(ids, texts, strict=True))
    assert client.project(project).task_count == 8
    assert client.find_by_push(project, "min") == []


@pytest.mark.parametrize(
    "text", ["줄\r\n바꿈\t끝", "s3://bucket/key", "/data/upload/1/a.txt", "<b>&amp;</b> 👩‍👩‍👧", "  "]
)
def test_a_text_comes_back_as_it_was_sent(client: Client, project: int, text: str) -> None:
    ids = client.import_tasks(project, [task(text=text)])
    assert client.get_tasks(project, ids)[0].data["p1"] == text


def test_one_invalid_task_keeps_all_tasks_of_the_request_from_being_imported(client: Client, project: int) -> None:
    with pytest.raises(Refused, match="p1"):
        client.import_tasks(project, [task(), {"data": {"q": "no passage"}}])
    assert client.ids(project) == set()


def test_a_task_comes_with_its_annotations_skips_and_drafts(
    client: Client, project: int, label_studio: TestServer
) -> None:
    untouched, answered, skipped, begun = client.import_tasks(project, [task() for _ in range(4)])
    annotate(label_studio, answered, lead_time=2.5)
    annotate(label_studio, skipped, was_cancelled=True)
    label_studio.request("POST", f"/api/tasks/{begun}/drafts", json={"result": [SPAN], "lead_time": 1})
    found = {each.id: each for each in client.get_tasks(project, [untouched, answered, skipped, begun])}
    (annotation,) = found[answered].annotations
    assert annotation["result"] == [SPAN]
    assert (annotation["lead_time"], annotation["was_cancelled"]) == (2.5, False)
    assert client.users()[annotation["completed_by"]] == label_studio.email
    assert {"id", "updated_at", "created_at", "parent_prediction"} <= annotation.keys()
    assert [each["was_cancelled"] for each in found[skipped].annotations] == [True]
    assert (found[begun].annotations, found[begun].drafts) == ((), 1)
    assert (found[untouched].annotations, found[untouched].drafts) == ((), 0)


def test_only_tasks_changed_after_the_cursor_are_returned(
    client: Client, project: int, label_studio: TestServer
) -> None:
    ids = client.import_tasks(project, [task() for _ in range(5)])
    cursor = client.newest_change(project)
    assert cursor is not None
    assert list(client.changed_since(project, cursor)) == []
    annotation = annotate(label_studio, ids[3])
    assert [[each.id for each in page] for page in client.changed_since(project, cursor)] == [[ids[3]]]
    newest = client.newest_change(project)
    assert newest is not None
    assert newest > cursor
    label_studio.request("DELETE", f"/api/annotations/{annotation}/")
    (page,) = client.changed_since(project, newest)
    assert [(each.id, each.annotations) for each in page] == [(ids[3], ())]


def test_a_change_at_the_cursor_itself_is_not_after_it(client: Client, project: int) -> None:
    client.import_tasks(project, [task()])
    newest = client.newest_change(project)
    assert newest is not None
    before = f"{newest[:-7]}{int(newest[-7:-1]) - 1:06d}Z" if newest[-7:-1] != "000000" else newest
    assert list(client.changed_since(project, newest)) == []
    assert len(list(client.changed_since(project, before))) == (before != newest)


def test_pages_go_by_id_and_a_deletion_between_two_of_them_skips_nothing(
    client: Client, project: int, label_studio: TestServer
) -> None:
    ids = client.import_tasks(project, [task() for _ in range(7)])
    pages = client.changed_since(project, None, page_size=3)
    assert [each.id for each in next(pages)] == ids[:3]
    label_studio.request("DELETE", f"/api/tasks/{ids[0]}/")
    assert [[each.id for each in page] for page in pages] == [ids[3:6], ids[6:]]


def test_tasks_that_exactly_fill_a_page_are_one_page(client: Client, project: int) -> None:
    ids = client.import_tasks(project, [task() for _ in range(3)])
    assert [[each.id for each in page] for page in client.changed_since(project, None, page_size=3)] == [ids]


def test_ids_are_read_over_several_pages(client: Client, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = client.import_tasks(project, [task() for _ in range(7)])
    monkeypatch.setattr("labeler.review.studio.api.client.IDS_PAGE", 3)
    assert client.ids(project) == set(ids)


def test_more_tasks_than_fit_into_one_address_are_all_returned(
    client: Client, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = client.import_tasks(project, [task() for _ in range(7)])
    monkeypatch.setattr("labeler.review.studio.api.client.IN_LIST", 3)
    wanted = [ids[6], ids[0], ids[1], ids[2], NO_SUCH]
    assert [each.id for each in client.get_tasks(project, wanted)] == [ids[0], ids[1], ids[2], ids[6]]
    assert client.get_tasks(project, []) == []


def test_only_untouched_tasks_are_deleted(client: Client, project: int, label_studio: TestServer) -> None:
    answered, skipped, begun, first, second, not_named = client.import_tasks(project, [task() for _ in range(6)])
    annotate(label_studio, answered)
    annotate(label_studio, skipped, was_cancelled=True)
    label_studio.request("POST", f"/api/tasks/{begun}/drafts", json={"result": [SPAN], "lead_time": 1})
    gone = client.delete_untouched(project, [answered, skipped, begun, first, second])
    assert gone == {first, second}
    assert client.ids(project) == {answered, skipped, begun, not_named}


def test_deleting_an_empty_list_deletes_nothing(client: Client, project: int) -> None:
    ids = client.import_tasks(project, [task()])
    assert client.delete_untouched(project, []) == set()
    assert client.ids(project) == set(ids)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.project(NO_SUCH),
        lambda client: client.ids(NO_SUCH),
        lambda client: client.newest_change(NO_SUCH),
        lambda client: list(client.changed_since(NO_SUCH, None)),
        lambda client: client.find_by_push(NO_SUCH, "p"),
        lambda client: client.import_tasks(NO_SUCH, [task()]),
        lambda client: client.set_label_config(NO_SUCH, PAGE),
        lambda client: client.get_tasks(NO_SUCH, [1]),
        lambda client: client.delete_untouched(NO_SUCH, [1]),
    ],
)
def test_a_deleted_project_is_named_in_one_short_line(client: Client, call: Callable[[Client], Any]) -> None:
    with pytest.raises(ProjectGone) as caught:
        call(client)
    assert str(NO_SUCH) in str(caught.value)
    assert len(str(caught.value)) < 120


# --- keys -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def personal_token(label_studio: TestServer) -> str:
    """A personal access token, made as the user makes one in the browser."""
    with httpx.Client(base_url=label_studio.url, trust_env=False, timeout=60) as browser:
        browser.get("/user/login/")
        login = {"email": label_studio.email, "password": label_studio.password}
        token = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post("/user/login/", data={**login, **token}).status_code == 302
        made = browser.post("/api/token/", headers={"X-CSRFToken": browser.cookies["csrftoken"]})
        made.raise_for_status()
        return str(made.json()["token"])


def connected(server: TestServer, key: str) -> Client:
    return Client(Connection(server.url, key, where="the variable LABEL_STUDIO_API_KEY"))


def test_a_personal_access_token_is_accepted(label_studio: TestServer, personal_token: str) -> None:
    assert personal_token.count(".") == 2
    assert connected(label_studio, personal_token).check() == "1.23.2"


def test_an_access_token_that_the_server_rejects_is_renewed(label_studio: TestServer, personal_token: str) -> None:
    client = connected(label_studio, personal_token)
    client.users()
    assert client._transport._opened is not None
    tokens = client._transport._opened._client_wrapper._tokens_client
    header, body, signature = tokens._access_token.split(".")
    tokens._access_token = f"{header}.{body}.{signature[:-4]}AAAA"  # good by our clock, not by the server's
    assert label_studio.email in client.users().values()


def test_an_access_token_that_expired_is_renewed(label_studio: TestServer, personal_token: str) -> None:
    client = connected(label_studio, personal_token)
    client.users()
    assert client._transport._opened is not None
    tokens = client._transport._opened._client_wrapper._tokens_client
    before = tokens._access_token
    tokens._is_valid_jwt_token = lambda token: False
    time.sleep(1.1)  # two tokens of one second are equal
    client.users()
    assert tokens._access_token != before


EXPIRED = (  # {"alg": "none"} and {"token_type": "refresh", "exp": 1}
    "eyJhbGciOiJub25lIn0.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6MX0.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ"
)
FOREIGN = (  # the same, good until the year 2100, from another server
    "eyJhbGciOiJub25lIn0.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6NDEwMjQ0NDgwMH0.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ"
)


@pytest.mark.parametrize(("key", "reason"), [("f" * 40, "Invalid token"), (EXPIRED, "expired"), (FOREIGN, "invalid")])
def test_a_rejected_key_is_reported_with_its_origin(label_studio: TestServer, key: str, reason: str) -> None:
    for call in (Client.check, Client.users, lambda client: client.project(1)):
        with pytest.raises(BadKey, match=f"LABEL_STUDIO_API_KEY.*{reason}"):
            call(connected(label_studio, key))


def test_a_legacy_token_on_a_server_that_disables_them_is_reported(label_studio: TestServer) -> None:
    settings = label_studio.request("GET", "/api/jwt/settings")
    assert settings["legacy_api_tokens_enabled"] is True
    label_studio.request("POST", "/api/jwt/settings", json={**settings, "legacy_api_tokens_enabled": False})
    try:
        with pytest.raises(BadKey, match="legacy token"):
            Client(label_studio.connection).check()
    finally:
        enable_legacy(label_studio)


def enable_legacy(server: TestServer) -> None:
    """With the session of the browser: no legacy token does now."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as browser:
        browser.get("/user/login/")
        form = {"email": server.email, "password": server.password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        browser.post("/user/login/", data=form)
        headers = {"X-CSRFToken": browser.cookies["csrftoken"]}
        settings = browser.get("/api/jwt/settings").json()
        body = {**settings, "legacy_api_tokens_enabled": True}
        browser.post("/api/jwt/settings", json=body, headers=headers).raise_for_status()


# --- servers that are none, or broken -------------------------------------------------------------


@contextmanager
def pretending(status: int, body: str, *, kind: str = "text/html", wait: float = 0, **headers: str) -> Iterator[str]:
    """The URL of a server that gives everybody the same answer, after `wait` seconds; -1: it hangs up instead."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if wait:
                released.wait(wait)
            if status < 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body.encode())), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PATCH = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    released = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()


SECRET = "5ec7e7" * 6 + "5ec7"
LONG_PAGE = "<!DOCTYPE html><html>" + "<p>not found</p>" * 10_000


def to(url: str, *, timeout: float = 5) -> Client:
    return Client(Connection(url, SECRET, where="the test"), timeout=timeout)


CALLS: dict[str, Callable[[Client], Any]] = {
    "check": lambda client: client.check(),
    "project": lambda client: client.project(1),
    "import": lambda client: client.import_tasks(1, [task()]),
}

ANSWERS: list[tuple[dict[str, Any], type[StudioError], str]] = [
    ({"status": 200, "body": LONG_PAGE}, NotLabelStudio, "not as a Label Studio does"),
    ({"status": 404, "body": LONG_PAGE}, NotLabelStudio, "not as a Label Studio does"),
    ({"status": 302, "body": "", "Location": "https://elsewhere.test/login"}, NotLabelStudio, "elsewhere.test"),
    ({"status": 500, "body": LONG_PAGE}, ServerDown, "error 500: a page of HTML"),
    ({"status": 502, "body": "bad gateway"}, ServerDown, "error 502: bad gateway"),
    ({"status": 503, "body": '{"detail": "starting"}', "kind": "application/json"}, ServerDown, "503: starting"),
    ({"status": 403, "body": '{"detail": "no"}', "kind": "application/json"}, BadKey, "may not do this: no"),
    ({"status": 401, "body": f'{{"detail": "{SECRET}?"}}', "kind": "application/json"}, BadKey, "the key"),
    ({"status": -1, "body": ""}, ServerDown, "closed the connection before it answered"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("answer", "error", "message"), ANSWERS)
def test_every_unexpected_answer_is_reported_in_one_line(
    answer: dict[str, Any], error: type[StudioError], message: str, call: str
) -> None:
    with pretending(**answer) as url, pytest.raises(error, match=message) as caught:
        CALLS[call](to(url))
    shown = str(caught.value)
    assert len(shown) < 350
    assert "\n" not in shown
    assert url in shown


@pytest.mark.parametrize(("status", "unsure"), [(500, True), (502, True), (504, True), (429, False), (-1, True)])
def test_a_failed_import_says_whether_it_may_have_arrived(status: int, unsure: bool) -> None:
    with pretending(status, "busy") as url, pytest.raises(ServerDown) as caught:
        to(url).import_tasks(1, [task()])
    assert caught.value.unsure is unsure


def test_an_import_is_never_repeated_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    send = httpx.Client.request

    def counting(self: httpx.Client, *args: Any, **rest: Any) -> httpx.Response:
        answers.append(send(self, *args, **rest))
        return answers[-1]

    monkeypatch.setattr(httpx.Client, "request", counting)
    with pretending(500, "busy") as url, pytest.raises(ServerDown):
        to(url).import_tasks(1, [task()])
    assert len(answers) == 1


def test_an_import_without_returned_ids_may_have_arrived() -> None:
    body = json.dumps({"import": 7})
    with pretending(201, body, kind="application/json") as url, pytest.raises(ServerDown, match="1 tasks") as caught:
        to(url).import_tasks(1, [task()])
    assert caught.value.unsure


def test_a_timeout_is_reported_with_its_seconds() -> None:
    with pretending(200, "{}", wait=3) as url, pytest.raises(ServerDown, match=r"within 0\.3 s") as caught:
        to(url, timeout=0.3).import_tasks(1, [task()])
    assert caught.value.unsure


def test_an_unreachable_server_has_received_nothing() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(ServerDown, match="does not answer") as caught:
            to(url).import_tasks(1, [task()])
    assert not caught.value.unsure
    assert "labeler studio start" in str(caught.value)


def test_an_unknown_host_is_reported() -> None:
    with pytest.raises(ServerDown, match=r"http://no-such-host\.invalid does not answer"):
        to("http://no-such-host.invalid").check()


def test_https_to_a_server_without_tls_is_reported() -> None:
    with pretending(200, "{}") as url, pytest.raises(StudioError, match="does not answer") as caught:
        to(url.replace("http:", "https:")).check()
    assert "SSL" in str(caught.value)


def test_another_program_on_the_port_is_reported() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"220 mail ready\r\n")

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    with listener, pytest.raises(ServerDown, match="closed the connection before it answered"):
        to(f"http://127.0.0.1:{listener.getsockname()[1]}").check()
    thread.join()


def test_a_server_without_the_api_is_not_taken_for_a_deleted_project() -> None:
    with pretending(404, '{"detail": "Not found."}', kind="application/json") as url, pytest.raises(NotLabelStudio):
        to(url).project(1)


# --- the key stays where it is --------------------------------------------------------------------


def all_texts(error: BaseException) -> str:
    """The texts of an error, and of all errors chained to it."""
    texts, todo, seen = [], [error], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        texts += [str(each), repr(each), repr(vars(each)), *traceback.format_exception(each)]
        todo += [other for other in (each.__cause__, each.__context__) if other is not None]
    return "\n".join(texts)


@pytest.mark.parametrize(("answer", "error", "message"), ANSWERS)
def test_no_error_contains_the_key(
    answer: dict[str, Any], error: type[StudioError], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for call in CALLS.values():
        with pretending(**answer) as url, pytest.raises(error) as caught:
            call(to(url))
        assert SECRET not in all_texts(caught.value)
        assert caught.value.__context__ is None
    assert SECRET not in caplog.text
    assert "127.0.0.1" in caplog.text


def test_neither_connection_nor_client_shows_the_key() -> None:
    connection = Connection("http://127.0.0.1:1", SECRET, where="the test")
    assert SECRET not in f"{connection} {connection!r} {Client(connection)} {Client(connection)!r}"


def test_logs_of_successful_requests_contain_no_key(
    label_studio: TestServer, personal_token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for key in (label_studio.token, personal_token):
        client = connected(label_studio, key)
        client.check()
        with pytest.raises(ProjectGone) as caught:
            client.project(NO_SUCH)
        assert client._transport._opened is not None
        derived = client._transport._opened._client_wrapper._tokens_client.api_key
        for secret in (key, derived):
            assert secret not in caplog.text
            assert secret not in all_texts(caught.value)
    assert "api/version" in caplog.text  # it did log


def test_the_key_is_not_sent_to_the_target_of_a_redirect() -> None:
    seen: list[str] = []

    class Thief(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(str(self.headers))
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    thief = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Thief)
    threading.Thread(target=thief.serve_forever, args=(0.01,), daemon=True).start()
    target = f"http://127.0.0.1:{thief.server_port}/"
    with pretending(301, "", Location=target) as url, pytest.raises(NotLabelStudio):
        to(url).check()
    thief.shutdown()
    thief.server_close()
    assert seen == []


def test_requests_to_this_machine_use_no_proxy(label_studio: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Client(label_studio.connection).check() == "1.23.2"
