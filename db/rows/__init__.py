"""Frozen rows, the only types that go into and come out of the database: `New…` goes in, `…Row` comes out.

Offsets are Python code points into the stored passage, end exclusive. Rates and confidences are 0-1. JSON columns are
mappings and tuples of plain JSON values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from db.exports import load_on_use

if TYPE_CHECKING:
    from db.rows.certificates import AuditedItem, CertificateItem, CertificateRow
    from db.rows.corpus import DocumentRow, HiddenRow, PassageRow, QuestionRow, RoleRow, SpanRow
    from db.rows.imports import Imported, ImportRow, ImportRows, NewImport, Undone
    from db.rows.labellers import (
        LabellerAnswer,
        LabellerCounts,
        LabellerPredictionRow,
        LabellerReply,
        LabellerRow,
        NewLabellerPrediction,
    )
    from db.rows.labels import (
        LabelledQuestion,
        LabelRow,
        NewLabel,
        Recorded,
        TrainingRow,
        Withdrawn,
    )
    from db.rows.predictions import AnswerRow, Decision, NewPrediction, PredictionRow
    from db.rows.reviews import FileReview, NewReview, NewTask, ReviewRow, TaskRow
    from db.rows.rounds import CalibratorRow, EvaluationRow, ModelRow, Pruned, RetrieverRow, RoundRow
    from db.rows.status import Counts, EventRow, SchemaStatus
    from db.rows.studio import (
        AnnotationChanges,
        PulledAnnotation,
        StudioAnnotationRow,
        StudioProjectRow,
        StudioPushRow,
        StudioTaskRow,
    )
    from db.rows.values import Json
else:
    __getattr__ = load_on_use(
        __name__,
        {
            "certificates": "AuditedItem CertificateItem CertificateRow",
            "corpus": "DocumentRow HiddenRow PassageRow QuestionRow RoleRow SpanRow",
            "imports": "Imported ImportRow ImportRows NewImport Undone",
            "labellers": (
                "LabellerAnswer LabellerCounts LabellerPredictionRow LabellerReply LabellerRow NewLabellerPrediction"
            ),
            "labels": "LabelledQuestion LabelRow NewLabel Recorded TrainingRow Withdrawn",
            "predictions": "AnswerRow Decision NewPrediction PredictionRow",
            "reviews": "FileReview NewReview NewTask ReviewRow TaskRow",
            "rounds": "CalibratorRow EvaluationRow ModelRow Pruned RetrieverRow RoundRow",
            "status": "Counts EventRow SchemaStatus",
            "studio": (
                "AnnotationChanges PulledAnnotation StudioAnnotationRow StudioProjectRow StudioPushRow StudioTaskRow"
            ),
            "values": "Json",
        },
    )
