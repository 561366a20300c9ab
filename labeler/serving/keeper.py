"""What happens beside the calls: a promotion is noticed and suggestions are renewed, a hint leads to a pull."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from labeler.core.error_messages import explain
from labeler.core.errors import ConfigError, NotReady
from labeler.core.runtime import Runtime
from labeler.review.studio.api.connection import find_connection
from labeler.review.studio.api.live import LiveClient
from labeler.rounds.steps.human_review import exchange_reviews
from labeler.serving.renewal import is_needed, renew
from labeler.serving.suggestions import Suggester

LOOK_SECONDS = 2.0  # between two looks for another reader
HINT_SECONDS = 0.1  # in which hints are gathered
PULL_SECONDS = 2.0  # between two pulls, however many hints come
RETRY_SECONDS = 10.0  # after a failure, or while another command holds the workspace
END_SECONDS = 30.0  # that the end waits for a pull under way

log = logging.getLogger("labeler")


class Keeper:
    """A thread that keeps suggestions current and fetches reviews. Its failures are logged and tried again."""

    def __init__(self, runtime: Runtime, suggester: Suggester) -> None:
        self._runtime, self._suggester = runtime, suggester
        self._client: LiveClient | None = None
        self._loaded: int | None = None  # the reader in memory
        self._wake, self._hinted, self._stopped = threading.Event(), threading.Event(), threading.Event()
        self._not_before: dict[str, float] = {}
        self._last_failure: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Load the current reader, reach Label Studio if one is set up, and begin. Raises NotReady without a reader."""
        self._loaded = self._suggester.load().id
        try:
            self._client = LiveClient(find_connection(self._runtime.workspace, os.environ))
        except (NotReady, ConfigError) as error:
            log.warning("suggestions in Label Studio are not renewed and reviews not fetched: %s", error)
        else:
            self._attempt("reach", self._client.check)  # loads the SDK before the first call waits for it
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a pull under way ends first."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)

    def hint(self) -> None:
        """Something changed in Label Studio: pull soon. Many hints lead to one pull."""
        self._hinted.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._attempt("renew", self._keep_current)
            if self._hinted.is_set() and self._client is not None:
                self._attempt("pull", self._pull)
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            self._stopped.wait(HINT_SECONDS)

    def _attempt(self, name: str, act: Callable[[], object]) -> None:
        """Act, unless the last failure was a moment ago. Equal failures are logged once."""
        now = time.monotonic()
        if now < self._not_before.get(name, now):
            return
        try:
            act()
            self._last_failure.pop(name, None)
        except Exception as error:
            self._not_before[name] = now + RETRY_SECONDS
            line = explain(error)
            if line is None:
                log.exception("%s failed; trying again", name)
            elif self._last_failure.get(name) != line:
                log.warning("%s; trying again", line)
                self._last_failure[name] = line

    def _keep_current(self) -> None:
        model = self._suggester.current()
        if model.id != self._loaded:
            self._suggester.load()
            self._loaded = model.id
            log.info("the reader of round %d is current now", model.round_number)
        if self._client is not None and is_needed(self._runtime, self._client.url):
            count = renew(self._runtime, self._client, self._suggester, stopped=self._stopped.is_set)
            log.info("%d suggestions in Label Studio renewed", count)

    def _pull(self) -> None:
        """Fetch reviews as `labeler pull --watch` does. The hint stays while another command holds the workspace."""
        assert self._client is not None
        workspace = self._runtime.workspace
        with workspace.lock("labeler serve"):
            self._hinted.clear()  # what changes from now on gives another hint
            self._not_before["pull"] = time.monotonic() + PULL_SECONDS
            try:
                done = exchange_reviews(Runtime(workspace, self._runtime.database), self._client, send=True)
            except Exception:
                self._hinted.set()
                raise
        if done.changed:
            log.info("%d reviews fetched; %d tasks open", done.reviews, done.open)
