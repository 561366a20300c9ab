"""Agreement beyond chance, by well-kept libraries. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from db.rows import ReviewRow
from labeler.review.agreement import AnswerMatcher, krippendorff_alpha


def cohens_kappa(a: Sequence[str], b: Sequence[str]) -> float | None:
    """Cohen's kappa of two people: 1 is perfect agreement, 0 is what chance would give.

    Args:
        a: the category that the first person gave to each item.
        b: that of the second person, in the same order.

    Returns:
        None without items, or where both people name one and the same category throughout.

    Source: Cohen 1960, A coefficient of agreement for nominal scales; `sklearn.metrics.cohen_kappa_score`.
    """
    if len(set(a) | set(b)) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(a, b))


def answer_alpha(items: Sequence[Sequence[ReviewRow]], matcher: AnswerMatcher) -> float | None:
    """Krippendorff's alpha of what was said: the verdict and, with an answer, its text, equal as `matcher` says.

    Two answers of one item that `matcher` calls equal are one category, named by the shorter one; so are equal
    answers to different items. None as for `krippendorff_alpha`.
    """
    return krippendorff_alpha([_categories(votes, matcher) for votes in items])


def _categories(votes: Sequence[ReviewRow], matcher: AnswerMatcher) -> list[str]:
    groups: list[list[ReviewRow]] = []
    for vote in votes:
        group = next((each for each in groups if matcher.same(each[0], vote)), None)
        if group is None:
            groups.append([vote])
        else:
            group.append(vote)
    names = {vote.id: _name(matcher.representative(group), matcher) for group in groups for vote in group}
    return [names[vote.id] for vote in votes]


def _name(vote: ReviewRow, matcher: AnswerMatcher) -> str:
    return vote.verdict if vote.answer is None else f"answer {matcher.normalised(vote.answer.text)}"
