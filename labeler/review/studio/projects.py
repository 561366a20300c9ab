"""The workspace's projects on a server: finding, making and checking them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from db import queries, store
from db.rows import RoundRow, StudioProjectRow, TaskRow
from labeler.core.config import Config
from labeler.core.errors import NotReady, PageChanged, ProjectGone
from labeler.core.runtime import Runtime
from labeler.review.guidelines import Language, instruction, summary
from labeler.review.studio.labeling_config import MAX_PASSAGES, config_sha256, labeling_config
from labeler.review.studio.payloads import MODEL_VERSION

if TYPE_CHECKING:
    from labeler.review.studio.api.client import Client, ProjectState

MAX_TITLE = 50  # characters that the server takes

log = logging.getLogger("labeler")


@dataclass(frozen=True, slots=True)
class ProjectSpec:
    """What distinguishes the projects of a workspace: tasks with equal specs go into one project."""

    blind: bool
    passage_slots: int  # passages that a review page has room for
    reviewers: int  # people who answer each task
    language: Language = field(default="both", compare=False)  # of its page; a change of it changes the page

    @property
    def label_config(self) -> str:
        return labeling_config(blind=self.blind, passage_slots=self.passage_slots, language=self.language)

    def title(self, workspace: str) -> str:
        """The project's name: the workspace, cut to fit, and what its reviewers do."""
        task = "answer without a suggestion" if self.blind else "check the suggestion"
        people = "" if self.reviewers == 1 else f" ({self.reviewers} people)"
        return f"{workspace[: MAX_TITLE - len(task) - len(people) - 2]}: {task}{people}"


def spec_of(project: StudioProjectRow, language: Language = "both") -> ProjectSpec:
    """The spec that a project was made for."""
    return ProjectSpec(project.blind, project.passage_slots, project.reviewers, language)


def page_language(runtime: Runtime) -> Language:
    """The language of the review pages: the one set, else that of the workspace, else both."""
    given = runtime.config.studio.language
    return runtime.language if given == "auto" else cast("Language", given)


def passage_slots_of(row: RoundRow) -> int:
    """The number of passages on a round's review pages: as many as a task may show."""
    settings = Config.from_resolved(row.config)
    return 1 if settings.read.passages == "given" else min(settings.review.passages, settings.read.top_k)


def spec_for(task: TaskRow, *, passage_slots: int, language: Language = "both") -> ProjectSpec:
    """The spec of the project for a task, in a round whose pages have so many slots.

    Raises NotReady for a task with more passages than any page can show.
    """
    shown = len(task.passages)
    if shown > MAX_PASSAGES:
        raise NotReady(
            f"a task shows {shown} passages, a page in Label Studio {MAX_PASSAGES}; review it with: labeler review"
        )
    return ProjectSpec(task.blind, max(passage_slots, shown), task.reviewers, language)


def existing_projects(runtime: Runtime, client: Client) -> list[StudioProjectRow]:
    """The workspace's projects that exist on this server, oldest first; their server ids are known.

    A project whose server has another address now is found again by its uid. One that is gone is marked as gone.
    """
    _follow_moved(runtime, client)
    existing, any_gone = _known_here(runtime, client)
    if any_gone:  # a project of the same spec at another address may be followed now
        _follow_moved(runtime, client)
        existing, _ = _known_here(runtime, client)
    return existing


def _known_here(runtime: Runtime, client: Client) -> tuple[list[StudioProjectRow], bool]:
    """The projects known at this address that exist, and whether any was gone; that one is marked as gone."""
    with runtime.database.read() as session:
        known = [each for each in queries.projects(session, url=client.url) if each.remote_id is not None]
    existing = [each for each in known if _exists(runtime, client, each)]
    return existing, len(existing) < len(known)


def _follow_moved(runtime: Runtime, client: Client) -> None:
    """Find projects again whose server has another address now: a port, a name or a scheme may change."""
    with runtime.database.read() as session:
        known = queries.projects(session)
    taken = {spec_of(each) for each in known if each.url == client.url}
    for each in known:
        if each.url == client.url or spec_of(each) in taken or client.find_project(each.uid) is None:
            continue
        log.warning("the project of %s is on %s now", each.url, client.url)
        taken.add(spec_of(each))
        with runtime.database.write() as session:
            store.set_project_url(session, each.id, url=client.url)


def check_server(runtime: Runtime, client: Client) -> None:
    """Raise NotReady where open tasks are on another server and this one knows none of our projects."""
    with runtime.database.read() as session:
        others = queries.servers_of_open_tasks(session) - {client.url}
        known = queries.projects(session, url=client.url)
    if not others:
        return
    message = f"open tasks are on {', '.join(sorted(others))}, and {client.url} does not know them"
    if known:
        log.warning("%s", message)
        return
    raise NotReady(f"{message}: set LABEL_STUDIO_URL to that server; if it is gone for good: labeler push --move")


def abandon_other_servers(runtime: Runtime, client: Client) -> int:
    """Give up the tasks on other servers, so that open ones can be sent here, and return their number.

    Reviews are kept.
    """
    _follow_moved(runtime, client)
    with runtime.database.write() as session:
        others = [each for each in queries.projects(session) if each.url != client.url]
        return sum(store.mark_project_deleted(session, each.id) for each in others)


def _exists(runtime: Runtime, client: Client, project: StudioProjectRow) -> bool:
    """Whether the project exists; else it is marked as gone, and its open tasks can be sent again."""
    number = remote_id(project)
    try:
        state = client.project(number)
    except ProjectGone:
        state = None
    if state is not None and _is_ours(runtime, client, project, state):
        return True
    with runtime.database.write() as session:
        freed = store.mark_project_deleted(session, project.id)
    log.warning("project %d is gone from %s with %d tasks; reviews are kept", number, client.url, freed)
    return False


def _is_ours(runtime: Runtime, client: Client, project: StudioProjectRow, state: ProjectState) -> bool:
    """Whether a project is the one that we made: a new one may have got its id, and people edit descriptions."""
    if project.uid in state.description:
        return True
    with runtime.database.read() as session:
        sent = sorted(queries.push_ids(session, project.id).items(), reverse=True)  # the newest first
    return any(client.find_by_push(state.remote_id, push_id) for _, push_id in sent)


def ensure_project(runtime: Runtime, client: Client, spec: ProjectSpec, *, reset_page: bool) -> StudioProjectRow:
    """The project of a spec, made if there is none, with our labeling configuration.

    The row is stored first and its uid put into the description, so that a project whose making was interrupted is
    found again.

    Raises PageChanged where people changed the labeling configuration, unless `reset_page`.
    """
    with runtime.database.read() as session:
        known = [each for each in queries.projects(session, url=client.url) if spec_of(each) == spec]
    project = known[0] if known else _add(runtime, client, spec)
    if project.remote_id is None:
        number = client.find_project(project.uid) or _make(runtime, client, project, spec)
        with runtime.database.write() as session:
            store.set_project_remote_id(session, project.id, remote_id=number)
            project = queries.project(session, project.id)
    _update_page(runtime, client, project, client.project(remote_id(project)), reset_page=reset_page)
    return project


def _add(runtime: Runtime, client: Client, spec: ProjectSpec) -> StudioProjectRow:
    with runtime.database.write() as session:
        return store.add_project(
            session,
            url=client.url,
            blind=spec.blind,
            passage_slots=spec.passage_slots,
            reviewers=spec.reviewers,
            page_sha256=config_sha256(spec.label_config),
        )


def _make(runtime: Runtime, client: Client, project: StudioProjectRow, spec: ProjectSpec) -> int:
    return client.make_project(
        spec.title(runtime.workspace.folder.name),
        project.uid,
        spec.label_config,
        summary=summary("both", blind=spec.blind),
        instruction=instruction(spec.language, blind=spec.blind),
        reviewers=spec.reviewers,
        blind=spec.blind,
        model_version="" if spec.blind else MODEL_VERSION,
    )


def reset_pages(runtime: Runtime, client: Client) -> None:
    """Put our labeling configuration back wherever people changed it."""
    for project in existing_projects(runtime, client):
        _update_page(runtime, client, project, client.project(remote_id(project)), reset_page=True)


def _update_page(
    runtime: Runtime, client: Client, project: StudioProjectRow, state: ProjectState, *, reset_page: bool
) -> None:
    """Set our labeling configuration where the project has an older one of ours.

    Raises PageChanged where people changed it, unless `reset_page`.
    """
    xml = spec_of(project, page_language(runtime)).label_config
    current, ours = config_sha256(state.label_config), config_sha256(xml)
    if current not in (ours, project.page_sha256) and not reset_page:
        raise PageChanged(
            f"the review page of project {state.remote_id} on {client.url} was changed by hand; put it back yourself, "
            "or run: labeler push --reset-page"
        )
    if current != ours:
        client.set_label_config(state.remote_id, xml)
    if project.page_sha256 != ours:
        with runtime.database.write() as session:
            store.set_project_page(session, project.id, page_sha256=ours)


def remote_id(project: StudioProjectRow) -> int:
    """The server's id of a project that exists there."""
    assert project.remote_id is not None, "a project that exists has its id"
    return project.remote_id
