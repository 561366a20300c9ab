"""Text of labellers: what an import of predictions stored, evaluations and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labeler.cli.describe import SHOWN, rejected_lines
from labeler.core.console import clipped, percent, table

if TYPE_CHECKING:
    from labeler.labellers.compare import Comparison
    from labeler.labellers.evaluate import LabellerEvaluation
    from labeler.labellers.importing import PredictionReport
    from labeler.labellers.llm.annotate import AnnotationForecast
    from labeler.labellers.llm.work import Annotation


def predictions_text(report: PredictionReport) -> str:
    """Counts of what an import of predictions stored, and the first rejected answers."""
    lines = [
        *report.notes,
        f"labeller {report.labeller}: {report.predictions} answers to {report.questions} questions, {report.anchored} "
        f"anchored in passages, {report.as_text} kept as text, {report.no_answer} without an answer; "
        f"{len(report.rejected)} rejected or without a place",
        *rejected_lines(report.rejected),
    ]
    if report.imports:
        lines.append(f"undo: labeler import --undo {report.imports[-1]}")
    return "\n".join(lines)


def labeller_evaluation_text(found: LabellerEvaluation) -> str:
    """The scores of a labeller on a split."""
    whole, part = found.end_to_end, found.of_answered or {}
    rows: list[tuple[Any, ...]] = [
        ("exact match", percent(whole.exact_match), _bounds(found, "exact_match"), percent(part.get("exact_match"))),
        ("F1", percent(whole.f1), _bounds(found, "f1"), percent(part.get("f1"))),
        ("answer in a gold passage", percent(whole.passage_correct), "", ""),
    ]
    head = (
        f"labeller {found.labeller}: {found.answered} of {found.questions} {found.split} questions answered, "
        f"{found.anchored} anchored; the others count as wrong"
    )
    lines = [head, table(("measure", "all %", "95% interval", "answered %"), rows)]
    if found.scores is not None:
        values = found.scores
        lines.append(
            f"its own scores of {values['answers']} answers, not calibrated: AURC {values['aurc']:.3f}, "
            f"AUROC {values['auroc']:.3f}, ECE {values['ece']:.3f}"
        )
    return "\n".join(lines)


def comparison_text(found: Comparison) -> str:
    """The agreement of two labellers, and the answers that differ most."""
    each = found.agreement
    lines = [
        f"{each.questions} questions answered by both; "
        f"{each.only_a} by {found.a} alone, {each.only_b} by {found.b} alone",
        f"equal answers {percent(each.exact_match)} %, mean F1 {percent(each.f1)} %, "
        f"same passage {percent(each.same_passage)} %",
    ]
    if found.dev is not None:
        dev = found.dev
        lines.append(
            f"of {dev.questions} dev questions: {found.a} {percent(dev.a)} % right, {found.b} {percent(dev.b)} % right "
            f"(only {found.a} {dev.only_a_right}, only {found.b} {dev.only_b_right}; p = {dev.p_value:.3f})"
        )
    if found.examples:
        rows = [
            (one.question_id, clipped(one.question), clipped(one.a) or "no answer", clipped(one.b) or "no answer")
            for one in found.examples
        ]
        lines += ["", table(("question id", "question", found.a, found.b), rows)]
    return "\n".join(lines)


def _bounds(found: LabellerEvaluation, key: str) -> str:
    low, high = found.intervals[f"end_to_end.{key}"]
    return f"{percent(low)} to {percent(high)}"


def annotation_text(found: Annotation) -> str:
    """What a language model answered, what it cost, and what is left."""
    cost = "" if found.cost is None else f", cost {found.cost:.4f}"
    lines = [
        f"labeller {found.labeller}: {found.questions} questions answered, {found.anchored} anchored in passages, "
        f"{found.as_text} without a place, {found.no_answer} not in these passages",
        f"{found.requests} requests, {found.cached} replies from the cache, {found.prompt_tokens} + "
        f"{found.completion_tokens} tokens{cost}",
        *rejected_lines(found.rejected),
        *(f"not answered {each.where}: {each.why}" for each in found.failed[:SHOWN]),
    ]
    if found.stopped is not None:
        lines.append(f"stopped: {found.stopped}")
    if found.left:
        lines.append(f"{found.left} questions are left; run the same command to continue")
    return "\n".join(lines)


def forecast_text(found: AnnotationForecast) -> str:
    """What asking a language model would take."""
    cost = "" if found.cost is None else f", at most {found.cost:.4f}"
    return (
        f"labeller {found.labeller}: {found.questions} questions, {found.requests} requests ({found.cached} replies "
        f"are stored already), about {found.prompt_tokens:,} tokens of prompts and at most "
        f"{found.completion_tokens:,} of replies{cost}; nothing was sent"
    )
