"""Text of certificates: what was certified, what an audit waits for, what to expect. Rates are in percent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labeler.certificates.document import reservations
from labeler.core.console import at_most, exact_percent, percent, table

if TYPE_CHECKING:
    from labeler.certificates.standing import Standing
    from labeler.certificates.verify import Verified
    from labeler.certify.forecast import CertificateForecast
    from labeler.certify.machine import Certified

SHORT = 12  # characters of an id


def certified_text(found: Certified) -> str:
    """The certificate in words with its tests, or what its audit waits for."""
    head = f"certificate {found.standing.certificate[:SHORT]} (audit: round {found.standing.round})"
    if found.certificate is None:
        waiting = f"  waiting for {found.waiting_for}"
        return "\n".join([head, *_looks_text(found), waiting, "next: labeler certify, once the reviews are done"])
    document = found.certificate
    rows = [
        (
            test["set"],
            test["size"],
            test["look"],
            test["audited"],
            test["correct"],
            f"{test['p_value']:.4f}",
            "passed" if test["passed"] else "failed",
        )
        for test in document["tests"]
    ]
    parts = [f"{head}: {found.standing.state.replace('_', ' ')}", "", document["statement"]]
    if rows:
        parts += ["", table(("set", "answers", "look", "audited", "correct", "p-value", "test"), rows)]
    for each in reservations(document):
        parts += ["", each]
    leaves = found.standing.releases and document["released"]
    return "\n".join([*parts, "", f"next: labeler {'export' if leaves else 'round'}"])


def _looks_text(found: Certified) -> list[str]:
    """What the looks so far showed, and how to stop there."""
    lines = [
        f"  look after {look.audits} answers: {look.certified} certified, {percent(look.coverage)} % of the pool"
        for look in found.looks
    ]
    if found.looks and found.looks[-1].certified:
        lines.append("  to stop there: labeler certify --accept-partial")
    return lines


def forecast_text(found: CertificateForecast) -> str:
    """What a certificate would cost and bring."""
    coverage, labels = percent(found.expected_coverage), found.expected_labels
    facts = (
        ("target", f"precision {exact_percent(found.target)}, error at most {at_most(found.delta)}"),
        ("attempts", f"all attempts together: error at most {at_most(found.delta_sum)}"),
        ("pool", f"{found.population} questions without a gold or human label"),
        ("audits", f"{found.audits} questions, about {found.minutes:.0f} minutes of people{_fewer(found)}"),
        ("expect", "unknown" if labels is None else f"{labels} certified answers, {coverage} % of the pool"),
        ("why", found.why),
    )
    return "\n".join([*(f"{name:<10} {value}" for name, value in facts), "nothing was changed"])


def _fewer(found: CertificateForecast) -> str:
    """What a forecast adds for an audit with looks."""
    before = ", ".join(map(str, found.looks[:-1]))
    return f"; fewer if enough is certified after {before}" if before else ""


def certificates_table(found: Sequence[Standing], spent: float) -> str:
    """A table of certificates, and the error probability that they may use together."""
    if not found:
        return "no certificate yet; run: labeler certify --dry-run"
    rows = [
        (
            one.certificate[:SHORT],
            one.round,
            one.state.replace("_", " "),
            "yes" if one.current else "no",
            exact_percent(one.target).removesuffix("%"),
            at_most(one.delta).removesuffix("%"),
            one.size,
            percent(one.coverage),
            one.released,
        )
        for one in found
    ]
    header = ("certificate", "round", "state", "current", "target %", "delta %", "certified", "coverage %", "released")
    notes = [f"{one.certificate[:SHORT]}: {one.why}" for one in found if one.state != "in_force" or not one.current]
    return "\n".join([table(header, rows), "", *notes, f"delta of all attempts together: {at_most(spent)}"])


def standing_text(found: Standing) -> str:
    """One certificate on one line."""
    return f"certificate {found.certificate[:SHORT]}: {found.state.replace('_', ' ')} ({found.why})"


def verified_text(verified: Verified, standing: Standing | None) -> str:
    """Whether a certificate holds, and what it is worth now."""
    name = "" if verified.certificate is None else f" {verified.certificate[:SHORT]}"
    if not verified.valid:
        return f"certificate{name} is NOT valid: {verified.why}"
    text = f"certificate{name} is valid: {verified.why}"
    return text if standing is None else f"{text}\nstate: {standing.state.replace('_', ' ')} ({standing.why})"
