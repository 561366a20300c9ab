"""Text of the report on reviewers: people, agreement, anchoring, cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from labeler.core.console import percent, table

if TYPE_CHECKING:
    from labeler.review.reviewers.anchoring import AgreementWithReader, Anchoring
    from labeler.review.reviewers.cost import Cost
    from labeler.review.reviewers.pairs import OverallAgreement, PairAgreement
    from labeler.review.reviewers.quality import Person
    from labeler.review.reviewers.summary import ReviewerReport

_MEASURES = ("items", "verdict %", "exact %", "span F1 %", "kappa", "alpha", "alpha of answers")
_PEOPLE = ("reviewer", "reviews", "skipped", "minutes", "seconds", "accepted %", "audited", "right %", "95% interval")


def reviewers_text(found: ReviewerReport) -> str:
    """The report for people; a dash is what is not known or not defined."""
    if not found.people:
        return "there are no reviews yet"
    parts = [table(_PEOPLE, [_person(each) for each in found.people])]
    if found.pairs:
        rows = [(" and ".join(each.reviewers), *_measures(each)) for each in found.pairs]
        rows += [("all", *_measures(found.agreement))] if len(rows) > 1 else []
        parts.append(table(("agreement of", *_MEASURES), rows))
    else:
        parts.append("no task has reviews by two people; see review.double_annotation")
    return "\n\n".join([*parts, "\n".join([anchoring_text(found.anchoring), *_costs(found.cost)])])


def anchoring_text(found: Anchoring) -> str:
    """What the two groups say of the pull of suggestions, in one sentence."""
    if found.difference is None or found.p_value is None:
        return "anchoring: unknown; it needs reviews of questions whose suggestion was held back (review.blind_share)"
    return (
        f"anchoring: {_agree(found.shown)} agree with the reader's answer where it was shown, {_agree(found.blind)} "
        f"where it was held back: {100 * found.difference:+.0f} points, p = {found.p_value:.2g}"
    )


def _agree(group: AgreementWithReader) -> str:
    return f"{percent(group.agree)} % of {group.reviews} reviews"


def _person(each: Person) -> tuple[str | int, ...]:
    low, high = each.right_low, each.right_high
    return (
        each.name,
        each.reviews,
        each.skipped,
        _number(each.minutes, 1),
        _number(each.median_seconds, 0),
        percent(each.accepted),
        each.audited,
        percent(each.right),
        "-" if low is None or high is None else f"{percent(low)} to {percent(high)}",
    )


def _measures(each: PairAgreement | OverallAgreement) -> tuple[str | int, ...]:
    rates = (percent(each.verdict), percent(each.exact), percent(each.span_f1))
    corrected = (each.verdict_kappa, each.verdict_alpha, each.answer_alpha)
    return (each.items, *rates, *(_number(value, 2) for value in corrected))


def _costs(found: Cost) -> Iterator[str]:
    money = "" if found.money is None else f", {found.money:.2f} in money"
    untimed = f" ({found.untimed} reviews without a time)" if found.untimed else ""
    yield f"cost: {_number(found.minutes, 1)} minutes of people{untimed}{money}"
    if found.minutes_per_label is not None:
        price = "" if found.money_per_label is None else f", {found.money_per_label:.2f} in money"
        yield f"per label: {found.minutes_per_label:.2f} minutes{price} ({found.labels} labels)"
    if found.minutes_per_point is not None and found.em_points is not None:
        price = "" if found.money_per_point is None else f", {found.money_per_point:.2f} in money"
        yield f"per point of EM: {found.minutes_per_point:.1f} minutes{price} ({found.em_points:+.1f} points on dev)"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def model_review_text(found: Mapping[str, Any]) -> str:
    """What a language model answered as reviewer of a round, and what it left to people."""
    text = (
        f"{found['labeller']} answered {found['answered']} of {found['tasks']} questions in the middle band, people "
        f"get {found['left']}; {found['right']} of its {found['checked']} answers to calibration questions are right"
    )
    if found["from_before"]:
        text += f"; {found['from_before']} answers from before teach too"
    if found["stopped"]:
        text += "; the budget stopped it"
    return text if found["cost"] is None else f"{text}; cost {found['cost']:.4f}"
