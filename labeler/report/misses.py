"""Wrong answers: why each is wrong, and the text around it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from db.rows import AnswerRow, LabelledQuestion, PassageRow, PredictionRow, SpanRow
from labeler.report.data import Excerpt, Miss, Misses, Reason
from mrc.metrics import Metric, exact_match, recall_at

AROUND = 90  # code points shown on each side of a span
EXAMPLES = 4  # shown for each reason

Judged = tuple[LabelledQuestion, PredictionRow]


def is_correct(judged: Judged, *, metric: Metric) -> bool:
    """Whether the best answer's normalised text equals that of any gold, whatever passage it came from."""
    labelled, prediction = judged
    if not prediction.answers:
        return False
    said = prediction.answers[0].text
    return any(exact_match(said, gold.text, metric) == 1 for gold in labelled.label.answers)


def reason(golds: Sequence[SpanRow], prediction: PredictionRow) -> Reason:
    """Why a wrong answer is wrong."""
    if not prediction.answers:
        return Reason.NO_ANSWER
    if gold_rank(golds, prediction) < 0:
        return Reason.NOT_READ
    best = prediction.answers[0]
    if best.passage_id not in {gold.passage_id for gold in golds}:
        return Reason.OTHER_PASSAGE
    return Reason.OVERLAP if any(_overlap(best, gold) for gold in golds) else Reason.OTHER_SPAN


def _overlap(answer: AnswerRow, gold: SpanRow) -> bool:
    return answer.passage_id == gold.passage_id and answer.start < gold.end and gold.start < answer.end


def excerpt(passage: PassageRow, start: int, end: int) -> Excerpt:
    """The span `[start, end)` with up to AROUND code points on each side, cut between words where there are any."""
    first = 0 if start <= AROUND else _after_space(passage.text, start - AROUND, start)
    last = len(passage.text) if end + AROUND >= len(passage.text) else _before_space(passage.text, end, end + AROUND)
    text = passage.text
    return Excerpt(passage.title, text[first:start], text[start:end], text[end:last], first > 0, last < len(text))


def _after_space(text: str, low: int, high: int) -> int:
    space = text.find(" ", low, high)
    return low if space < 0 else space + 1


def _before_space(text: str, low: int, high: int) -> int:
    space = text.rfind(" ", low, high)
    return high if space < 0 else space


def find_misses(
    judged: Iterable[Judged], *, metric: Metric, round_number: int
) -> tuple[Misses, list[tuple[Reason, Judged]]]:
    """All wrong answers counted by reason (without examples yet), and those to show, the most confident first."""
    everything = list(judged)
    answerable = [pair for pair in everything if not pair[0].label.no_answer]
    missed = [pair for pair in answerable if not is_correct(pair, metric=metric)]
    wrong: dict[Reason, list[Judged]] = {why: [] for why in Reason}
    for labelled, prediction in missed:
        wrong[reason(labelled.label.answers, prediction)].append((labelled, prediction))
    shown = [(why, pair) for why, pairs in wrong.items() for pair in sorted(pairs, key=_confident_first)[:EXAMPLES]]
    counts = {why: len(pairs) for why, pairs in wrong.items()}
    found = Misses(
        round_number=round_number,
        found=_found(answerable),
        correct=len(answerable) - len(missed),
        unanswerable=len(everything) - len(answerable),
        counts=counts,
        examples=(),
    )
    return found, shown


def _found(judged: Sequence[Judged]) -> dict[int, float]:
    """Depth -> share of questions with a gold passage among so many read, up to as many as were ever read."""
    read = max((len(prediction.hits) for _, prediction in judged), default=0)
    ranks = [gold_rank(labelled.label.answers, prediction) for labelled, prediction in judged]
    return {depth: recall_at(ranks, k=depth) for depth in sorted({1, 3, 5, 10, read}) if 0 < depth <= read}


def gold_rank(golds: Sequence[SpanRow], prediction: PredictionRow) -> int:
    """The best rank, from 0, of a gold answer's passage among those read; -1 if none of them was."""
    gold_passages = {gold.passage_id for gold in golds}
    ranks = (rank for rank, (passage_id, _) in enumerate(prediction.hits) if passage_id in gold_passages)
    return next(ranks, -1)


def _confident_first(judged: Judged) -> tuple[float, str]:
    prediction = judged[1]
    rank = prediction.confidence if prediction.confidence is not None else prediction.score
    return -(rank or 0.0), prediction.question_id


def example(why: Reason, judged: Judged, passages: Mapping[str, PassageRow]) -> Miss:
    """A wrong answer with the passages it came from and should have come from."""
    labelled, prediction = judged
    golds = labelled.label.answers
    best = prediction.answers[0] if prediction.answers else None
    return Miss(
        question_id=labelled.question.id,
        question=labelled.question.text,
        golds=tuple(dict.fromkeys(gold.text for gold in golds)),
        predicted=best.text if best else None,
        confidence=prediction.confidence,
        reason=why,
        chosen=excerpt(passages[best.passage_id], best.start, best.end) if best else None,
        gold=excerpt(passages[golds[0].passage_id], golds[0].start, golds[0].end),
    )


def passages_of(judged: Judged) -> Iterable[str]:
    """Ids of the passages that `example` needs."""
    labelled, prediction = judged
    yield labelled.label.answers[0].passage_id
    if prediction.answers:
        yield prediction.answers[0].passage_id
