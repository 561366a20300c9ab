"""A certificate as a JSON document: canonical form, hashes, reading a file, and its statement in words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from db.rows import CertificateItem, Json
from labeler.core.console import at_least, at_most, exact_percent
from labeler.core.errors import CertificateRefused
from mrc.calibration.certification import SetTest, unseen_bound

FORMAT = "labeler-certificate/1"
CORRECT = (
    "An answer is correct if its normalised text equals that of a blind reviewer's answer, or if the reviewer then "
    "judged it equivalent. A skipped, rejected or unanswered question counts as an error."
)
LARGEST_FILE = 50_000_000  # bytes of a certificate file
_ID = re.compile("[0-9a-f]{32}")


def sha256_of(document: Json) -> str:
    """The hash of a document without its `sha256`: JSON with sorted keys and no spaces."""
    content = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def ranking_sha256(items: Iterable[CertificateItem]) -> str:
    """The hash of a ranking: one JSON line per item with question, answer, passage, offsets and confidence."""
    digest = hashlib.sha256()
    for item in items:
        span = item.answer
        line = [item.question_id, span.text, span.passage_id, span.start, span.end, item.score, item.confidence]
        digest.update(json.dumps(line).encode() + b"\n")
    return digest.hexdigest()


def ids_sha256(ids: Iterable[str]) -> str:
    """The hash of a set of ids: sorted, one JSON string a line."""
    return hashlib.sha256("".join(f"{json.dumps(key)}\n" for key in sorted(ids)).encode()).hexdigest()


def read_file(path: Path) -> dict[str, Any]:
    """The document of a file, unchanged since it was written.

    Raises CertificateRefused: the file cannot be read, is no certificate, or was edited.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise CertificateRefused(f"{path}: too large for a certificate")
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise CertificateRefused(f"{path}: this file cannot be read as a certificate ({error})") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or not _ID.fullmatch(str(found.get("id"))):
        raise CertificateRefused(f"{path}: this is no certificate; `labeler certify --output FILE` writes one")
    return found


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs: a name that stands twice could show one value and be hashed with the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands in it twice")
    return found


def result_of(
    found: SetTest, *, audited: int, correct: int, population: int, target: float, lowest: float | None
) -> dict[str, Any]:
    """What a passed test certifies.

    `audited`, `correct`: of the set, when the audit ended; `lowest`: the lowest confidence in it.
    """
    return {
        "set": found.set,
        "size": found.size,
        "coverage": found.size / population,
        "lowest_confidence": lowest,
        "audited": audited,
        "correct": correct,
        "unseen": found.size - audited,
        "unseen_precision_at_least": unseen_bound(found.size, audited=audited, correct=correct, target=target),
    }


def statement(document: Json) -> str:
    """What the certificate says, in words for readers without statistics."""
    target, delta, result = document["target"], document["delta"], document["certified"]
    if result is None:
        return (
            f"Nothing is certified. {document['why']} No machine-made answer of this labeller is released with a "
            f"precision of {exact_percent(target)}."
        )
    unseen = result["unseen_precision_at_least"]
    rest = (
        f" Of the {result['unseen']:,} answers that nobody looked at, then at least {at_least(unseen)} are correct."
        if unseen is not None
        else " People looked at every one of them."
    )
    return (
        f"At least {exact_percent(target)} of the {result['size']:,} machine-made answers that this certificate covers "
        f"are correct. They are the most confident {result['coverage']:.1%} of {document['population']:,} questions. "
        f"To check this, {document['audits']:,} answers were drawn by lot and people answered their questions without "
        f"seeing them; of the {result['audited']:,} that belong to the set, {result['correct']:,} were correct. By bad "
        f"luck in the draw, a set that misses {exact_percent(target)} passes such a check in at most {at_most(delta)} "
        f"of cases{_looks(document)}.{rest}"
    )


def reservations(document: Json) -> tuple[str, ...]:
    """What readers must know beside the statement: that no person reviewed, or that the lot was not drawn by chance."""
    found = []
    if document["simulated"]:
        found.append("The reviewer was simulated by hidden answers: no person vouches for this certificate.")
    if not document["seed_was_drawn"]:
        found.append(
            "The seed of the draw was given and not drawn: the promise holds only if whoever gave it did not choose it "
            "among several."
        )
    return tuple(found)


def _looks(document: Json) -> str:
    """What a statement adds where the audit was looked at before its end."""
    ends = [f"{look['audits']:,}" for look in document["looks"]]
    if len(ends) < 2:
        return ""
    return f", though results were looked at after {', '.join(ends[:-1])} and {ends[-1]} answers until enough passed"
