"""An OpenAI-compatible server in this process that answers as a script says: rightly, wrongly, or with a fault."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from labeler.labellers.llm.quotes import sentence_around

#: a request -> status, headers, body; a body that is no text is sent as JSON
Script = Callable[[Mapping[str, Any], "Seen"], tuple[int, Mapping[str, str], Any]]
OK, JSON = 200, {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server was asked."""

    requests: list[Mapping[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    @property
    def questions(self) -> list[str]:
        """The question of each request."""
        return [question_of(each) for each in self.requests]


def question_of(request: Mapping[str, Any]) -> str:
    """The question that a request asks."""
    found = re.match(r"Question: (.*)", str(request["messages"][-1]["content"]).strip())
    assert found is not None, request
    return found[1]


def completion(content: str, **more: Any) -> dict[str, Any]:
    """A chat completion with this content."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}} | more
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def reply(passage: int, quote: str, answer: str) -> str:
    """A reply as the prompt asks for it."""
    return json.dumps({"passage": passage, "quote": quote, "answer": answer}, ensure_ascii=False)


def says(content: str, **more: Any) -> Script:
    """A script that always says the same."""
    return lambda request, seen: (OK, JSON, completion(content, **more))


def answers(by_question: Mapping[str, str], *, seconds: float = 0.0) -> Script:
    """A script that gives each question its answer in the passage that has it, and none to other questions."""

    def script(request: Mapping[str, Any], seen: Seen) -> tuple[int, Mapping[str, str], Any]:
        time.sleep(seconds)
        answer = by_question.get(question_of(request), "")
        passages = passages_of(request)
        number = next((place for place, text in enumerate(passages, 1) if answer and answer in text), 0)
        if not number:
            return OK, JSON, completion(reply(0, "", ""))
        at = passages[number - 1].index(answer)
        return OK, JSON, completion(reply(number, sentence_around(passages[number - 1], at, at + len(answer)), answer))

    return script


def passages_of(request: Mapping[str, Any]) -> list[str]:
    """The passages that a request shows."""
    return re.findall(
        r"^=== \w+ ===\n(.*?)\n=== \w+ ===$", request["messages"][-1]["content"], re.DOTALL | re.MULTILINE
    )


@contextmanager
def serving(script: Script) -> Iterator[tuple[str, Seen]]:
    """A running server: its address, and what it has seen."""
    seen, lock = Seen(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                seen.requests.append(body)
                seen.keys.append(self.headers.get("authorization", ""))
            status, headers, answer = script(body, seen)
            content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a client that was killed
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
