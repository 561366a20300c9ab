"""What went wrong with a request to Label Studio, as one line for people. No key and no page of HTML gets into it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labeler.core.errors import BadKey, NotLabelStudio, ProjectGone, Refused, ServerDown, StudioError
from labeler.review.studio.connection import URL_VARIABLE, Connection

if TYPE_CHECKING:
    import httpx

SAID = 200  # characters of what a server says that are passed on
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")  # a JSON web token, such as those made from the key


@dataclass(frozen=True, slots=True)
class Faults:
    """Makes our errors for the requests over one connection."""

    connection: Connection
    timeout: float  # seconds that an answer is waited for

    def stranger(self) -> StudioError:
        """For an answer that no Label Studio gives."""
        return NotLabelStudio(f"{self._url} answers, but not as a Label Studio does; check {URL_VARIABLE}")

    def answered(self, status: int, body: Any, headers: Mapping[str, str], *, project: int | None) -> StudioError:
        """For an answer that is none of the good ones. `project`: the one that was asked about."""
        url, where = self._url, self.connection.where
        if 200 <= status < 300:  # and yet an error: the SDK could not read it
            return self.stranger()
        if 300 <= status < 400:
            target = self._clean(headers.get("location", "elsewhere"))
            return NotLabelStudio(f"{url} sends us on to {target}; set {URL_VARIABLE} to where the server is")
        said = self._said(body)
        if status == 401:
            return BadKey(f"{url} does not accept the key of {where}: {said}")
        if status == 403:
            return BadKey(f"{url}: the user of the key of {where} may not do this: {said}")
        if status == 404:
            return self.stranger() if project is None else ProjectGone(f"project {project} is not on {url} any more")
        if status >= 500 or status in (408, 429):
            return ServerDown(f"{url} answers with error {status}: {said}; try again later", unsure=status != 429)
        return Refused(f"{url} refuses (error {status}): {said}")

    def unanswered(self, error: httpx.HTTPError | httpx.InvalidURL) -> StudioError:
        """For a request without an answer."""
        import httpx

        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            reason = self._clean(str(error)) or "no connection"
            return ServerDown(
                f"Label Studio at {self._url} does not answer ({reason}); is it running? `labeler studio status`",
                unsure=False,
            )
        if isinstance(error, httpx.TimeoutException):
            return ServerDown(f"{self._url} did not answer within {self.timeout:g} s; try again later", unsure=True)
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return NotLabelStudio(f"{self._url} is no address of a server; check {URL_VARIABLE}")
        return ServerDown(f"{self._url} broke the connection off before it answered; try again", unsure=True)

    @property
    def _url(self) -> str:
        return self.connection.url

    def _said(self, body: Any) -> str:
        """What a server says, in short: its reasons, or the body; of a page of HTML only that it was one."""
        if isinstance(body, Mapping):
            told = body.get("validation_errors") or body.get("detail") or body
            return self._clean(told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, default=str))
        text = str(body or "").strip()
        return "a page of HTML" if text.startswith("<") else self._clean(text) or "nothing more"

    def _clean(self, text: str) -> str:
        hidden = _TOKEN.sub("(a token)", text.replace(self.connection.key, "(the key)"))
        return " ".join(hidden.split())[:SAID]
