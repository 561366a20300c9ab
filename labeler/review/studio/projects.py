"""The projects that a workspace has on a server: found, made, told apart from strangers, their page kept ours."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db import queries, store
from db.rows import RoundRow, StudioProjectRow, TaskRow
from labeler.core.config import Config
from labeler.core.errors import NotReady, PageChanged, ProjectGone
from labeler.core.runtime import Runtime
from labeler.review.guidelines import Language, instruction
from labeler.review.studio import labeling_config
from labeler.review.studio.convert import MODEL_VERSION

if TYPE_CHECKING:
    from labeler.review.studio.client import Client, ProjectState

LANGUAGE: Language = "both"  # of the page's guidelines: reviewers of one project may read either
TITLE_LENGTH = 50  # characters that the server takes

log = logging.getLogger("labeler")


@dataclass(frozen=True, slots=True)
class Form:
    """What a project is made for: tasks of one form go into one project."""

    blind: bool
    places: int  # passages on a page
    reviewers: int

    @property
    def page(self) -> str:
        return labeling_config.page(blind=self.blind, places=self.places, language=LANGUAGE)

    def title(self, workspace: str) -> str:
        """The project's name. That of the blind form says nothing of the other."""
        kind = "questions" if self.blind else "suggestions"
        people = "" if self.reviewers == 1 else f", {self.reviewers} people each"
        return f"{workspace[: TITLE_LENGTH - len(kind) - len(people) - 1]} {kind}{people}"


def form_of(project: StudioProjectRow) -> Form:
    """The form that a project was made for."""
    return Form(project.blind, project.passage_slots, project.reviewers)


def places_of(row: RoundRow) -> int:
    """The places of a round's pages: as many as the passages that it may show."""
    settings = Config.from_resolved(row.config)
    return 1 if settings.read.passages == "given" else min(settings.review.passages, settings.read.top_k)


def form_for(task: TaskRow, *, places: int) -> Form:
    """The form of a task of a round whose pages have so many places.

    Raises NotReady for a task of an older version that shows more than a page has.
    """
    if len(task.passages) > labeling_config.MAX_PLACES:
        shown = len(task.passages)
        raise NotReady(
            f"a task shows {shown} passages, a page has {labeling_config.MAX_PLACES}; answer them with: labeler review"
        )
    return Form(task.blind, max(places, len(task.passages)), task.reviewers)


def live(runtime: Runtime, client: Client) -> list[StudioProjectRow]:
    """The projects of the workspace that are there on this server, oldest first; their server ids are known.

    One that stood on another address is known again by its uid. One that is gone is marked so.
    """
    _follow(runtime, client)
    there, gone = _those_there(runtime, client)
    if gone:  # what stood in its place on another address may be followed here now
        _follow(runtime, client)
        there, _ = _those_there(runtime, client)
    return there


def _those_there(runtime: Runtime, client: Client) -> tuple[list[StudioProjectRow], bool]:
    """The projects known at this address that are there, and whether any was not: that one is marked as gone."""
    with runtime.database.read() as session:
        known = [each for each in queries.projects(session, url=client.url) if each.remote_id is not None]
    there = [each for each in known if _is_there(runtime, client, each, remote(each))]
    return there, len(there) < len(known)


def reset_pages(runtime: Runtime, client: Client) -> None:
    """Puts our page back wherever people changed it."""
    for project in live(runtime, client):
        _keep_page(runtime, client, project, client.project(remote(project)), reset_page=True)


def _follow(runtime: Runtime, client: Client) -> None:
    """Finds projects again whose server has another address now: a port, a name or a scheme may change."""
    with runtime.database.read() as session:
        known = queries.projects(session)
    taken = {form_of(each) for each in known if each.url == client.url}
    for each in known:
        if each.url == client.url or form_of(each) in taken or client.find_project(each.uid) is None:
            continue
        log.warning("the project of %s stands on %s now", each.url, client.url)
        taken.add(form_of(each))
        with runtime.database.write() as session:
            store.set_project_url(session, each.id, url=client.url)


def check_not_elsewhere(runtime: Runtime, client: Client) -> None:
    """Raises NotReady where open tasks stand on another server, which is not this one under another address."""
    with runtime.database.read() as session:
        others = queries.servers_of_open_tasks(session) - {client.url}
        known = queries.projects(session, url=client.url)
    if not others:
        return
    told = f"open tasks stand on {', '.join(sorted(others))}, and {client.url} does not know them"
    if known:
        log.warning("%s", told)
        return
    raise NotReady(f"{told}: set LABEL_STUDIO_URL to where they are; if that is gone for good: labeler push --move")


def give_up_others(runtime: Runtime, client: Client) -> int:
    """How many tasks on other servers are given up, so that open ones are free to be sent here. Reviews are kept."""
    _follow(runtime, client)
    with runtime.database.write() as session:
        others = [each for each in queries.projects(session) if each.url != client.url]
        return sum(store.mark_project_deleted(session, each.id) for each in others)


def _is_there(runtime: Runtime, client: Client, project: StudioProjectRow, remote_id: int) -> bool:
    """Whether the project is still there; else it is marked as gone, and its open tasks are free to be sent again."""
    try:
        state = client.project(remote_id)
    except ProjectGone:
        state = None
    if state is not None and _is_ours(runtime, client, project, state):
        return True
    with runtime.database.write() as session:
        freed = store.mark_project_deleted(session, project.id)
    log.warning(
        "project %d is gone from %s: reviews are kept, %d tasks stand there no more", remote_id, client.url, freed
    )
    return False


def _is_ours(runtime: Runtime, client: Client, project: StudioProjectRow, state: ProjectState) -> bool:
    """Whether a project is the one that we made: a new one may have got its id. People may edit a description."""
    if project.uid in state.description:
        return True
    with runtime.database.read() as session:
        sent = sorted(queries.push_ids(session, project.id).items(), reverse=True)  # the newest first
    return any(client.find_by_push(state.remote_id, push_id) for _, push_id in sent)


def made(runtime: Runtime, client: Client, form: Form, *, reset_page: bool) -> StudioProjectRow:
    """The project of a form, made if there is none; its page is ours.

    Raises PageChanged where people changed it, unless `reset_page`.

    The row comes first and its uid goes into the description: one whose making was interrupted is found again.
    """
    with runtime.database.read() as session:
        known = [each for each in queries.projects(session, url=client.url) if form_of(each) == form]
    project = known[0] if known else _add(runtime, client, form)
    if project.remote_id is None:
        remote_id = client.find_project(project.uid) or _make(runtime, client, project, form)
        with runtime.database.write() as session:
            store.set_project_remote_id(session, project.id, remote_id=remote_id)
            project = queries.project(session, project.id)
    _keep_page(runtime, client, project, client.project(remote(project)), reset_page=reset_page)
    return project


def _add(runtime: Runtime, client: Client, form: Form) -> StudioProjectRow:
    with runtime.database.write() as session:
        return store.add_project(
            session,
            url=client.url,
            blind=form.blind,
            passage_slots=form.places,
            reviewers=form.reviewers,
            page_sha256=labeling_config.page_sha256(form.page),
        )


def _make(runtime: Runtime, client: Client, project: StudioProjectRow, form: Form) -> int:
    return client.make_project(
        form.title(runtime.workspace.folder.name),
        project.uid,
        form.page,
        instruction=instruction(LANGUAGE, blind=form.blind),
        reviewers=form.reviewers,
        blind=form.blind,
        model_version="" if form.blind else MODEL_VERSION,
    )


def _keep_page(
    runtime: Runtime, client: Client, project: StudioProjectRow, state: ProjectState, *, reset_page: bool
) -> None:
    """Sets our page where it is a former one of ours. One that people changed is theirs to give up."""
    xml = form_of(project).page
    there, ours = labeling_config.page_sha256(state.page), labeling_config.page_sha256(xml)
    if there not in (ours, project.page_sha256) and not reset_page:
        raise PageChanged(
            f"the page of project {state.remote_id} on {client.url} was changed by hand; put it back, "
            "or let us: labeler push --reset-page"
        )
    if there != ours:
        client.set_page(state.remote_id, xml)
    if project.page_sha256 != ours:
        with runtime.database.write() as session:
            store.set_project_page(session, project.id, page_sha256=ours)


def remote(project: StudioProjectRow) -> int:
    """The server's id of a project that is there."""
    assert project.remote_id is not None, "a project that is there has its id"
    return project.remote_id


def url_of(client: Client, project: StudioProjectRow) -> str:
    """Where people open a project."""
    return f"{client.url}/projects/{remote(project)}/data"
