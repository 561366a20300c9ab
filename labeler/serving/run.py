"""Run the backend until it is interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType

from labeler.core.runtime import Runtime
from labeler.serving.access import Access
from labeler.serving.backend import Backend
from labeler.serving.keeper import Keeper
from labeler.serving.server import Server
from labeler.serving.suggestions import Suggester


@dataclass(frozen=True, slots=True)
class Serving:
    """A backend that listens."""

    url: str
    reader: str  # hash
    round: int  # that trained the reader
    secret: bool  # whether callers must know one


def serve(
    runtime: Runtime, *, host: str, port: int, access: Access, on_ready: Callable[[Serving], None]
) -> Mapping[str, int]:
    """Answer calls until Ctrl-C or SIGTERM, and return how many there were of each kind.

    Raises:
        NotReady: there is no reader.
        StudioError: the address cannot be listened at.
    """
    suggester = Suggester(runtime)
    keeper = Keeper(runtime, suggester)
    backend = Backend(runtime, suggester, keeper.hint)
    server = Server(host, port, backend, access)
    try:
        keeper.start()
        model = suggester.current()
        on_ready(Serving(server.url, model.hash, model.round_number, access.secret is not None))
        _until_interrupted(server)
    finally:
        server.server_close()
        suggester.close()
        keeper.stop()
    return dict(backend.counts)


def _until_interrupted(server: Server) -> None:
    before = _on_terminate(_interrupt)
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass  # how it is meant to end
    finally:
        _on_terminate(before)


def _on_terminate(handler: signal._HANDLER) -> signal._HANDLER:
    """Set what SIGTERM does, and return what it did; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
