"""Which Label Studio a workspace uses, and the key to it."""

from __future__ import annotations

import functools
import ipaddress
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from labeler.core.errors import ConfigError, NotReady

if TYPE_CHECKING:
    from labeler.core.workspace import Workspace

log = logging.getLogger("labeler.review.studio")

URL_VARIABLE = "LABEL_STUDIO_URL"
KEY_VARIABLE = "LABEL_STUDIO_API_KEY"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Connection:
    """A server's address and the key to it. The key is never shown; `where` says where it comes from."""

    url: str  # normalised: the same server always has the same
    key: str = field(repr=False)  # a personal access token, or a legacy token
    where: str


def find_connection(workspace: Workspace, environ: Mapping[str, str]) -> Connection:
    """The server that the environment names, else the workspace's own.

    Raises:
        ConfigError: the environment names only one of address and key, or an invalid one.
        NotReady: there is no server.
    """
    from labeler.review.studio.server.local import own_server

    url, key = environ.get(URL_VARIABLE, "").strip(), environ.get(KEY_VARIABLE, "").strip()
    if url and key:
        _warn_of_plain_text(normal_url(url))
        return Connection(normal_url(url), checked_key(key), where=f"the variable {KEY_VARIABLE}")
    if url or key:
        missing, given = (KEY_VARIABLE, URL_VARIABLE) if url else (URL_VARIABLE, KEY_VARIABLE)
        raise ConfigError(f"the variable {given} is set and {missing} is not: set both, or none to use your own server")
    own = own_server(workspace.folder)
    if own is None:
        raise NotReady(
            f"no Label Studio is set up: start your own with `labeler studio start`, or set {URL_VARIABLE} and "
            f"{KEY_VARIABLE} to use one that runs already"
        )
    return Connection(own.url, own.key(), where=str(own.key_file))


@functools.cache
def _warn_of_plain_text(url: str) -> None:
    """Warn once of a key and texts that travel unencrypted to another machine."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_here(str(parts.hostname)):
        log.warning("%s: http sends the key and all texts unencrypted to another machine; use https", url)


def _is_here(host: str) -> bool:
    """Whether a host is this machine: localhost, a loopback address, or its own name."""
    if host == "localhost" or host.endswith(".localhost") or host == socket.gethostname().lower():
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def normal_url(text: str) -> str:
    """The address of a server in the form in which it is stored: no trailing slash, no default port.

    Raises ConfigError for an invalid address, and for one with a user name or password.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{URL_VARIABLE}: no URL ({error}); write it like http://127.0.0.1:8080") from None
    if "@" in parts.netloc:
        raise ConfigError(f"{URL_VARIABLE}: leave out user name and password; the key goes into {KEY_VARIABLE}")
    if parts.scheme not in _PORTS or not host or any(map(str.isspace, text)):
        raise ConfigError(
            f"{URL_VARIABLE}: {text!r} is not the address of a server; write it like http://127.0.0.1:8080"
        )
    if parts.query or parts.fragment:
        raise ConfigError(f"{URL_VARIABLE}: write the server's address alone, without ? and #")
    shown = f"[{host}]" if ":" in host else host
    suffix = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{shown}{suffix}{parts.path.rstrip('/')}"


def checked_key(key: str) -> str:
    """The key, if it can be sent in a request's header. Raises ConfigError, which does not contain the key."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"{KEY_VARIABLE}: not a key (it contains spaces or characters that no key has); copy it again"
        )
    return key
