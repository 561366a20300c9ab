"""Accounts and queues for several reviewers of one server."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labeler.core.errors import StudioError
from labeler.core.runtime import Runtime
from labeler.review.statistics import project_url
from labeler.review.studio.projects import existing_projects, remote_id

if TYPE_CHECKING:
    from labeler.review.studio.api.accounts import Accounts
    from labeler.review.studio.api.client import Client

_EMAIL = re.compile(r"[^@\s<>\"',;]+@[^@\s<>\"',;]+")
MAX_EMAIL = 254  # characters
_PASSWORD_BYTES = 12  # of randomness


@dataclass(frozen=True, slots=True)
class Invited:
    """A person with an account. The password is stored nowhere; None where the account existed before."""

    email: str
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Queue:
    """A person's list of open tasks in a project where two people answer."""

    email: str
    url: str  # of the project


@dataclass(frozen=True, slots=True)
class Refusal:
    """What could not be made, and why."""

    what: str  # an e-mail address, or queues
    why: str


@dataclass(frozen=True, slots=True)
class Invitation:
    """What `labeler studio invite` did."""

    url: str  # of the server
    people: tuple[Invited, ...]
    queues: tuple[Queue, ...]  # made now
    refused: tuple[Refusal, ...]  # accounts or queues that could not be made; the command can be run again


def checked_email(text: str) -> str:
    """The address in the form in which the server stores it. Raises ValueError."""
    email = text.strip().lower()
    if len(email) > MAX_EMAIL or not _EMAIL.fullmatch(email) or not email.isprintable():
        raise ValueError(f"{text!r:.80} is not an e-mail address")
    return email


def invite(runtime: Runtime, client: Client, accounts: Accounts, emails: Sequence[str]) -> Invitation:
    """Make an account for each of these people who has none, and their queues where two people answer. Idempotent.

    An account that cannot be made does not hide the passwords of the others: it is listed as refused.

    Raises ServerDown or BadKey where nothing was done yet.
    """
    known = {email.lower() for email in client.users().values()}
    wanted = list(dict.fromkeys(emails))
    invitation = accounts.invitation() if set(wanted) - known else ""
    people: list[Invited] = []
    refused: list[Refusal] = []
    for email in wanted:
        if email in known:
            people.append(Invited(email, None))
            continue
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        try:
            accounts.sign_up(email, password, invitation=invitation)
        except StudioError as error:
            refused.append(Refusal(email, str(error)))
        else:
            people.append(Invited(email, password))
    queues: list[Queue] = []
    try:
        queues = _queues(runtime, client, {each.email for each in people})
    except StudioError as error:
        refused.append(Refusal("queues", str(error)))
    return Invitation(client.url, tuple(people), tuple(queues), tuple(refused))


def _queues(runtime: Runtime, client: Client, emails: Collection[str]) -> list[Queue]:
    """The queues made now, in every project of the workspace where two people answer."""
    users = {number: email for number, email in client.users().items() if email.lower() in emails}
    found = []
    for project in existing_projects(runtime, client):
        if project.reviewers > 1 and users:
            made = client.ensure_queues(remote_id(project), users, reviewers=project.reviewers)
            found += [Queue(email, project_url(project)) for email in made]
    return found
