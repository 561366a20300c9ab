"""Failed requests to Label Studio as errors of one line. They contain neither the key nor a page of HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labeler.core.errors import BadKey, NotLabelStudio, ProjectGone, Refused, ServerDown, StudioError
from labeler.review.studio.api.connection import URL_VARIABLE, Connection

if TYPE_CHECKING:
    import httpx

QUOTED = 200  # characters of a server's answer that a message quotes
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")  # a JSON web token, such as those made from the key


@dataclass(frozen=True, slots=True)
class Failures:
    """Makes errors for the requests over one connection."""

    connection: Connection
    timeout: float  # seconds that an answer is waited for

    def unexpected(self) -> StudioError:
        """The error for an answer that no Label Studio gives."""
        return NotLabelStudio(f"{self._url} answers, but not as a Label Studio does; check {URL_VARIABLE}")

    def from_answer(self, status: int, body: Any, headers: Mapping[str, str], *, project: int | None) -> StudioError:
        """The error for an HTTP status. `project`: the project that was asked about."""
        url, where = self._url, self.connection.where
        if 300 <= status < 400:
            target = self._clean(headers.get("location", "elsewhere"))
            return NotLabelStudio(f"{url} redirects to {target}; set {URL_VARIABLE} to the server's own address")
        reason = self._reason(body)
        if status == 401:
            return BadKey(f"{url} does not accept the key of {where}: {reason}")
        if status == 403:
            return BadKey(f"{url}: the user of the key of {where} may not do this: {reason}")
        if status == 404:
            return self.unexpected() if project is None else ProjectGone(f"project {project} is not on {url} any more")
        if status >= 500 or status in (408, 429):
            return ServerDown(f"{url} answers with error {status}: {reason}; try again later", unsure=status != 429)
        return Refused(f"{url} refuses (error {status}): {reason}")

    def from_exception(self, error: httpx.HTTPError | httpx.InvalidURL) -> StudioError:
        """The error for a request without an answer."""
        import httpx

        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            reason = self._clean(str(error)) or "no connection"
            return ServerDown(
                f"Label Studio at {self._url} does not answer ({reason}); start your own with `labeler studio start`, "
                f"or check {URL_VARIABLE}",
                unsure=False,
            )
        if isinstance(error, httpx.TimeoutException):
            return ServerDown(f"{self._url} did not answer within {self.timeout:g} s; try again later", unsure=True)
        if isinstance(error, httpx.DecodingError):
            return self.unexpected()
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return NotLabelStudio(f"{self._url} is not the address of a server; check {URL_VARIABLE}")
        return ServerDown(f"{self._url} closed the connection before it answered; try again", unsure=True)

    @property
    def _url(self) -> str:
        return self.connection.url

    def _reason(self, body: Any) -> str:
        """The server's reason, shortened; of a page of HTML only that it was one."""
        if isinstance(body, Mapping):
            reason = body.get("validation_errors") or body.get("detail") or body
            return self._clean(
                reason if isinstance(reason, str) else json.dumps(reason, ensure_ascii=False, default=str)
            )
        text = str(body or "").strip()
        return "a page of HTML" if text.startswith("<") else self._clean(text) or "no reason given"

    def _clean(self, text: str) -> str:
        hidden = _TOKEN.sub("(a token)", text.replace(self.connection.key, "(the key)"))
        return " ".join(hidden.split())[:QUOTED]
