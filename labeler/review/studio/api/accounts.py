"""Accounts of further reviewers, made by the server's own invitation link: an account made otherwise cannot log in."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlencode

from labeler.core.errors import BadKey, Refused, StudioError
from labeler.review.studio.api.connection import Connection
from labeler.review.studio.api.transport import Transport, is_loopback
from labeler.review.studio.untrusted import as_mapping, as_text

TIMEOUT = 60.0  # seconds for an answer
_FORM_ERROR = re.compile(r"<li>([^<]{1,200})</li>")
_COOKIE = "csrftoken"


class Accounts:
    """The accounts of a server."""

    def __init__(self, connection: Connection) -> None:
        self._url = connection.url
        self._transport = Transport(connection, timeout=TIMEOUT)

    def invitation(self) -> str:
        """The token of the server's invitation link. Raises Refused where the key may not invite."""
        token = as_text(as_mapping(self._transport.get("api/invite")).get("token"))
        if not token:
            raise self._transport.failures.unexpected()
        return token

    def sign_up(self, email: str, password: str, *, invitation: str) -> None:
        """Make an account. It is not repeated by itself.

        Raises:
            Refused: the server does not accept the address or the password.
            StudioError: it does not answer as Label Studio does.
        """
        import httpx

        from labeler.core.web.bounded import BoundedClient

        address = f"{self._url}/user/signup/?{urlencode({'token': invitation})}"
        failure: StudioError | None = None
        with BoundedClient(seconds=TIMEOUT, trust_env=not is_loopback(self._url)) as http:
            try:
                http.get(address)
                form = {"email": email, "password": password, "allow_newsletters": "false"}
                form["csrfmiddlewaretoken"] = http.cookies.get(_COOKIE) or ""
                answer = http.post(address, data=form, headers={"Referer": self._url})
            except httpx.HTTPError as error:
                failure = self._transport.failures.from_exception(error)
        if failure is None:
            failure = self._fault(answer, email)
        if failure is not None:
            raise failure  # outside of the `except`: the exception of httpx holds the form

    def _fault(self, answer: object, email: str) -> StudioError | None:
        """Why no account was made; None where it was: the server then leads on to another page."""
        status, text = getattr(answer, "status_code", 0), getattr(answer, "text", "")
        if status == 302:
            return None
        if status == 403:
            return BadKey(f"{self._url} does not let {email} sign up by its invitation link")
        reasons = [" ".join(unescape(each).split()) for each in _FORM_ERROR.findall(text)]
        if status == 200 and reasons:
            return Refused(f"{self._url} makes no account for {email}: {'; '.join(reasons)}")
        return self._transport.failures.unexpected()
