"""certify list, withdraw and restore."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.cli.common import in_workspace, runtime, show
from labeler.cli.describe.certificates import certificates_table, standing_text


@click.command("list")
@in_workspace
def certify_list(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """List certificates and attempts.

    Each is verified anew. `delta_sum` bounds the probability that any certificate of the workspace is false.

    \b
    Example:  labeler certify list
    """
    from db import certificates
    from labeler.certificates.standing import standings

    with runtime(workspace, sets) as at, at.database.read() as session:
        found = standings(session)
        spent = sum(row.request["delta"] for row in certificates.certificates(session) if row.seed is not None)
    show({"certificates": found, "delta_sum": spent}, as_json=as_json, text=lambda: certificates_table(found, spent))


@click.command("withdraw")
@click.argument("certificate")
@click.option("--reason", required=True, help="Reason recorded in the history.")
@in_workspace
def certify_withdraw(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, certificate: str, reason: str
) -> None:
    """Withdraw a certificate: what it released is not exported any more.

    \b
    Example:  labeler certify withdraw 3f9a12 --reason "the passages were replaced"
    """
    from labeler.certify.change import withdraw

    with runtime(workspace, sets, write=True) as at:
        found = withdraw(at, certificate, reason=reason)
    show(found, as_json=as_json, text=lambda: standing_text(found))


@click.command("restore")
@click.argument("certificate")
@click.option("--reason", required=True, help="Reason recorded in the history.")
@in_workspace
def certify_restore(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, certificate: str, reason: str
) -> None:
    """Put a withdrawn certificate into force again.

    Later reviews that contradict it are accepted as they are now; more of them withdraw it again. A void certificate
    comes back by itself once its rows are as they were.

    \b
    Example:  labeler certify restore 3f9a12 --reason "the reviewer had misread the guidelines"
    """
    from labeler.certify.change import restore

    with runtime(workspace, sets, write=True) as at:
        found = restore(at, certificate, reason=reason)
    show(found, as_json=as_json, text=lambda: standing_text(found))
