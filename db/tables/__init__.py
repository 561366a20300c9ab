"""The tables, one constant each; every invariant that a constraint can hold is a constraint here.

A *label* is a stored answer, a *prediction* a model's, a *task* a question put to reviewers, a *review* what a reviewer
did with it. Offsets are Python code points into the stored passage, end exclusive. Rates and confidences are 0-1.
Ordinary work deletes nothing: labels are withdrawn, undone imports deactivate rows, rounds are marked reverted.
"""

from __future__ import annotations

from db.tables.certificates import CERTIFICATE_ITEMS, CERTIFICATES
from db.tables.columns import METADATA, utc_now
from db.tables.corpus import (
    DOCUMENTS,
    HIDDEN_ANSWERS,
    HIDDEN_QUESTIONS,
    IMPORT_LABELS,
    IMPORT_PASSAGES,
    IMPORT_QUESTIONS,
    IMPORTS,
    META,
    PASSAGES,
    QUESTIONS,
)
from db.tables.labellers import LABELLER_ANSWERS, LABELLER_PREDICTIONS, LABELLER_REPLIES, LABELLERS
from db.tables.labels import EVENTS, LABEL_ANSWERS, LABELS
from db.tables.predictions import PREDICTION_ANSWERS, PREDICTIONS
from db.tables.reviews import (
    FILE_ANNOTATIONS,
    REVIEWS,
    STUDIO_ANNOTATIONS,
    STUDIO_PROJECTS,
    STUDIO_PUSHES,
    STUDIO_TASKS,
    TASKS,
)
from db.tables.rounds import CALIBRATORS, EVALUATIONS, MODELS, RETRIEVERS, ROUND_QUESTIONS, ROUNDS, TRAINING_LABELS
