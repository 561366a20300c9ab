"""Options of `certify`: what is asked for as one Request, and where the certificate is written."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from labeler.cli.common import F, force_option

PEOPLE = ("file", "terminal")  # ways of reviewing without a server: one kind of reviewer
MOST = 1_000_000  # audits


def request_options(command: F) -> F:
    """The options that say what to certify; the command gets them as `request`."""

    @functools.wraps(command)
    def run(
        *args: Any,
        target: float | None,
        delta: float | None,
        audits: int | None,
        attempts: int | None,
        stored: bool,
        labeller: str | None,
        looks: bool,
        seed: str | None,
        **rest: Any,
    ) -> Any:
        from labeler.certify.request import Request

        request = Request(target, delta, audits, attempts, stored, seed, labeller, looks or None)
        return command(*args, request=request, **rest)

    options = (
        click.option("--target", type=float, help="Precision to certify; default: calibrate.target_precision."),
        click.option("--delta", type=float, help="Largest probability of a false certificate.  [default: 0.1]"),
        click.option(
            "--audits", type=click.IntRange(150, MOST), help="Questions that people answer blind.  [default: 300]"
        ),
        click.option("--attempts", type=int, help="Certificates that share --delta; fixed with the first."),
        click.option("--stored", is_flag=True, help="Certify the newest stored predictions, whoever made them."),
        click.option(
            "--labeller", metavar="NAME", help="Certify the imported answers of a labeller, not the reader's."
        ),
        click.option("--looks", is_flag=True, help="Test after each quarter of the audit; end it once enough passed."),
        click.option("--seed", help="Seed of the draw, for simulations; default: drawn."),
    )
    return functools.reduce(lambda found, option: option(found), reversed(options), run)  # type: ignore[return-value]


reviewer_option = click.option(
    "--reviewer",
    type=click.Choice(["studio", *PEOPLE, "people", "simulated"]),
    help="studio: Label Studio; file, terminal (both: people): without a server; simulated: by hidden answers.",
)


def output_options(command: F) -> F:
    """The options --output and --force."""
    path = click.Path(path_type=Path, dir_okay=False)
    output = click.option("-o", "--output", type=path, help="Write the certificate there; - for standard output.")
    return output(force_option(command))


def refuse_before(ctx: click.Context) -> None:
    """Raise UsageError for an option of `certify` that stands before a command of it: it would have no effect."""
    for option in ctx.command.params:
        if ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE:
            name = ctx.invoked_subcommand
            raise click.UsageError(f"{option.opts[0]} has no effect there: options of `certify {name}` come after it.")
