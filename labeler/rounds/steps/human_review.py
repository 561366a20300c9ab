"""People who review: in Label Studio, or by file and terminal. What is sent to them, what came back, what is left."""

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
    from labeler.review.studio.client import Client

log = logging.getLogger("labeler")

STUDIO, PEOPLE = "studio", "people"


def client(runtime: Runtime) -> Client:
    """The Label Studio that the workspace works with. Raises NotReady, ConfigError where there is none."""
    from labeler.review.studio.client import Client
    from labeler.review.studio.connection import find_connection

    return Client(find_connection(runtime.workspace, os.environ))


def check(runtime: Runtime) -> None:
    """Raises NotReady, ServerDown or BadKey where nothing could be sent: told before a round depends on it."""
    found = client(runtime)
    found.check()
    if runtime.config.review.double_annotation > 0 and len(found.users()) < 2:
        log.warning(
            "review.double_annotation asks two people, but %s has one user: invite another, or set it to 0", found.url
        )


def exchange(runtime: Runtime, row: RoundRow) -> None:
    """Fetches what was reviewed in Label Studio, sends what is to be reviewed there."""
    from labeler.review.studio.pull import sync

    sync(runtime, client(runtime), row)


def fetch(runtime: Runtime, *, everything: bool = False) -> None:
    """Fetches what was reviewed in Label Studio. `everything`: whatever its clock says of when."""
    from labeler.review.studio.pull import pull

    pull(runtime, client(runtime), everything=everything)


def go_on_without(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The round at `reviewed`: its open tasks are withdrawn. A late review of one counts in the next labelling.

    Those in Label Studio that nobody has touched are removed there. Raises NotReady where it does not answer.
    """
    if row.reviewer == STUDIO:
        _give_up(runtime, row)
    resolve(runtime, row.number)
    with runtime.database.write() as session:
        store.withdraw_tasks(session, row.number)
        detail = {"withdrawn": len(queries.tasks(session, round_number=row.number, states=["withdrawn"]))}
        store.add_event(session, "accepted_partial", detail=detail, round_number=row.number)
        return store.advance(session, row.number, "in_review", "reviewed")


def _give_up(runtime: Runtime, row: RoundRow) -> None:
    from labeler.review.studio.pull import withdraw

    try:
        withdraw(runtime, client(runtime), row)
    except ServerDown as error:
        raise NotReady(f"{error}; to go on without it: labeler round --reviewer none") from error


def waiting_for(runtime: Runtime, row: RoundRow) -> str:
    """What a round in review waits for, in words: how many reviews, where, and how many of them settle a conflict."""
    with runtime.database.read() as session:
        tasks = queries.tasks(session, round_number=row.number, states=["open"])
        wanted = missing_reviews(session, row.number)
        addresses = [project.url for project in studio_projects(session) if project.tasks]
    again = sum(task.attempt > 0 for task in tasks)
    told = f"{wanted} review{'s' if wanted != 1 else ''}"
    if row.reviewer == STUDIO:
        told += f" in Label Studio: {', '.join(addresses)}" if addresses else " in Label Studio"
    elif row.reviewer == PEOPLE:
        told += " by file or terminal (labeler review)"
    return f"{told}; {again} of them for questions asked again" if again else told
