"""studio invite: accounts and queues for several reviewers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import in_workspace, runtime, show
from labeler.core.console import table

if TYPE_CHECKING:
    from labeler.review.reviewers.invite import Invitation


def _emails(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    from labeler.review.reviewers.invite import checked_email

    try:
        return tuple(checked_email(text) for text in value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("invite")
@click.argument("emails", metavar="EMAIL...", nargs=-1, required=True, callback=_emails)
@in_workspace
def invite_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, emails: tuple[str, ...]) -> None:
    """Make accounts for reviewers, and a queue for each where two people answer.

    Prints a password for each new account once; it is stored nowhere. A queue is a tab of the project: what this person
    has not answered and another person is still needed for. Run it again for more people.

    \b
    Example:  labeler studio invite kim@example.com lee@example.com
    """
    from labeler.review.reviewers.invite import invite
    from labeler.review.studio.api.accounts import Accounts
    from labeler.review.studio.api.client import Client
    from labeler.review.studio.api.connection import find_connection

    with runtime(workspace, sets, write=True) as at:
        connection = find_connection(at.workspace, os.environ)
        found = invite(at, Client(connection), Accounts(connection), emails)
    show(found, as_json=as_json, text=lambda: _invited_text(found))
    if found.refused:
        sys.exit(1)


def _invited_text(found: Invitation) -> str:
    rows = [(each.email, each.password or "(has an account already)") for each in found.people]
    lines = [f"log in at {found.url}", table(("e-mail", "password"), rows)] if rows else []
    lines += [f"queue of {each.email}: {each.url}" for each in found.queues]
    return "\n".join([*lines, *(f"not made: {each.what}: {each.why}" for each in found.refused)])
