"""Review by people, in Label Studio or by file and terminal: sending tasks, fetching reviews, going on without."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from db import queries, store
from db.rows import RoundRow
from labeler.core.errors import NotReady, ServerDown
from labeler.core.runtime import Runtime
from labeler.review.follow_up import resolve
from labeler.review.statistics import missing_reviews, studio_projects

if TYPE_CHECKING:
    from labeler.review.studio.api.client import Client
    from labeler.review.studio.pull import Pulled

log = logging.getLogger("labeler")

STUDIO, PEOPLE = "studio", "people"  # reviewers of a round


def client(runtime: Runtime) -> Client:
    """The client of the workspace's Label Studio. Raises NotReady, ConfigError where none is configured."""
    from labeler.review.studio.api.client import Client
    from labeler.review.studio.api.connection import find_connection

    return Client(find_connection(runtime.workspace, os.environ))


def check(runtime: Runtime) -> None:
    """Check that tasks could be sent, before a round depends on it. Raises NotReady, ServerDown or BadKey."""
    found = client(runtime)
    found.check()
    if runtime.config.review.double_annotation > 0 and len(found.users()) < 2:
        log.warning(
            "review.double_annotation needs two reviewers, but %s has one user: invite another, or set it to 0",
            found.url,
        )


def exchange(runtime: Runtime, row: RoundRow) -> None:
    """Fetch new reviews from Label Studio, then send the tasks that are not there yet."""
    from labeler.review.studio.pull import sync

    sync(runtime, client(runtime), row)


def exchange_reviews(runtime: Runtime, server: Client, *, everything: bool = False, send: bool) -> Pulled:
    """Pull once, make the tasks that must be asked again, and with `send` send them; return what came in."""
    from labeler.review.studio.pull import pull, refreshed
    from labeler.review.studio.push import push

    pulled = pull(runtime, server, everything=everything)
    with runtime.database.read() as session:
        row = queries.current_round(session)
    if row is not None and row.stage == "in_review":
        resolve(runtime, row.number)
        if send:
            push(runtime, server, row)
    return refreshed(runtime, server, pulled)


def fetch(runtime: Runtime, *, everything: bool = False) -> None:
    """Fetch new reviews from Label Studio; `everything`: compare all tasks, whatever the server's clock says."""
    from labeler.review.studio.pull import pull

    pull(runtime, client(runtime), everything=everything)


def accept_partial(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Withdraw the open tasks and advance the round to `reviewed`. A late review counts in the next labelling.

    Untouched tasks are removed from Label Studio too. Raises NotReady where it does not answer.
    """
    if row.reviewer == STUDIO:
        _withdraw_in_studio(runtime, row)
    resolve(runtime, row.number)
    with runtime.database.write() as session:
        store.withdraw_tasks(session, row.number)
        detail = {"withdrawn": len(queries.tasks(session, round_number=row.number, states=["withdrawn"]))}
        store.add_event(session, "accepted_partial", detail=detail, round_number=row.number)
        return store.advance(session, row.number, "in_review", "reviewed")


def _withdraw_in_studio(runtime: Runtime, row: RoundRow) -> None:
    from labeler.review.studio.pull import withdraw

    try:
        withdraw(runtime, client(runtime), row)
    except ServerDown as error:
        raise NotReady(f"{error}; to go on without it: labeler round --reviewer none") from error


def waiting_for(runtime: Runtime, row: RoundRow) -> str:
    """A phrase that says how many reviews a round waits for, where, and how many are of questions asked again."""
    with runtime.database.read() as session:
        tasks = queries.tasks(session, round_number=row.number, states=["open"])
        wanted = missing_reviews(session, row.number)
        addresses = [project.url for project in studio_projects(session) if project.tasks]
    again = sum(task.attempt > 0 for task in tasks)
    text = f"{wanted} review{'s' if wanted != 1 else ''}"
    if row.reviewer == STUDIO:
        text += f" in Label Studio: {', '.join(addresses)}" if addresses else " in Label Studio"
    elif row.reviewer == PEOPLE:
        text += " by file or terminal (labeler review)"
    return f"{text}; {again} of them for questions asked again" if again else text
