"""What a certificate is worth now: in force, void, withdrawn, contradicted by later reviews, current or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db import certificates, queries
from db.engine import Session
from db.rows import CertificateItem, CertificateRow, LabelRow, ReviewRow
from labeler.certificates.verify import agrees, verify
from mrc.calibration.certification import contradiction, required

ALPHA = 0.01  # later blind reviews contradict a certificate if they are less probable under it


@dataclass(frozen=True, slots=True)
class LaterReviews:
    """Blind reviews of random questions, after the audit, of answers that nobody had looked at."""

    reviewed: int
    correct: int
    probability: float  # of so few correct ones or fewer, if the certificate is right

    @property
    def contradicting(self) -> int:
        """How many of them do not agree."""
        return self.reviewed - self.correct


@dataclass(frozen=True, slots=True)
class Standing:
    """A certificate or an attempt at one, as it is now."""

    certificate: str  # id
    round: int  # its audit
    state: str  # open, given_up, empty, in_force, superseded, void, withdrawn, contradicted
    why: str
    current: bool  # its released labels are the live labels of their questions
    target: float
    delta: float
    size: int  # certified answers, audited ones included
    released: int  # of these, labels that may leave
    coverage: float
    unseen_precision_at_least: float | None  # of the certified answers that nobody audited
    predictions_of_round: int | None  # whose answers it covers
    later: LaterReviews | None
    made_at: datetime | None

    @property
    def releases(self) -> bool:
        """Whether its labels may leave."""
        return self.state == "in_force"


def standings(session: Session) -> list[Standing]:
    """All certificates and attempts, oldest first. Only the newest valid one is in force: its set covers the rest."""
    rows = certificates.certificates(session)
    reverted = {row.number for row in queries.rounds(session) if row.reverted_at is not None}
    found: list[Standing] = []
    taken = False
    for row in reversed(rows):
        one = _standing(session, row, given_up=row.round_number in reverted, superseded=taken)
        taken = taken or one.releases
        found.append(one)
    return found[::-1]


def standing_of(session: Session, row: CertificateRow) -> Standing:
    """The standing of one certificate or attempt."""
    return next(one for one in standings(session) if one.certificate == row.uid)


def in_force(session: Session) -> tuple[CertificateRow, Standing] | None:
    """The certificate whose labels may leave, or None."""
    rows = {row.uid: row for row in certificates.certificates(session) if row.document is not None}
    if not rows:
        return None
    newest = next((one for one in reversed(standings(session)) if one.releases), None)
    return None if newest is None else (rows[newest.certificate], newest)


def released_labels(session: Session, row: CertificateRow) -> list[LabelRow]:
    """The labels of a certificate that may leave, by question id.

    Left out are questions that have a gold or human label by now, were excluded, or left the pool.
    """
    eligible = {question.id for question in queries.pool_to_predict(session)}
    return [label for label in queries.certified_labels(session, row.id) if label.question_id in eligible]


def later_reviews(session: Session, row: CertificateRow) -> LaterReviews | None:
    """The blind reviews since the audit that bear on a certificate; None where nothing is certified."""
    document = row.document or {}
    result = document.get("certified")
    if not result:
        return None
    covered = [item for item in certificates.items(session, row.id)[: result["size"]] if item.drawn is None]
    if not covered:
        return None
    judged = list(_judged(session, row, {item.question_id: item for item in covered}))
    right = required(result["size"], target=document["target"]) - result["correct"]
    outcomes = document["outcomes"]
    # Later reviews have no second step: only as many may be expected to be equal as were equal in the audit.
    found = outcomes.get("equal", 0) + outcomes.get("equivalent", 0)
    expected = max(0, int(right * outcomes.get("equal", 0) / found)) if found else 0
    p = contradiction(sum(judged), reviewed=len(judged), size=len(covered), right=min(expected, len(covered)))
    return LaterReviews(len(judged), sum(judged), p)


def _judged(session: Session, row: CertificateRow, covered: dict[str, CertificateItem]) -> Iterator[bool]:
    """Whether each answer that was reviewed since is equal to a review of it: of its newest round alone."""
    metric = (row.document or {})["metric"]
    reverted = {each.number for each in queries.rounds(session) if each.reverted_at is not None}
    random = {
        task.id
        for number in (each.number for each in queries.rounds(session) if each.number > row.round_number)
        for task in queries.tasks(session, round_number=number)
        if task.kind == "random" and task.blind and number not in reverted
    }
    by_question: dict[str, list[ReviewRow]] = {}
    for review in queries.reviews_of(session, covered):
        if review.task_id in random and review.verdict != "skipped":
            by_question.setdefault(review.question_id, []).append(review)
    for question_id, reviews in sorted(by_question.items()):
        newest = max(review.round_number for review in reviews)
        yield any(agrees(each, covered[question_id], metric) for each in reviews if each.round_number == newest)


def _standing(session: Session, row: CertificateRow, *, given_up: bool, superseded: bool) -> Standing:
    if row.document is None:
        state, why = ("given_up", "its audit was given up") if given_up else ("open", "its audit is not finished")
        return _described(row, state, why, released=0, current=False, later=None)
    verified = verify(session, row)
    if not verified.valid:
        return _described(row, "void", verified.why, released=0, current=False, later=None)
    later = later_reviews(session, row)
    state, why = _state(row, later, superseded=superseded)
    if given_up:
        state, why = "withdrawn", f"its audit, round {row.round_number}, was reverted"
    labels = queries.certified_labels(session, row.id)
    replaced = _replaced(session, row, labels)
    if state == "in_force" and replaced:
        why = f"{why}; not current: {replaced} of {len(labels)} labels were replaced or withdrawn since"
    return _described(row, state, why, released=len(labels), current=state == "in_force" and not replaced, later=later)


def _state(row: CertificateRow, later: LaterReviews | None, *, superseded: bool) -> tuple[str, str]:
    """The state of a valid certificate, and why."""
    document = row.document or {}
    if row.withdrawn_at is not None:
        return "withdrawn", f"withdrawn by hand: {row.withdrawal_reason}"
    if document["certified"] is None:
        return "empty", document["why"]
    accepted = row.accepted_reviews or 0
    if later is not None and later.probability < ALPHA and later.contradicting > accepted:
        return "contradicted", (
            f"withdrawn: {later.correct} of {later.reviewed} later blind reviews agree, which has a probability of "
            f"{later.probability:.4f} if the certificate is right"
        )
    if superseded:
        return "superseded", "a newer certificate covers the pool"
    return "in_force", "valid"


def _replaced(session: Session, row: CertificateRow, labels: Sequence[LabelRow]) -> int:
    """How many released labels are not the live label of their question any more."""
    live = queries.live_labels(session, question_ids=[label.question_id for label in labels])
    return len(labels) - sum(label.certificate_id == row.id for label in live)


def _described(
    row: CertificateRow, state: str, why: str, *, released: int, current: bool, later: LaterReviews | None
) -> Standing:
    document: dict[str, Any] = dict(row.document or {})
    result = document.get("certified") or {}
    return Standing(
        certificate=row.uid,
        round=row.round_number,
        state=state,
        why=why,
        current=current,
        target=row.request["target"],
        delta=row.request["delta"],
        size=result.get("size", 0),
        released=released,
        coverage=result.get("coverage", 0.0),
        unseen_precision_at_least=result.get("unseen_precision_at_least"),
        predictions_of_round=document.get("predictions_of_round"),
        later=later,
        made_at=row.made_at,
    )
