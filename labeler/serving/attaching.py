"""Attach the backend to the projects of suggestions on a server, and to no blind one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from db.rows import StudioProjectRow
from labeler.core.errors import BadKey, ConfigError, NotReady, Refused, StudioError
from labeler.core.runtime import Runtime
from labeler.review.statistics import project_url
from labeler.review.studio.api.connection import normal_url
from labeler.review.studio.api.live import AttachedBackend, LiveClient, Login
from labeler.review.studio.projects import existing_projects, remote_id
from labeler.serving.access import SECRET_VARIABLE, USER, basic, is_loopback

TITLE = "labeler reader"  # of the backend; another name than the version of its predictions, which are shown anyway

log = logging.getLogger("labeler")


@dataclass(frozen=True, slots=True)
class Attachment:
    """What was done with a project. `others`: addresses of backends that are not ours; they were left alone."""

    project: str  # address
    blind: bool
    backend: Literal["attached", "updated", "detached", "none"]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Connected:
    """The result of `labeler studio connect` and `disconnect`."""

    url: str  # of the backend, as the server calls it; empty after disconnecting
    projects: tuple[Attachment, ...]


def connect(runtime: Runtime, client: LiveClient, url: str, *, secret: str | None) -> Connected:
    """Attach the backend at `url` to every project of suggestions; a blind project loses it and asks no other either.

    Raises:
        ConfigError: an invalid address, or one of another machine without a secret.
        NotReady: no project of suggestions is on the server.
        StudioError: the server does not reach the backend.
    """
    url = _checked(url, secret)
    login = Login(USER, secret, None if secret is None else basic(secret))
    projects = existing_projects(runtime, client)
    if all(project.blind for project in projects):
        raise NotReady(f"no project with suggestions is on {client.url} yet; send tasks first: labeler push")
    blind = [_conceal(client, project) for project in projects if project.blind]
    return Connected(url, (*(_attach(client, each, url, login) for each in projects if not each.blind), *blind))


def disconnect(runtime: Runtime, client: LiveClient) -> Connected:
    """Detach the backend from all projects; the suggestions that are there stay."""
    found = []
    for project in existing_projects(runtime, client):
        ours, others = _split(client, project)
        for each in ours:
            client.detach(each, project=remote_id(project))
        found.append(_attachment(project, "detached" if ours else "none", others))
    return Connected("", tuple(found))


def _attach(client: LiveClient, project: StudioProjectRow, url: str, login: Login) -> Attachment:
    number = remote_id(project)
    ours, others = _split(client, project)
    try:
        for surplus in ours[1:]:
            client.detach(surplus, project=number)
        if ours and ours[0].url == url:
            client.change(ours[0].id, project=number, url=url, title=TITLE, login=login)
        else:
            for old in ours[:1]:
                client.detach(old, project=number)
            client.attach(number, url=url, title=TITLE, login=login)
        client.set_webhook_header(number, url, login.header)
    except (Refused, BadKey) as error:
        raise StudioError(_unreachable(client, url, str(error))) from None
    return _attachment(project, "updated" if ours else "attached", others)


def _conceal(client: LiveClient, project: StudioProjectRow) -> Attachment:
    """Make sure that a blind project neither asks us nor shows a prediction, whatever people set there."""
    number = remote_id(project)
    ours, others = _split(client, project)
    for each in ours:
        client.detach(each, project=number)
    if client.revealing(number):
        client.conceal(number)
        log.warning("%s showed predictions, but its tasks are blind: this was turned off", project_url(project))
    if others:
        log.warning("%s is blind, but has a backend of others: remove %s", project_url(project), ", ".join(others))
    return _attachment(project, "detached" if ours else "none", others)


def _split(client: LiveClient, project: StudioProjectRow) -> tuple[list[AttachedBackend], tuple[str, ...]]:
    """Our backends of a project, and the addresses of others."""
    backends = client.backends(remote_id(project))
    ours = [each for each in backends if each.title == TITLE]
    return ours, tuple(each.url for each in backends if each.title != TITLE)


def _attachment(
    project: StudioProjectRow, backend: Literal["attached", "updated", "detached", "none"], others: tuple[str, ...]
) -> Attachment:
    return Attachment(project_url(project), project.blind, backend, others)


def _checked(url: str, secret: str | None) -> str:
    try:
        found = normal_url(url)
    except ConfigError:
        raise ConfigError(f"--url {url}: write it like http://127.0.0.1:9090, without ? and #") from None
    host = found.partition("://")[2].rpartition("@")[2]
    host = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition("/")[0].partition(":")[0]
    if secret is None and not is_loopback(host):
        raise ConfigError(f"--url {url} is another machine: set {SECRET_VARIABLE} there and here to a shared secret")
    return found


def _unreachable(client: LiveClient, url: str, reason: str) -> str:
    remedy = "start it first: labeler serve"
    if "local or private network" in reason:
        remedy = (
            "restart the local server (labeler studio stop, then start), or allow local addresses in yours: "
            "ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false"
        )
    elif "authentication" in reason.lower():
        remedy = f"set {SECRET_VARIABLE} here as where `labeler serve` runs"
    return f"{client.url} cannot use the backend at {url}: {remedy} ({reason})"
