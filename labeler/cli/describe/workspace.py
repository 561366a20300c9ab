"""Text of a workspace's state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labeler.cli.describe import counted
from labeler.cli.describe.rounds import stage_text
from labeler.core.console import exact_percent, percent, table

if TYPE_CHECKING:
    from labeler.maintenance.prune import PrunePlan
    from labeler.maintenance.status import Status

REVIEWERS = 5  # listed by name


def status_text(found: Status) -> str:
    """The state of the workspace on one screen; the last line is what to do next."""
    facts = "\n".join(f"{name:<10} {value}" for name, value in _facts(found))
    rows = [(role, count, found.labelled[role]) for role, count in found.questions.items()]
    return f"{facts}\n\n{table(('role', 'questions', 'labelled'), rows)}\n\nnext: {found.next}"


def _facts(found: Status) -> Iterator[tuple[str, str]]:
    yield "workspace", found.workspace
    yield "database", found.database
    yield "passages", f"{found.passages} in {found.documents} documents"
    yield "labels", counted(found.labels)
    if found.round is None or found.kind is None or found.stage is None:
        yield "round", "none yet"
    else:
        yield "round", f"{found.round} ({found.kind}), {stage_text(found.kind, found.stage)}"
    yield "tasks", counted({state: count for state, count in found.tasks.items() if count}) or "none"
    yield from _review_facts(found)
    yield from (("alarm", f"round {each.round}: {each.alarm.message}") for each in found.alarms)
    for each in found.labellers:
        cost = "" if each.cost is None else f", cost {each.cost:.4f}"
        asked = f", {each.requests} requests{cost}" if each.requests else ""
        yield "labeller", f"{each.name}: {each.questions} questions answered, {each.anchored} anchored{asked}"
    yield "certified", _certified(found)
    yield "index", found.index
    reader, retriever = found.reader, found.retriever
    yield "reader", "none yet" if reader is None else f"round {reader.round}, {reader.hash[:12]}"
    if retriever is not None:
        yield "retriever", f"round {retriever.round}, {retriever.hash[:12]}"


def _certified(found: Status) -> str:
    """The certificate in force, else the newest and why it releases nothing."""
    shown = next((one for one in reversed(found.certificates) if one.releases), None)
    if shown is None:
        if not found.certificates:
            return "nothing; labeler certify --dry-run says what a certificate would cost"
        newest = found.certificates[-1]
        return f"nothing: {newest.certificate[:12]} is {newest.state.replace('_', ' ')} ({newest.why})"
    later = [one for one in found.certificates if one.state in ("void", "contradicted")]
    lost = "".join(f"; {one.certificate[:12]} is {one.state} ({one.why})" for one in later)
    text = (
        f"{shown.released} pseudo-labels by {shown.certificate[:12]}, precision at least {exact_percent(shown.target)}"
    )
    return f"{text} ({shown.why}){lost}"


def _review_facts(found: Status) -> Iterator[tuple[str, str]]:
    """Lines about reviewers; none without reviews."""
    reviews = found.reviews
    for each in reviews.reviewers[:REVIEWERS]:
        minutes = f", {each.seconds / 60:.1f} minutes" if each.timed else ""
        yield "reviewer", f"{each.name}: {each.reviews} reviews, {each.skipped} skipped{minutes}"
    if len(reviews.reviewers) > REVIEWERS:
        yield "reviewer", f"and {len(reviews.reviewers) - REVIEWERS} more"
    if reviews.reviewers:
        yield "answers", counted(reviews.origins)
    if reviews.agreement.pairs:
        shares = (reviews.agreement.verdict, reviews.agreement.exact, reviews.agreement.span_f1)
        text = "verdict {} %, answer {} %, span F1 {} %".format(*map(percent, shares))
        yield "agreement", f"{text} ({reviews.agreement.pairs} pairs)"
    if reviews.conflicts:
        yield "conflicts", f"{len(reviews.conflicts)} questions, e.g. {reviews.conflicts[0]}"
    for project in found.studio:
        yield "studio", f"{project.url} ({project.tasks} tasks)"


def prune_plan_text(plan: PrunePlan) -> str:
    """The folders that `labeler prune` would delete, and their size."""
    return "\n".join(
        (
            *(f"  {path}" for path in plan.paths),
            *(f"  {path} stays: a link leads to it" for path in plan.kept),
            f"would delete {plan.predictions} predictions and {len(plan.paths)} folders: "
            f"{plan.would_free / 2**20:.1f} MiB",
        )
    )
