"""Certificates as files and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeler.cli.common import plain

if TYPE_CHECKING:
    from labeler.certify.machine import Certified
    from labeler.core.runtime import Runtime


def described(found: Certified) -> dict[str, Any]:
    """The JSON of a certificate, or of an audit that waits."""
    return {
        "certificate": found.certificate,
        "waiting_for": found.waiting_for,
        "looks": plain(found.looks),
        "valid": found.certificate is not None and found.standing.state != "void",
        "why": found.standing.why,
        "current": found.standing.current,
        "standing": plain(found.standing),
    }


def check_certificate_file(at: Runtime, output: Path | None, *, force: bool) -> None:
    """Return if the certificate may be written there. Raises FileError, saying why not."""
    from labeler.core.files.outputs import STDOUT, check_output

    if output is not None and output != STDOUT:
        check_output(output, force=force, databases=_databases(at))


def write_certificate(at: Runtime, document: Mapping[str, Any], output: Path | None, *, force: bool) -> None:
    """Write a certificate that is made, if there is an output.

    Raises FileError where that fails, naming the command that helps: the same one again would begin another audit.
    """
    from labeler.core.error_messages import explain
    from labeler.core.errors import FileError
    from labeler.core.files.outputs import output_file

    if output is None:
        return
    try:
        with output_file(output, force=force, databases=_databases(at)) as stream:
            json.dump(document, stream, indent=2, ensure_ascii=False)
            stream.write("\n")
    except BrokenPipeError:
        raise
    except (OSError, FileError) as error:
        short = document["id"][:12]
        raise FileError(
            f"certificate {short} is made and stored, but its file is not written ({explain(error) or error}); "
            f"write it with: labeler certify show {short} -o FILE"
        ) from error


def _databases(at: Runtime) -> list[Path]:
    return [at.database.path] if at.database.path else []
