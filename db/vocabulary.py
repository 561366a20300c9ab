"""The words that columns of fixed vocabulary may hold. CHECK constraints list the same words. Loads no SQLAlchemy."""

from __future__ import annotations

ROLES = ("gold", "calibration", "dev", "test", "pool")
HELD_OUT = ("calibration", "dev", "test")  # roles whose questions and passages never train
LABEL_KINDS = ("gold", "human", "pseudo")
#: spare: a second gold label, in reserve; certificate: a pseudo-label that a certificate released
LABEL_ORIGINS = ("import", "spare", "review", "round", "manual", "restored", "certificate")
#: cold: the first round of a workspace without gold labels; audit: the review that a certificate rests on
ROUND_KINDS = ("baseline", "cold", "loop", "retrain", "audit")
STAGES = ("open", "predicted", "in_review", "reviewed", "labelled", "trained", "closed")
DECISIONS = ("train", "review", "leave")
CONTROL = "control"
#: control: selected for a suggestion that is held back; judgement: after a blind answer that differs, whether the
#: model's answer says the same
TASK_KINDS = ("random", "uncertain", "suspect", CONTROL, "audit", "double", "adjudication", "judgement")
TASK_STATES = ("open", "done", "skipped", "withdrawn", "conflict")
VERDICTS = ("answerable", "no_answer", "bad_question", "skipped")
#: of an audited answer; the first two count as right
OUTCOMES = ("equal", "equivalent", "different", "bad_question", "skipped", "conflict", "open")
#: file: answers that were imported; model: a language model that this tool asks
LABELLER_KINDS = ("file", "model")
REVIEW_SOURCES = ("simulated", "studio", "file", "terminal")
BAD_QUESTION = "bad question, reviewed"  # prefix of `exclusion_reason` where reviewers excluded a question
