"""Fetch reviews from Label Studio: after a pull the database has for each task what the server has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from db import queries, store
from db.rows import RoundRow
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from labeler.review.follow_up import resolve
from labeler.review.studio.conflicts import Conflict, conflicts
from labeler.review.studio.projects import check_server, existing_projects
from labeler.review.studio.pull_project import ProjectPull
from labeler.review.studio.push import Pushed, push
from labeler.review.studio.reconcile import delete_withdrawn

if TYPE_CHECKING:
    from labeler.review.studio.api.client import Client


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull changed here, and what is left."""

    reviews: int  # new or edited, of every verdict
    labels: int  # of these: with an answer, or "no answer"; the round's labelling makes labels of them
    skipped: int  # of these
    deleted: int  # reviews deleted on the server
    conflicts: tuple[Conflict, ...]  # all that exist now
    gone: int  # tasks deleted there by people: their reviews stay, open ones are sent again
    foreign: int  # tasks of others in our projects
    open: int  # tasks that still wait for people

    def then(self, later: Pulled) -> Pulled:
        """This pull and a later one together: changes are added up, the rest is that of the later one."""
        return Pulled(
            reviews=self.reviews + later.reviews,
            labels=self.labels + later.labels,
            skipped=self.skipped + later.skipped,
            deleted=self.deleted + later.deleted,
            conflicts=later.conflicts,
            gone=self.gone + later.gone,
            foreign=later.foreign,
            open=later.open,
        )

    @property
    def changed(self) -> bool:
        """Whether anything came in."""
        return bool(self.reviews or self.deleted or self.gone)


def pull(runtime: Runtime, client: Client, *, everything: bool = False) -> Pulled:
    """Fetch the reviews since the last pull; with `everything` those of all tasks. Idempotent.

    Raises:
        ServerDown, BadKey: what was read before is kept; the next call continues.
        NotReady: the open tasks are on another server, and this one knows none of our projects.
    """
    counts: Counter[str] = Counter()
    projects = existing_projects(runtime, client)
    check_server(runtime, client)
    users = client.users() if projects else {}
    with bar("pull", total=0, unit="tasks") as shown:
        for project in projects:
            counts.update(ProjectPull(runtime, client, project, users, shown).run(everything=everything))
    pulled = Pulled(
        reviews=counts["new"] + counts["edited"],
        labels=counts["labels"],
        skipped=counts["skipped"],
        deleted=counts["deleted"],
        conflicts=(),
        gone=counts["gone"],
        foreign=counts["foreign"],
        open=0,
    )
    return refreshed(runtime, client, pulled)


def refreshed(runtime: Runtime, client: Client, pulled: Pulled) -> Pulled:
    """The same pull with the conflicts and the number of open tasks of this moment."""
    with runtime.database.read() as session:
        waiting = len(queries.tasks(session, states=["open"]))
        return replace(pulled, conflicts=tuple(conflicts(session, client)), open=waiting)


def sync(runtime: Runtime, client: Client, row: RoundRow) -> tuple[Pulled, Pushed]:
    """Pull, make the tasks that must be asked again, and push what is not on the server."""
    pulled = pull(runtime, client)
    resolve(runtime, row.number)
    pushed = push(runtime, client, row)
    return refreshed(runtime, client, pulled), pushed


def withdraw(runtime: Runtime, client: Client, row: RoundRow) -> int:
    """Withdraw a round's open tasks after a last pull, delete untouched ones on the server, and return their number.

    Tasks that somebody began stay there, so that a late review can arrive. The database changes first: if the call is
    interrupted, the next pull or push completes it.
    """
    pull(runtime, client, everything=True)
    with runtime.database.write() as session:
        count = store.withdraw_tasks(session, row.number)
    for project in existing_projects(runtime, client):
        delete_withdrawn(runtime, client, project)
    return count
