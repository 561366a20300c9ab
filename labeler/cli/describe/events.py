"""Text of the events in a question's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labeler.cli.describe import answer_text
from labeler.core.console import percent

if TYPE_CHECKING:
    from db.rows import EventRow


def told(event: EventRow) -> str:
    """An event's detail in words; the journal's own entries as they are."""
    detail = event.detail
    tell = _TELLERS.get(event.kind)
    return tell(detail) if tell else ", ".join(f"{name} {value}" for name, value in detail.items())


def _told_import(detail: Mapping[str, Any]) -> str:
    return f"import {detail['import_id']}: {detail['path']} as {detail['role']}"


def _told_prediction(detail: Mapping[str, Any]) -> str:
    answer = answer_text([detail["text"]] if detail["text"] is not None else [])
    decision = f", decided: {detail['decision']}" if detail["decision"] else ""
    return f"{answer}, confidence {percent(detail['confidence'])} %{decision}, model {detail['model_hash'][:12]}"


def _told_task(detail: Mapping[str, Any]) -> str:
    blind = "blind, " if detail["blind"] else ""
    return f"{detail['kind']}, {blind}{len(detail['passages'])} passages, {detail['state']}"


def _told_review(detail: Mapping[str, Any]) -> str:
    answer = f" {answer_text([detail['text']])} ({detail['origin']})" if detail["text"] is not None else ""
    return f"{detail['reviewer']}: {detail['verdict']}{answer}"


def _told_label(detail: Mapping[str, Any]) -> str:
    parts = [
        f"{detail['label_kind']} label {detail['label_id']}: {answer_text(answer[0] for answer in detail['answers'])}",
        f"by {detail['reviewer']}" if detail["reviewer"] else "",
        f"confidence {percent(detail['confidence'])} %" if detail["confidence"] is not None else "",
        f"threshold {percent(detail['threshold'])} %" if detail["threshold"] is not None else "",
        "released" if detail["released"] else "not released",
        f"weight {detail['train_weight']:g}",
        f"model {detail['model_hash'][:12]}" if detail["model_hash"] else "",
        f"in place of label {detail['parent_id']}" if detail["parent_id"] else "",
    ]
    return ", ".join(part for part in parts if part)


def _told_withdrawal(detail: Mapping[str, Any]) -> str:
    return f"{detail['label_kind']} label {detail['label_id']}: {detail['reason']}"


_TELLERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "import": _told_import,
    "import_undone": _told_import,
    "prediction": _told_prediction,
    "task": _told_task,
    "review": _told_review,
    "label": _told_label,
    "label_withdrawn": _told_withdrawal,
}
