"""Writes. Every function takes the session of one short transaction first; `Database.write` commits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from db.exports import load_on_use

if TYPE_CHECKING:
    from db.store.annotations import record_annotations
    from db.store.corpus import add_import
    from db.store.label import record_audit, record_labels, set_label, withdraw_label
    from db.store.model import (
        add_calibrator,
        add_evaluation,
        add_model,
        add_retriever,
        freeze_training,
        make_student,
        prune,
        record_retriever_gate,
    )
    from db.store.prediction import add_predictions, plan_predictions, set_confidences, set_decisions
    from db.store.question import move_questions, set_roles
    from db.store.review import delete_review, record_review
    from db.store.review_files import record_file_reviews
    from db.store.round import RoundChanges, advance, open_round, revert, withdraw_round
    from db.store.studio import (
        add_project,
        adopt_push,
        begin_push,
        finish_push,
        mark_project_deleted,
        mark_studio_tasks_deleted,
        move_projects,
        record_studio_tasks,
        set_project_cursor,
        set_project_page,
        set_project_remote_id,
        set_project_url,
        set_suggested_by,
    )
    from db.store.task import (
        add_tasks,
        reopen_tasks,
        set_task_states,
        show_further,
        update_task_states,
        withdraw_tasks,
    )
    from db.store.undo import undo_import
    from db.store.writing import add_event, set_meta
else:
    __getattr__ = load_on_use(
        __name__,
        {
            "annotations": "record_annotations",
            "corpus": "add_import",
            "label": "record_audit record_labels set_label withdraw_label",
            "model": (
                "add_calibrator add_evaluation add_model add_retriever freeze_training make_student prune "
                "record_retriever_gate"
            ),
            "prediction": "add_predictions plan_predictions set_confidences set_decisions",
            "question": "move_questions set_roles",
            "review": "delete_review record_review",
            "review_files": "record_file_reviews",
            "round": "RoundChanges advance open_round revert withdraw_round",
            "studio": (
                "add_project adopt_push begin_push finish_push mark_project_deleted mark_studio_tasks_deleted "
                "move_projects record_studio_tasks set_project_cursor set_project_page set_project_remote_id "
                "set_project_url set_suggested_by"
            ),
            "task": "add_tasks reopen_tasks set_task_states show_further update_task_states withdraw_tasks",
            "undo": "undo_import",
            "writing": "add_event set_meta",
        },
    )
