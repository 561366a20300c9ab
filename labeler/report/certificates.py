"""Certificates as the report shows them: what each says in words, its tests, and what it is worth now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db import certificates
from db.engine import Session
from labeler.certificates.document import reservations
from labeler.certificates.standing import Standing, standings


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """One certificate or attempt; without a document nothing but its state is known."""

    standing: Standing
    statement: str | None
    tests: tuple[Mapping[str, Any], ...]
    looks: tuple[Mapping[str, Any], ...]  # that were planned, the last one at the end
    outcomes: Mapping[str, int]
    reviewers: tuple[str, ...]
    reservations: tuple[str, ...]
    delta_sum: float | None


def certificate_summaries(session: Session) -> tuple[CertificateSummary, ...]:
    """All certificates and attempts, the newest first."""
    documents = {row.uid: row.document or {} for row in certificates.certificates(session)}
    return tuple(_summary(standing, documents[standing.certificate]) for standing in reversed(standings(session)))


def _summary(standing: Standing, document: Mapping[str, Any]) -> CertificateSummary:
    return CertificateSummary(
        standing,
        document.get("statement"),
        tuple(document.get("tests", ())),
        tuple(document.get("looks", ())),
        document.get("outcomes", {}),
        tuple(document.get("reviewers", ())),
        reservations(document) if document else (),
        document.get("delta_sum"),
    )
