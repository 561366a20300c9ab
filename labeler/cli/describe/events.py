"""Text of the events in a question's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labeler.cli.describe import answer_text, number
from labeler.core.console import percent, table

if TYPE_CHECKING:
    from db.rows import EventRow, QuestionRow


def history_text(question: QuestionRow, events: Sequence[EventRow]) -> str:
    """The question, and a table of its events."""
    rows = [(f"{each.at:%Y-%m-%d %H:%M:%S}", number(each.round_number), each.kind, event_text(each)) for each in events]
    head = f"{question.text}\n({question.role} question {question.id})\n\n"
    return head + table(("when (UTC)", "round", "what", "detail"), rows)


def event_text(event: EventRow) -> str:
    """The detail of one event in one line."""
    describe = _DESCRIPTIONS.get(event.kind)
    if describe is not None:
        return describe(event.detail)
    return ", ".join(f"{name} {value}" for name, value in event.detail.items())


def _import(detail: Mapping[str, Any]) -> str:
    return f"import {detail['import_id']}: {detail['path']} as {detail['role']}"


def _labeller_prediction(detail: Mapping[str, Any]) -> str:
    answer = answer_text([] if detail["abstains"] or detail["text"] is None else [detail["text"]])
    score = f", score {detail['score']:.3f}" if detail["score"] is not None else ""
    fault = f", in no passage: {detail['fault']}" if detail["fault"] and not detail["abstains"] else ""
    return f"{detail['labeller']}: {answer}{score}{fault}{', withdrawn' if detail['withdrawn_at'] else ''}"


def _prediction(detail: Mapping[str, Any]) -> str:
    answer = answer_text([detail["text"]] if detail["text"] is not None else [])
    decision = f", decision: {detail['decision']}" if detail["decision"] else ""
    who = f"labeller {detail['labeller']}" if detail["labeller"] else f"model {detail['model_hash'][:12]}"
    return f"{answer}, confidence {percent(detail['confidence'])} %{decision}, {who}"


def _task(detail: Mapping[str, Any]) -> str:
    blind = "blind, " if detail["blind"] else ""
    return f"{detail['kind']}, {blind}{len(detail['passages'])} passages, {detail['state']}"


def _review(detail: Mapping[str, Any]) -> str:
    answer = f" {answer_text([detail['text']])} ({detail['origin']})" if detail["text"] is not None else ""
    return f"{detail['reviewer']}: {detail['verdict']}{answer}"


def _label(detail: Mapping[str, Any]) -> str:
    texts = [*(answer[0] for answer in detail["answers"]), *(detail.get("texts") or ())]
    parts = [
        f"{detail['label_kind']} label {detail['label_id']}: {answer_text(texts)}",
        f"by {detail['reviewer']}" if detail["reviewer"] else "",
        f"confidence {percent(detail['confidence'])} %" if detail["confidence"] is not None else "",
        f"threshold {percent(detail['threshold'])} %" if detail["threshold"] is not None else "",
        "exportable" if detail["released"] else "not exportable",
        f"training weight {detail['train_weight']:g}" if detail["train_weight"] else "not used in training",
        f"model {detail['model_hash'][:12]}" if detail["model_hash"] else "",
        f"labeller {detail['labeller']}" if detail["labeller"] else "",
        f"replaces label {detail['parent_id']}" if detail["parent_id"] else "",
    ]
    return ", ".join(part for part in parts if part)


def _withdrawal(detail: Mapping[str, Any]) -> str:
    return f"{detail['label_kind']} label {detail['label_id']}: {detail['reason']}"


_DESCRIPTIONS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "import": _import,
    "import_undone": _import,
    "labeller_prediction": _labeller_prediction,
    "prediction": _prediction,
    "task": _task,
    "review": _review,
    "label": _label,
    "label_withdrawn": _withdrawal,
}
