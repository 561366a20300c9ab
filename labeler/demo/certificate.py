"""The certificate that ends the demo: an audit which the simulated reviewer answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db import certificates
from db.rows import Json
from labeler.certify import machine
from labeler.certify.request import Request
from labeler.core.runtime import Runtime
from labeler.rounds.simulated_reviewer import NAME

TARGET, AUDITS = 0.95, 150


@dataclass(frozen=True, slots=True)
class DemoCertificate:
    """What the certificate of the demo says."""

    certificate: str  # its id
    target: float
    audits: int
    certified: int  # answers it covers; 0: no set passed
    coverage: float  # of the questions without a gold or human label
    released: int  # pseudo-labels that an export now holds
    statement: str


def certify_demo(runtime: Runtime, *, seed: int, say: Callable[[str], None]) -> DemoCertificate:
    """Certify the newest stored predictions, unless it was done before. An interrupted audit resumes."""
    with runtime.database.read() as session:
        made = [row.document for row in certificates.certificates(session) if row.document is not None]
    if made:
        return _described(made[-1])
    say(f"certifying the pseudo-labels: the reviewer answers {AUDITS} random questions blind")
    request = Request(target=TARGET, audits=AUDITS, stored=True, seed=f"demo {seed}")
    found = machine.run(runtime, request, reviewer=NAME)
    assert found.certificate is not None, "a simulated reviewer answers at once"
    return _described(found.certificate)


def _described(document: Json | Any) -> DemoCertificate:
    result = document["certified"] or {}
    return DemoCertificate(
        certificate=document["id"],
        target=document["target"],
        audits=document["audits"],
        certified=result.get("size", 0),
        coverage=result.get("coverage", 0.0),
        released=document["released"],
        statement=document["statement"],
    )
