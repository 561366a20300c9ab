"""People who review: in Label Studio, or by file and terminal. What is sent to them, what came back, what is left."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from db import queries, store
from db.rows import RoundRow
from labeler.agreement import settle
from labeler.desk import Desk
from labeler.errors import NotReady, ServerDown
from labeler.reviewed import missing, studio_projects

if TYPE_CHECKING:
    from labeler.studio.client import Client

log = logging.getLogger("labeler")

STUDIO, PEOPLE = "studio", "people"


def client(desk: Desk) -> Client:
    """The Label Studio that the workspace works with. Raises NotReady, ConfigError where there is none."""
    from labeler.studio.client import Client
    from labeler.studio.connection import find_connection

    return Client(find_connection(desk.workspace, os.environ))


def check(desk: Desk) -> None:
    """Raises NotReady, ServerDown or BadKey where nothing could be sent: told before a round depends on it."""
    found = client(desk)
    found.check()
    if desk.config.review.double_share > 0 and len(found.users()) < 2:
        log.warning(
            "review.double_share asks two people, but %s has one user: invite another, or set it to 0", found.url
        )


def exchange(desk: Desk, row: RoundRow) -> None:
    """Fetches what was reviewed in Label Studio, sends what is to be reviewed there."""
    from labeler.studio.pulling import sync

    sync(desk, client(desk), row)


def fetch(desk: Desk, *, everything: bool = False) -> None:
    """Fetches what was reviewed in Label Studio. `everything`: whatever its clock says of when."""
    from labeler.studio.pulling import pull

    pull(desk, client(desk), everything=everything)


def go_on_without(desk: Desk, row: RoundRow) -> RoundRow:
    """The round at `reviewed`: its open tasks are withdrawn. A late review of one counts in the next labelling.

    Those in Label Studio that nobody has touched are removed there. Raises NotReady where it does not answer.
    """
    if row.reviewer == STUDIO:
        _give_up(desk, row)
    settle(desk, row.number)
    with desk.database.write() as session:
        store.withdraw_tasks(session, row.number)
        detail = {"withdrawn": len(queries.tasks(session, round_number=row.number, states=["withdrawn"]))}
        store.add_event(session, "accepted_partial", detail=detail, round_number=row.number)
        return store.advance(session, row.number, "in_review", "reviewed")


def _give_up(desk: Desk, row: RoundRow) -> None:
    from labeler.studio.pulling import withdraw

    try:
        withdraw(desk, client(desk), row)
    except ServerDown as error:
        raise NotReady(f"{error}; to go on without it: labeler round --reviewer none") from error


def waiting_for(desk: Desk, row: RoundRow) -> str:
    """What a round in review waits for, in words: how many reviews, where, and how many of them settle a conflict."""
    with desk.database.read() as session:
        tasks = queries.tasks(session, round_number=row.number, states=["open"])
        wanted = missing(session, row.number)
        addresses = [project.url for project in studio_projects(session) if project.tasks]
    again = sum(task.attempt > 0 for task in tasks)
    told = f"{wanted} review{'s' if wanted != 1 else ''}"
    if row.reviewer == STUDIO:
        told += f" in Label Studio: {', '.join(addresses)}" if addresses else " in Label Studio"
    elif row.reviewer == PEOPLE:
        told += " by file or terminal (labeler review)"
    return f"{told}; {again} of them for questions asked again" if again else told
