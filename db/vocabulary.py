"""The words that columns of fixed vocabulary may hold. CHECK constraints list the same words. Loads no SQLAlchemy."""

from __future__ import annotations

ROLES = ("gold", "calibration", "dev", "test", "pool")
HELD_OUT = ("calibration", "dev", "test")  # roles whose questions and passages never train
LABEL_KINDS = ("gold", "human", "pseudo")
LABEL_ORIGINS = ("import", "spare", "review", "round", "manual", "restored")  # spare: a second gold label, in reserve
ROUND_KINDS = ("baseline", "cold", "loop", "retrain")  # cold: the first round of a workspace without gold labels
STAGES = ("open", "predicted", "in_review", "reviewed", "labelled", "trained", "closed")
DECISIONS = ("release", "train", "review", "leave")
TASK_KINDS = ("random", "uncertain", "suspect", "audit", "double", "adjudication")
TASK_STATES = ("open", "done", "skipped", "withdrawn", "conflict")
VERDICTS = ("answerable", "no_answer", "bad_question", "skipped")
REVIEW_SOURCES = ("simulated", "studio", "file", "terminal")
BAD_QUESTION = "bad question, reviewed"  # prefix of `exclusion_reason` where reviewers excluded a question
