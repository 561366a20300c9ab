"""certify: make and verify certificates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.certify.manage import certify_list, certify_restore, certify_withdraw
from labeler.cli.common import check_folder, force_option, in_workspace, on_device, plain, runtime, show
from labeler.cli.describe import alarm_lines
from labeler.cli.describe.certificates import certified_text, forecast_text, verified_text

if TYPE_CHECKING:
    from labeler.certify.machine import Certified
    from labeler.certify.request import Request
    from labeler.evaluation.standing_alarms import RoundAlarm

PEOPLE = ("file", "terminal")  # ways of reviewing without a server: one kind of reviewer


@click.group("certify", invoke_without_command=True)
@click.option("--target", type=float, help="Precision to certify; default: calibrate.target_precision.")
@click.option("--delta", type=float, help="Largest probability of a false certificate.  [default: 0.1]")
@click.option("--audits", type=click.IntRange(min=150), help="Questions that people answer blind.  [default: 300]")
@click.option("--attempts", type=click.IntRange(min=1), help="Certificates that share --delta; fixed with the first.")
@click.option(
    "--reviewer",
    type=click.Choice(["studio", *PEOPLE, "people", "simulated"]),
    help="studio: Label Studio; file, terminal (both: people): without a server; simulated: by hidden answers.",
)
@click.option("--stored", is_flag=True, help="Certify the newest stored predictions, whoever made them.")
@click.option("--labeller", metavar="NAME", help="Certify the imported answers of a labeller, not the reader's.")
@click.option("--looks", is_flag=True, help="Test after each quarter of the audit; end it once enough has passed.")
@click.option("--accept-partial", is_flag=True, help="Conclude now; unanswered questions count as errors.")
@click.option("--seed", help="Seed of the draw, for simulations; default: drawn.")
@click.option("--dry-run", is_flag=True, help="Show audits, minutes and the coverage to expect; change nothing.")
@click.option("--verify", "file", type=click.Path(path_type=Path, dir_okay=False), help="Verify a certificate's file.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the certificate there.")
@force_option
@in_workspace
@on_device
@click.pass_context
def certify_command(
    ctx: click.Context,
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    target: float | None,
    delta: float | None,
    audits: int | None,
    attempts: int | None,
    reviewer: str | None,
    stored: bool,
    labeller: str | None,
    looks: bool,
    accept_partial: bool,
    seed: str | None,
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
        return None
    if file is not None:
        return _verify(workspace, sets, file, as_json=as_json)
    from labeler.certify.request import Request

    request = Request(target, delta, audits, attempts, stored, seed, labeller, looks or None)
    if dry_run:
        _forecast(workspace, sets, request, as_json=as_json)
        return None
    if output is not None:
        check_folder(output)
    chosen = "people" if reviewer in PEOPLE else reviewer
    found = _run(workspace, sets, request, chosen, accept_partial=accept_partial)
    if output is not None and found.certificate is not None:
        _write(workspace, found.certificate, output, force=force)
    result = {
        "certificate": found.certificate,
        "waiting_for": found.waiting_for,
        "looks": plain(found.looks),
        "valid": found.certificate is not None and found.standing.state != "void",
        "why": found.standing.why,
        "current": found.standing.current,
        "standing": plain(found.standing),
        "alarms": plain(raised := _alarms(workspace, sets)),
    }
    show(result, as_json=as_json, text=lambda: "\n".join([certified_text(found), *alarm_lines(raised)]))
    return None


def _run(
    workspace: Path | None, sets: tuple[str, ...], request: Request, reviewer: str | None, *, accept_partial: bool
) -> Certified:
    from labeler.certify import machine

    with runtime(workspace, sets, write=True) as at:
        return machine.run(at, request, reviewer=reviewer, accept_partial=accept_partial)


def _alarms(workspace: Path | None, sets: tuple[str, ...]) -> tuple[RoundAlarm, ...]:
    """The alarms in force: a certificate does not rest on the confidence, but what it covers is chosen by it."""
    from labeler.evaluation.standing_alarms import standing_alarms

    with runtime(workspace, sets) as at, at.database.read() as session:
        return standing_alarms(session)


def _write(workspace: Path | None, document: Any, output: Path, *, force: bool) -> None:
    from labeler.core.files.outputs import output_file

    with runtime(workspace) as at, output_file(output, force=force, databases=_databases(at)) as stream:
        json.dump(document, stream, indent=2, ensure_ascii=False)
        stream.write("\n")


def _databases(at: Any) -> list[Path]:
    return [at.database.path] if at.database.path else []


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


for each in (certify_list, certify_withdraw, certify_restore):
    certify_command.add_command(each)
