"""Verification of a certificate: everything it says is computed again from the rows of the database alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from db import certificates, queries
from db.engine import Session
from db.rows import CertificateItem, CertificateRow, Json, LabelRow, ReviewRow
from labeler.certificates.document import CORRECT, ranking_sha256, read_file, result_of, sha256_of
from mrc.calibration.certification import SetTest, certified, draw, run_tests
from mrc.calibration.looks import Look
from mrc.metrics import Metric, exact_match

RIGHT = ("equal", "equivalent")  # outcomes of an audit that count as correct
SIMULATED = "simulated"  # the reviewer who answers by hidden answers


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a certificate holds, and why not."""

    certificate: str | None  # its id; None where this database does not know it
    valid: bool
    why: str


def verify_file(session: Session, path: Path) -> Verified:
    """Verify a certificate's file against the database. Raises CertificateRefused where it is no certificate."""
    document = read_file(path)
    row = certificates.find(session, document["id"])
    if row is None or row.document is None:
        return Verified(None, False, f"this workspace made no certificate {document['id'][:12]}: it is of another one")
    if document.get("sha256") != sha256_of(document):
        return Verified(row.uid, False, f"{path.name} was edited: its content does not match its own hash")
    if document["sha256"] != row.sha256:
        return Verified(row.uid, False, f"{path.name} was edited: it differs from the certificate that was made here")
    return verify(session, row)


def verify(session: Session, row: CertificateRow) -> Verified:
    """Verify a stored certificate."""
    if row.document is None:
        return Verified(row.uid, False, "it is not made yet: its audit is not finished")
    fault = next(_faults(session, row, row.document), None)
    return Verified(row.uid, fault is None, fault or "everything it says follows from the stored rows")


def _faults(session: Session, row: CertificateRow, document: Json) -> Iterator[str]:
    """What does not fit, the most basic first."""
    if sha256_of(document) != row.sha256 or document.get("sha256") != row.sha256:
        yield "the stored certificate was changed: it does not match its hash"
    if not _as_planned(row.plan or {}, document):
        yield "what the certificate says of its plan is not what was fixed before the draw"
    items = certificates.items(session, row.id)
    if len(items) != document["ranked"] or ranking_sha256(items) != document["ranking_sha256"]:
        yield "the frozen ranking was changed: a row of the snapshot is not what the certificate covers"
    drawn = [item.question_id for item in sorted(_drawn(items), key=lambda item: item.drawn or 0)]
    if drawn != document["items"] or drawn != _drawn_again(items, document, row.seed or ""):
        yield "the audited questions are not those that the seed draws"
    known = facts(session, row, items)
    if wrong := [name for name, value in known.items() if name in document and document[name] != value]:
        yield f"what the certificate says of {wrong[0]!r} is not what is stored of its audit"
    yield from _outcome_faults(session, _drawn(items), document["metric"])
    if _tests_again(items, document) != document["tests"]:
        yield "the tests computed again give other numbers"
    if _result_again(items, document) != document["certified"]:
        yield "what is certified does not follow from the tests"
    yield from _label_faults(items, queries.certified_labels(session, row.id), document)


def _drawn(items: Sequence[CertificateItem]) -> list[CertificateItem]:
    return [item for item in items if item.drawn is not None]


def _drawn_again(items: Sequence[CertificateItem], document: Json, seed: str) -> list[str]:
    if not document["sizes"]:
        return []
    largest = document["sizes"][-1]
    return draw((item.question_id for item in items[:largest]), len(_drawn(items)), seed=seed)


def facts(session: Session, row: CertificateRow, items: Sequence[CertificateItem]) -> dict[str, Any]:
    """What a certificate says of its audit, from the rows: its draw and what was found. `items`: judged."""
    audit = queries.round_(session, row.round_number)
    attempts = [each for each in certificates.certificates(session) if each.seed is not None and each.id <= row.id]
    drawn = _drawn(items)
    return {
        "id": row.uid,
        "round": row.round_number,
        "correct_means": CORRECT,
        "metric": audit.config.get("workspace", {}).get("metric", "squad"),
        "reviewer": audit.reviewer,
        "simulated": audit.reviewer == SIMULATED,
        "seed": row.seed,
        "seed_was_drawn": row.request["seed"] is None,
        "audits": len(drawn),
        "outcomes": dict(sorted(Counter(item.outcome for item in drawn).items())),
        "delta_sum": sum(each.request["delta"] for each in attempts),
    }


def _as_planned(plan: Json, document: Json) -> bool:
    """Whether the document states the plan, and its looks share no more than delta."""
    kept = {name: value for name, value in document.items() if name in plan} | {"audits": plan.get("audits")}
    if kept != plan:
        return False
    levels = [look["level"] for look in document["looks"]]
    return levels == sorted(levels) and all(level <= document["delta"] for level in levels)


def _outcome_faults(session: Session, drawn: Sequence[CertificateItem], metric: Metric) -> Iterator[str]:
    """Outcomes that the stored reviews do not support."""
    reviews = queries.reviews_by_id(
        session, [key for item in drawn for key in (item.review_id, item.judgement_id) if key]
    )
    for item in drawn:
        if item.outcome is None or _supported(item, reviews, metric) != (item.outcome in RIGHT):
            yield f"the outcome of question {item.question_id!r} is not what its stored reviews say"


def _supported(item: CertificateItem, reviews: dict[int, ReviewRow], metric: Metric) -> bool:
    """Whether the stored reviews find the answer correct."""
    blind, judged = reviews.get(item.review_id or 0), reviews.get(item.judgement_id or 0)
    asked = {item.question_id}
    if blind is None or blind.question_id not in asked or blind.verdict in ("skipped", "bad_question"):
        return False
    if agrees(blind, item, metric):
        return True
    return judged is not None and judged.question_id in asked and agrees(judged, item, metric)


def agrees(review: ReviewRow, item: CertificateItem, metric: Metric) -> bool:
    """Whether a review's answer equals an item's after normalisation."""
    return review.answer is not None and exact_match(review.answer.text, item.answer.text, metric) == 1


def looks_done(plan: Json, asked: int) -> tuple[Look, ...]:
    """The looks after which no more questions than `asked` had been asked."""
    return tuple(Look(**look) for look in plan["looks"] if look["audits"] <= asked)


def set_tests(items: Sequence[CertificateItem], plan: Json) -> list[dict[str, Any]]:
    """The tests of audited items as the document lists them. `plan`: sizes, start, target and looks."""
    drawn = sorted(_drawn(items), key=lambda item: item.drawn or 0)
    found = run_tests(
        plan["sizes"],
        [item.rank for item in drawn],
        [item.outcome in RIGHT for item in drawn],
        start=plan["start"] - 1,
        target=plan["target"],
        looks=looks_done(plan, len(drawn)),
    )
    return [asdict(test) for test in found]


def result_from(items: Sequence[CertificateItem], tests: Sequence[Json], plan: Json) -> dict[str, Any] | None:
    """What these tests certify, as the document says it."""
    found = certified([SetTest(**test) for test in tests])
    if found is None:
        return None
    inside = items[: found.size]
    audited = _drawn(inside)
    return result_of(
        found,
        audited=len(audited),
        correct=sum(item.outcome in RIGHT for item in audited),
        population=plan["population"],
        target=plan["target"],
        lowest=inside[-1].confidence,
    )


def _tests_again(items: Sequence[CertificateItem], document: Json) -> list[dict[str, Any]]:
    return set_tests(items, document)


def _result_again(items: Sequence[CertificateItem], document: Json) -> dict[str, Any] | None:
    return result_from(items, document["tests"], document)


def _label_faults(items: Sequence[CertificateItem], labels: Sequence[LabelRow], document: Json) -> Iterator[str]:
    """Released labels that are not rows of the certified set, or that nobody released."""
    size = document["certified"]["size"] if document["certified"] else 0
    covered = {item.question_id: item for item in items[:size] if item.drawn is None}
    if len(labels) != document["released"]:
        yield f"{document['released']} labels were released, {len(labels)} are stored"
    for label in labels:
        item = covered.get(label.question_id)
        if item is None or label.answers != (item.answer,):
            yield f"the released label of question {label.question_id!r} was changed"
