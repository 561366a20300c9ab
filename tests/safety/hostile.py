"""A small Label Studio in this process over HTTP, whose answers can be replaced or spoiled."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from labeler.review.studio.api.client import Client
from labeler.review.studio.api.connection import Connection

Json = dict[str, Any]
MOMENT = "2026-01-02T03:04:05.000000Z"
KEY = "k" * 40


@dataclass(frozen=True)
class Raw:
    """An answer sent byte for byte: `write` gets the open file of the connection."""

    write: Callable[[Any], None]


@dataclass
class Hostile:
    """Projects and tasks of a server. `spoil` gets the path and the honest answer and returns what is sent."""

    projects: dict[int, Json] = field(default_factory=dict)
    tasks: dict[int, Json] = field(default_factory=dict)
    spoil: Callable[[str, Any], Any] = lambda path, answer: answer
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def client(self, *, timeout: float = 20.0) -> Client:
        return Client(Connection(self.url, KEY, where="the test"), timeout=timeout)

    def annotate(self, task_id: int, result: Any, **changes: Any) -> None:
        """Add an annotation, as an honest server has it, with these changes."""
        number = 1 + sum(len(task["annotations"]) for task in self.tasks.values())
        made = {"id": number, "updated_at": MOMENT, "completed_by": 1, "was_cancelled": False, "lead_time": 2.5}
        self.tasks[task_id]["annotations"].append({**made, "result": result, **changes})

    # --- answers ----------------------------------------------------------------------------------

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """The status and the honest answer."""
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        words = parts.path.strip("/").split("/")[1:]
        match (method, words):
            case "GET", ["version"]:
                return 200, {"release": "1.23.2"}
            case "GET", ["current-user", "whoami"]:
                return 200, {"id": 1}
            case "GET", ["users"]:
                return 200, [{"id": 1, "email": "kim@example.com"}]
            case "GET", ["projects"]:
                return 200, {"count": len(self.projects), "results": list(self.projects.values())}
            case "POST", ["projects"]:
                number = len(self.projects) + 1
                self.projects[number] = {"id": number, **body}
                return 201, self.projects[number]
            case _, ["projects", number] if int(number) in self.projects:
                self.projects[int(number)].update(body or {})
                return 200, {**self.projects[int(number)], **self._counts(int(number))}
            case "POST", ["projects", number, "import"]:
                return 201, {"task_ids": [self._add(int(number), each) for each in body]}
            case "GET", ["tasks"]:
                return 200, self._list(query)
            case _:
                return 404, {"detail": "Not found."}

    def _counts(self, project: int) -> Json:
        mine = [task for task in self.tasks.values() if task["project"] == project]
        return {
            "task_number": len(mine),
            "total_annotations_number": sum(len(task["annotations"]) for task in mine),
            "skipped_annotations_number": 0,
        }

    def _add(self, project: int, task: Json) -> int:
        number = max(self.tasks, default=0) + 1
        self.tasks[number] = {"id": number, "project": project, "data": task["data"], "updated_at": MOMENT}
        self.tasks[number] |= {"annotations": [], "drafts": []}
        return number

    def _list(self, query: Mapping[str, str]) -> Json:
        wanted = json.loads(query["query"])
        found = [task for task in self.tasks.values() if task["project"] == int(query["project"])]
        for each in wanted.get("filters", {}).get("items", ()):
            found = [task for task in found if _holds(task, each)]
        names = query["include"].split(",")
        size = int(query["page_size"])
        listed = [{name: task[name] for name in names if name in task} for task in found[:size]]
        return {"tasks": listed, "total": len(found)}


def _holds(task: Json, condition: Json) -> bool:
    name, value = condition["filter"].removeprefix("filter:tasks:"), condition["value"]
    if name == "id":
        return task["id"] > value if condition["operator"] == "greater" else task["id"] in value
    return bool(task["data"]["push_id"] == value) if name == "data.push_id" else True


@contextmanager
def hostile_server() -> Iterator[Hostile]:
    """A server without projects."""
    state = Hostile()

    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.requests.append(f"{self.command} {self.path}")
            status, honest = state.answer(self.command, self.path, json.loads(body) if body else None)
            sent = state.spoil(f"{self.command} {self.path}", honest)
            try:
                if isinstance(sent, Raw):
                    sent.write(self.wfile)
                    self.close_connection = True
                    return
                self._json(status, sent)
            except OSError:
                self.close_connection = True  # the client has gone, as it should

        def _json(self, status: int, sent: Any) -> None:
            content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = reply  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
