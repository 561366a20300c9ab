"""certify list, show, withdraw and restore."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.cli.certify.options import output_options
from labeler.cli.certify.output import check_certificate_file, described, write_certificate
from labeler.cli.common import in_workspace, reason_option, refuse_json_to_stdout, runtime, show, show_written
from labeler.cli.describe.certificates import certificates_table, certified_text, standing_text


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


@click.command("show")
@click.argument("certificate")
@output_options
@in_workspace
def certify_show(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, certificate: str, output: Path | None, force: bool
) -> None:
    """Show a certificate that was made, or write its file again.

    \b
    Example:  labeler certify show 3f9a12
              labeler certify show 3f9a12 -o certificate.json
    """
    from labeler.certify.machine import made

    if output is not None:
        refuse_json_to_stdout(output, as_json=as_json)
    with runtime(workspace, sets) as at:
        check_certificate_file(at, output, force=force)
        found = made(at, certificate)
        assert found.certificate is not None
        write_certificate(at, found.certificate, output, force=force)
    show_written(described(found), output or Path(), as_json=as_json, text=lambda: certified_text(found))


@click.command("withdraw")
@click.argument("certificate")
@reason_option
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
@reason_option
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
