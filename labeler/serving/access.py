"""Who may call the backend: on this machine everyone, from elsewhere who knows a shared secret."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from labeler.core.errors import ConfigError

SECRET_VARIABLE = "LABELER_SERVE_SECRET"
USER = "labeler"  # of basic authentication; the secret is its password


@dataclass(frozen=True, slots=True)
class Access:
    """Decides on a request. Without a secret only names of this machine may be asked for.

    A web page that lets its own name lead to this machine (DNS rebinding) names itself in `Host`.
    """

    secret: str | None = field(repr=False)

    def refusal(self, host: str, authorization: str) -> HTTPStatus | None:
        """The status with which a request is refused; None for one that is allowed. A missing header is empty."""
        if self.secret is None:
            return None if is_loopback(_host_of(host)) else HTTPStatus.FORBIDDEN
        given = _given(authorization)
        allowed = hmac.compare_digest(given.encode(errors="replace"), self.secret.encode())
        return None if allowed else HTTPStatus.UNAUTHORIZED


def find_access(host: str, environ: Mapping[str, str]) -> Access:
    """The access to a backend that listens at `host`.

    Raises ConfigError for an invalid secret, and where other machines could call a backend without a secret.
    """
    secret = find_secret(environ)
    if secret is None and not is_loopback(host):
        raise ConfigError(
            f"--host {host} lets other machines ask the reader: set the variable {SECRET_VARIABLE} to a shared secret, "
            "or leave out --host"
        )
    return Access(secret)


def find_secret(environ: Mapping[str, str]) -> str | None:
    """The secret of the environment, or None. Raises ConfigError, which does not contain it."""
    secret = environ.get(SECRET_VARIABLE, "").strip()
    if not secret:
        return None
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigError(f"{SECRET_VARIABLE}: use printable ASCII characters without spaces")
    return secret


def basic(secret: str) -> str:
    """The header `Authorization` of a caller who knows the secret."""
    return "Basic " + base64.b64encode(f"{USER}:{secret}".encode()).decode()


def is_loopback(host: str) -> bool:
    """Whether a name or an address leads to this machine alone."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def _host_of(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _given(header: str) -> str:
    """The secret that a header `Authorization` carries; empty where there is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
