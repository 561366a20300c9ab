"""Analysis of wrong answers: the cause of each, by question type, with examples. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from db.rows import AnswerRow, LabelledQuestion, PassageRow, PredictionRow, SpanRow
from labeler.report.data import ErrorAnalysis, ErrorCause, Excerpt, TypeErrors, WrongAnswer
from mrc.metrics import Metric, exact_match, recall_at
from mrc.text.question_types import QuestionType, question_type

CONTEXT = 90  # code points shown on each side of a span
EXAMPLES = 4  # shown for each cause

Judged = tuple[LabelledQuestion, PredictionRow]
Wrong = tuple[ErrorCause, Judged]


def analyse(judged: Iterable[Judged], *, metric: Metric, round_number: int) -> tuple[ErrorAnalysis, list[Wrong]]:
    """The analysis without its examples, and the wrong answers to show, the most confident of each cause first."""
    everything = list(judged)
    answerable = [pair for pair in everything if pair[0].label.answers]
    wrong = [
        (error_cause(labelled.label.answers, prediction), (labelled, prediction))
        for labelled, prediction in answerable
        if not is_correct((labelled, prediction), metric=metric)
    ]
    causes = Counter(cause for cause, _ in wrong)
    analysis = ErrorAnalysis(
        round_number=round_number,
        recall=_recall(answerable),
        correct=len(answerable) - len(wrong),
        unanswerable=len(everything) - len(answerable),
        causes={cause: causes[cause] for cause in ErrorCause},
        types=_by_type(answerable, wrong),
        examples=(),
    )
    return analysis, [each for cause in ErrorCause for each in _most_confident(wrong, cause)]


def is_correct(judged: Judged, *, metric: Metric) -> bool:
    """Whether the best answer's normalised text equals that of any gold, whatever passage it came from."""
    labelled, prediction = judged
    if not prediction.answers:
        return False
    text = prediction.answers[0].text
    return any(exact_match(text, gold, metric) == 1 for gold in labelled.label.gold_texts)


def error_cause(golds: Sequence[SpanRow], prediction: PredictionRow) -> ErrorCause:
    """The first step on the way to a wrong answer that failed."""
    if not prediction.answers:
        return ErrorCause.NO_PASSAGE
    if gold_rank(golds, prediction) < 0:
        return ErrorCause.NOT_RETRIEVED
    best = prediction.answers[0]
    if best.passage_id not in {gold.passage_id for gold in golds}:
        return ErrorCause.OTHER_PASSAGE
    return ErrorCause.OVERLAP if any(_overlap(best, gold) for gold in golds) else ErrorCause.OTHER_SPAN


def _overlap(answer: AnswerRow, gold: SpanRow) -> bool:
    return answer.passage_id == gold.passage_id and answer.start < gold.end and gold.start < answer.end


def gold_rank(golds: Sequence[SpanRow], prediction: PredictionRow) -> int:
    """The best rank, from 0, of a gold answer's passage among those read; -1 if none was read."""
    gold_passages = {gold.passage_id for gold in golds}
    ranks = (rank for rank, (passage_id, _) in enumerate(prediction.hits) if passage_id in gold_passages)
    return next(ranks, -1)


def _recall(judged: Sequence[Judged]) -> dict[int, float]:
    """Depth -> share of questions with a gold passage among the first so many, up to the largest number read."""
    read = max((len(prediction.hits) for _, prediction in judged), default=0)
    ranks = [gold_rank(labelled.label.answers, prediction) for labelled, prediction in judged]
    return {depth: recall_at(ranks, k=depth) for depth in sorted({1, 3, 5, 10, read}) if 0 < depth <= read}


def _by_type(answerable: Sequence[Judged], wrong: Iterable[Wrong]) -> dict[QuestionType, TypeErrors]:
    questions = Counter(question_type(labelled.question.text) for labelled, _ in answerable)
    errors = Counter((question_type(labelled.question.text), cause.is_retrieval) for cause, (labelled, _) in wrong)
    return {
        name: TypeErrors(count, retrieval=errors[name, True], reading=errors[name, False])
        for name, count in sorted(questions.items(), key=lambda item: (-item[1], item[0]))
    }


def _most_confident(wrong: Iterable[Wrong], cause: ErrorCause) -> list[Wrong]:
    return sorted((each for each in wrong if each[0] is cause), key=_by_confidence)[:EXAMPLES]


def _by_confidence(wrong: Wrong) -> tuple[float, str]:
    prediction = wrong[1][1]
    confidence = prediction.confidence if prediction.confidence is not None else prediction.score
    return -(confidence or 0.0), prediction.question_id


def passages_of(judged: Judged) -> Iterable[str]:
    """Ids of the passages that `example` needs."""
    labelled, prediction = judged
    yield labelled.label.answers[0].passage_id
    if prediction.answers:
        yield prediction.answers[0].passage_id


def example(cause: ErrorCause, judged: Judged, passages: Mapping[str, PassageRow]) -> WrongAnswer:
    """A wrong answer with the passages of the prediction and of the gold answer."""
    labelled, prediction = judged
    golds = labelled.label.answers
    best = prediction.answers[0] if prediction.answers else None
    return WrongAnswer(
        question_id=labelled.question.id,
        question=labelled.question.text,
        golds=tuple(dict.fromkeys(gold.text for gold in golds)),
        predicted=best.text if best else None,
        confidence=prediction.confidence,
        cause=cause,
        chosen=excerpt(passages[best.passage_id], best.start, best.end) if best else None,
        gold=excerpt(passages[golds[0].passage_id], golds[0].start, golds[0].end),
    )


def excerpt(passage: PassageRow, start: int, end: int) -> Excerpt:
    """The span `[start, end)` with up to CONTEXT code points on each side, cut between words where possible."""
    text = passage.text
    first = 0 if start <= CONTEXT else _after_space(text, start - CONTEXT, start)
    last = len(text) if end + CONTEXT >= len(text) else _before_space(text, end, end + CONTEXT)
    return Excerpt(passage.title, text[first:start], text[start:end], text[end:last], first > 0, last < len(text))


def _after_space(text: str, low: int, high: int) -> int:
    space = text.find(" ", low, high)
    return low if space < 0 else space + 1


def _before_space(text: str, low: int, high: int) -> int:
    space = text.rfind(" ", low, high)
    return high if space < 0 else space
