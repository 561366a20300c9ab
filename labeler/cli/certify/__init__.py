"""certify: make, show and verify certificates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.certify.manage import certify_list, certify_restore, certify_show, certify_withdraw
from labeler.cli.certify.options import PEOPLE, output_options, refuse_before, request_options, reviewer_option
from labeler.cli.certify.output import check_certificate_file, described, write_certificate
from labeler.cli.common import (
    in_workspace,
    on_device,
    plain,
    refuse_json_to_stdout,
    refuse_options,
    runtime,
    show,
    show_written,
)
from labeler.cli.describe import alarm_lines
from labeler.cli.describe.certificates import certified_text, forecast_text, verified_text

if TYPE_CHECKING:
    from labeler.certify.machine import Certified
    from labeler.certify.request import Request
    from labeler.evaluation.standing_alarms import RoundAlarm

MAKING = ("target", "delta", "audits", "attempts", "reviewer", "stored", "labeller", "looks", "seed", "accept_partial")


@click.group("certify", invoke_without_command=True)
@request_options
@reviewer_option
@click.option("--accept-partial", is_flag=True, help="Conclude now; unanswered questions count as errors.")
@click.option("--dry-run", is_flag=True, help="Show audits, minutes and the coverage to expect; change nothing.")
@click.option("--verify", "file", type=click.Path(path_type=Path, dir_okay=False), help="Verify a certificate's file.")
@output_options
@in_workspace
@on_device
@click.pass_context
def certify_command(
    ctx: click.Context,
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    request: Request,
    reviewer: str | None,
    accept_partial: bool,
    dry_run: bool,
    file: Path | None,
    output: Path | None,
    force: bool,
) -> int | None:
    """Certify the precision of pseudo-labels by a blind random audit.

    Freezes the ranking of the unlabelled pool, draws questions by lot, and lets people answer them without seeing the
    model's answer; where the two differ, they judge in a second step whether both say the same. Exact tests then decide
    which part of the pool has the target precision. That part is released: `labeler export` writes it. Run the command
    again to continue after reviews. --verify recomputes a certificate from the database alone.

    \b
    Example:  labeler certify --dry-run
              labeler certify --target 0.85 --reviewer terminal && labeler review && labeler certify -o certificate.json
              labeler certify --labeller roberta --reviewer terminal
              labeler certify --verify certificate.json
    """
    if ctx.invoked_subcommand is not None:
        refuse_before(ctx)
        return None
    if file is not None:
        refuse_options(*MAKING, "dry_run", "output", "force", why="does not apply to --verify")
        return _verify(workspace, sets, file, as_json=as_json)
    if dry_run:
        refuse_options("accept_partial", "output", "force", why="does not apply to --dry-run")
        _forecast(workspace, sets, request, as_json=as_json)
        return None
    chosen = "people" if reviewer in PEOPLE else reviewer
    asked = {"reviewer": chosen, "accept_partial": accept_partial}
    _certify(workspace, sets, request, asked, output, as_json=as_json, force=force)
    return None


def _certify(
    workspace: Path | None,
    sets: tuple[str, ...],
    request: Request,
    asked: dict[str, Any],
    output: Path | None,
    *,
    as_json: bool,
    force: bool,
) -> None:
    """Run the audit as far as it goes, write the certificate once it is made, and print what stands."""
    if output is not None:
        refuse_json_to_stdout(output, as_json=as_json)
    found = _run(workspace, sets, request, asked, output, force=force)
    raised = _alarms(workspace, sets)
    result = described(found) | {"alarms": plain(raised)}
    show_written(
        result, output or Path(), as_json=as_json, text=lambda: "\n".join([certified_text(found), *alarm_lines(raised)])
    )


def _run(
    workspace: Path | None,
    sets: tuple[str, ...],
    request: Request,
    asked: dict[str, Any],
    output: Path | None,
    *,
    force: bool,
) -> Certified:
    from labeler.certify import machine

    with runtime(workspace, sets, write=True) as at:
        check_certificate_file(at, output, force=force)  # before anybody is asked anything
        found = machine.run(at, request, **asked)
        if found.certificate is not None:
            write_certificate(at, found.certificate, output, force=force)
        return found


def _alarms(workspace: Path | None, sets: tuple[str, ...]) -> tuple[RoundAlarm, ...]:
    """The alarms in force: a certificate does not rest on the confidence, but what it covers is chosen by it."""
    from labeler.evaluation.standing_alarms import standing_alarms

    with runtime(workspace, sets) as at, at.database.read() as session:
        return standing_alarms(session)


def _forecast(workspace: Path | None, sets: tuple[str, ...], request: Request, *, as_json: bool) -> None:
    from labeler.certify.forecast import forecast

    with runtime(workspace, sets) as at:
        found = forecast(at, request)
    raised = _alarms(workspace, sets)
    result = {"dry_run": True, **plain(found), "alarms": plain(raised)}
    show(result, as_json=as_json, text=lambda: "\n".join([forecast_text(found), *alarm_lines(raised)]))


def _verify(workspace: Path | None, sets: tuple[str, ...], file: Path, *, as_json: bool) -> int:
    """Print whether the certificate holds; exit status 1 if it does not."""
    from labeler.certificates.standing import standings
    from labeler.certificates.verify import verify_file

    with runtime(workspace, sets) as at, at.database.read() as session:
        verified = verify_file(session, file)
        standing = next((one for one in standings(session) if one.certificate == verified.certificate), None)
    result = {
        "certificate": verified.certificate,
        "valid": verified.valid,
        "why": verified.why,
        "current": verified.valid and standing is not None and standing.current,
        "standing": plain(standing),
    }
    show(result, as_json=as_json, text=lambda: verified_text(verified, standing))
    return 0 if verified.valid else 1


for each in (certify_list, certify_show, certify_withdraw, certify_restore):
    certify_command.add_command(each)
