"""The tables as they first were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # rounds and models refer to each other: SQLite takes a reference to a table to come, others take it afterwards
    sqlite = op.get_bind().dialect.name == "sqlite"
    columns = ("teacher_id", "student_id")
    late = [
        sa.ForeignKeyConstraint([name], ["models.id"], name=op.f(f"fk_rounds_{name}")) for name in columns if sqlite
    ]
    op.create_table(
        "calibrators",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibrators")),
    )
    op.create_index(op.f("ix_calibrators_hash"), "calibrators", ["hash"], unique=False)
    op.create_table(
        "documents",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
    )
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("undone_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "passages",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("document_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_passages_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passages")),
    )
    op.create_index(op.f("ix_passages_active"), "passages", ["active"], unique=False)
    op.create_index(op.f("ix_passages_document_id"), "passages", ["document_id"], unique=False)
    op.create_table(
        "rounds",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("code_version", sa.String(length=64), nullable=False),
        sa.Column("teacher_id", sa.Integer(), nullable=True),
        sa.Column("student_id", sa.Integer(), nullable=True),
        sa.Column("index_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("calibrator_id", sa.Integer(), nullable=True),
        sa.Column("release", sa.JSON(), nullable=True),
        sa.Column("gate", sa.JSON(), nullable=True),
        sa.Column("promoted", sa.Boolean(), nullable=True),
        sa.Column("reviewer", sa.String(length=16), nullable=True),
        sa.Column("opened_at", sa.DateTime(), nullable=False),
        sa.Column("closed_at", sa.DateTime(), nullable=True),
        sa.Column("reverted_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint(
            "is_open = (stage <> 'closed' AND reverted_at IS NULL)", name=op.f("ck_rounds_open_until_closed")
        ),
        sa.CheckConstraint("kind IN ('baseline', 'cold', 'loop', 'retrain')", name=op.f("ck_rounds_kind_known")),
        sa.CheckConstraint("stage <> 'closed' OR promoted IS NOT NULL", name=op.f("ck_rounds_closed_is_judged")),
        sa.CheckConstraint(
            "stage IN ('open', 'predicted', 'in_review', 'reviewed', 'certified', 'labelled', 'trained', 'closed')",
            name=op.f("ck_rounds_stage_known"),
        ),
        sa.CheckConstraint("number >= 0", name=op.f("ck_rounds_number_from_zero")),
        sa.CheckConstraint(
            "promoted IS NULL OR NOT promoted OR student_id IS NOT NULL", name=op.f("ck_rounds_promoted_has_a_student")
        ),
        sa.ForeignKeyConstraint(["calibrator_id"], ["calibrators.id"], name=op.f("fk_rounds_calibrator_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_rounds")),
        sa.UniqueConstraint("uid", name=op.f("uq_rounds_uid")),
        *late,
    )
    op.create_index(
        "one_open_round",
        "rounds",
        ["is_open"],
        unique=True,
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_table(
        "import_passages",
        sa.Column("import_id", sa.Integer(), nullable=False),
        sa.Column("passage_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_import_passages_import_id")),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=op.f("fk_import_passages_passage_id")),
        sa.PrimaryKeyConstraint("import_id", "passage_id", name=op.f("pk_import_passages")),
    )
    op.create_index(op.f("ix_import_passages_passage_id"), "import_passages", ["passage_id"], unique=False)
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("training_sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("examples", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("pruned_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_models_round_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("round_number", "name", name=op.f("uq_models_round_number_name")),
    )
    op.create_index(op.f("ix_models_hash"), "models", ["hash"], unique=False)
    op.create_table(
        "questions",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("normalized", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("imported_role", sa.String(length=16), nullable=False),
        sa.Column("split_group", sa.String(length=64), nullable=False),
        sa.Column("context_id", sa.String(length=64), nullable=True),
        sa.Column("is_impossible", sa.Boolean(), nullable=True),
        sa.Column("duplicate_of", sa.String(length=255), nullable=True),
        sa.Column("exclusion_reason", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("role <> 'pool' OR is_impossible IS NULL", name=op.f("ck_questions_pool_hides_impossible")),
        sa.CheckConstraint(
            "role IN ('gold', 'calibration', 'dev', 'test', 'pool')", name=op.f("ck_questions_role_known")
        ),
        sa.CheckConstraint(
            "is_impossible IS NULL OR context_id IS NOT NULL", name=op.f("ck_questions_impossible_needs_context")
        ),
        sa.ForeignKeyConstraint(["context_id"], ["passages.id"], name=op.f("fk_questions_context_id")),
        sa.ForeignKeyConstraint(["duplicate_of"], ["questions.id"], name=op.f("fk_questions_duplicate_of")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
        sa.UniqueConstraint("id", "role", name=op.f("uq_questions_id_role")),
    )
    op.create_index(op.f("ix_questions_active"), "questions", ["active"], unique=False)
    op.create_index(op.f("ix_questions_context_id"), "questions", ["context_id"], unique=False)
    op.create_index(op.f("ix_questions_normalized"), "questions", ["normalized"], unique=False)
    op.create_index(op.f("ix_questions_role"), "questions", ["role"], unique=False)
    op.create_index(op.f("ix_questions_split_group"), "questions", ["split_group"], unique=False)
    op.create_table(
        "releases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("rule", sa.JSON(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_releases_round_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
    )
    op.create_index(op.f("ix_releases_round_number"), "releases", ["round_number"], unique=False)
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_evaluations_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.UniqueConstraint("model_id", "split", "key", name=op.f("uq_evaluations_model_id_split_key")),
    )
    op.create_table(
        "hidden_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.String(length=255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("passage_id", sa.String(length=64), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            '0 <= start AND start < "end" AND length(text) = "end" - start', name=op.f("ck_hidden_answers_span")
        ),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=op.f("fk_hidden_answers_passage_id")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_hidden_answers_question_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hidden_answers")),
        sa.UniqueConstraint(
            "question_id", "passage_id", "start", "end", name=op.f("uq_hidden_answers_question_id_passage_id_start_end")
        ),
    )
    op.create_index(op.f("ix_hidden_answers_question_id"), "hidden_answers", ["question_id"], unique=False)
    op.create_table(
        "hidden_questions",
        sa.Column("question_id", sa.String(length=255), nullable=False),
        sa.Column("is_impossible", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_hidden_questions_question_id")),
        sa.PrimaryKeyConstraint("question_id", name=op.f("pk_hidden_questions")),
    )
    op.create_table(
        "import_questions",
        sa.Column("import_id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_import_questions_import_id")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_import_questions_question_id")),
        sa.PrimaryKeyConstraint("import_id", "question_id", name=op.f("pk_import_questions")),
    )
    op.create_index(op.f("ix_import_questions_question_id"), "import_questions", ["question_id"], unique=False)
    op.create_table(
        "predictions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.String(length=255), nullable=False),
        sa.Column("question_role", sa.String(length=16), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("index_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("null_score", sa.Double(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("hits", sa.JSON(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=True),
        sa.Column("train_weight", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "decision IN ('release', 'train', 'review', 'leave')", name=op.f("ck_predictions_decision_known")
        ),
        sa.CheckConstraint(
            "decision IS NULL OR question_role = 'pool'", name=op.f("ck_predictions_only_the_pool_is_decided")
        ),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_predictions_confidence_is_a_rate")),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("ck_predictions_score_is_a_rate")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_predictions_model_id")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_predictions_question_id")),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_predictions_round_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_predictions")),
        sa.UniqueConstraint("round_number", "question_id", name=op.f("uq_predictions_round_number_question_id")),
    )
    op.create_index(op.f("ix_predictions_question_id"), "predictions", ["question_id"], unique=False)
    op.create_table(
        "round_questions",
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.String(length=255), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_round_questions_question_id")),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_round_questions_round_number")),
        sa.PrimaryKeyConstraint("round_number", "question_id", name=op.f("pk_round_questions")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.String(length=255), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("passages", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('random', 'uncertain', 'suspect', 'audit', 'double', 'adjudication')",
            name=op.f("ck_tasks_kind_known"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'done', 'skipped', 'withdrawn', 'conflict')", name=op.f("ck_tasks_state_known")
        ),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_tasks_question_id")),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_tasks_round_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint(
            "round_number", "question_id", "attempt", name=op.f("uq_tasks_round_number_question_id_attempt")
        ),
    )
    op.create_index(op.f("ix_tasks_question_id"), "tasks", ["question_id"], unique=False)
    op.create_index(op.f("ix_tasks_state"), "tasks", ["state"], unique=False)
    op.create_table(
        "prediction_answers",
        sa.Column("prediction_id", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("passage_id", sa.String(length=64), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.CheckConstraint(
            '0 <= start AND start < "end" AND length(text) = "end" - start', name=op.f("ck_prediction_answers_span")
        ),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=op.f("fk_prediction_answers_passage_id")),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["predictions.id"], name=op.f("fk_prediction_answers_prediction_id")
        ),
        sa.PrimaryKeyConstraint("prediction_id", "rank", name=op.f("pk_prediction_answers")),
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("reviewer", sa.String(length=255), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("passage_id", sa.String(length=64), nullable=True),
        sa.Column("start", sa.Integer(), nullable=True),
        sa.Column("end", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("superseded_at", sa.DateTime(), nullable=True),
        sa.Column("recorded_in", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(verdict = 'answerable') = (text IS NOT NULL)", name=op.f("ck_reviews_answer_with_verdict")
        ),
        sa.CheckConstraint(
            "verdict IN ('answerable', 'no_answer', 'bad_question', 'skipped')", name=op.f("ck_reviews_verdict_known")
        ),
        sa.CheckConstraint(
            "(text IS NULL) = (passage_id IS NULL) AND (text IS NULL) = (start IS NULL) "
            'AND (text IS NULL) = ("end" IS NULL)',
            name=op.f("ck_reviews_answer_whole"),
        ),
        sa.CheckConstraint(
            'text IS NULL OR (0 <= start AND start < "end" AND length(text) = "end" - start)',
            name=op.f("ck_reviews_span"),
        ),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=op.f("fk_reviews_passage_id")),
        sa.ForeignKeyConstraint(["recorded_in"], ["rounds.number"], name=op.f("fk_reviews_recorded_in")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_reviews_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    op.create_index(
        "one_current_review",
        "reviews",
        ["task_id", "reviewer"],
        unique=True,
        sqlite_where=sa.text("superseded_at IS NULL"),
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.String(length=255), nullable=False),
        sa.Column("question_role", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("no_answer", sa.Boolean(), nullable=False),
        sa.Column("passages", sa.JSON(), nullable=True),
        sa.Column("train_weight", sa.Double(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("import_id", sa.Integer(), nullable=True),
        sa.Column("round_number", sa.Integer(), nullable=True),
        sa.Column("written_by", sa.Integer(), nullable=True),
        sa.Column("review_id", sa.Integer(), nullable=True),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("index_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("calibrator_id", sa.Integer(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("reviewer", sa.String(length=255), nullable=True),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(), nullable=True),
        sa.Column("withdrawn_by", sa.Integer(), nullable=True),
        sa.Column("withdrawal_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind <> 'gold' OR import_id IS NOT NULL OR origin = 'manual'", name=op.f("ck_labels_gold_is_traceable")
        ),
        sa.CheckConstraint(
            "kind <> 'human' OR NOT no_answer OR passages IS NOT NULL", name=op.f("ck_labels_no_answer_says_where")
        ),
        sa.CheckConstraint("kind <> 'human' OR reviewer IS NOT NULL", name=op.f("ck_labels_human_has_a_reviewer")),
        sa.CheckConstraint(
            "kind <> 'pseudo' OR (round_number IS NOT NULL AND model_id IS NOT NULL)",
            name=op.f("ck_labels_pseudo_is_traceable"),
        ),
        sa.CheckConstraint("kind <> 'pseudo' OR NOT no_answer", name=op.f("ck_labels_pseudo_has_an_answer")),
        sa.CheckConstraint(
            "kind <> 'pseudo' OR NOT released OR "
            "(confidence IS NOT NULL AND threshold IS NOT NULL "
            "AND calibrator_id IS NOT NULL AND confidence >= threshold)",
            name=op.f("ck_labels_released_by_a_rule"),
        ),
        sa.CheckConstraint(
            "kind <> 'pseudo' OR question_role = 'pool' OR withdrawn_at IS NOT NULL",
            name=op.f("ck_labels_pseudo_only_in_pool"),
        ),
        sa.CheckConstraint("kind IN ('gold', 'human', 'pseudo')", name=op.f("ck_labels_kind_known")),
        sa.CheckConstraint(
            "origin IN ('import', 'spare', 'review', 'round', 'manual', 'restored')",
            name=op.f("ck_labels_origin_known"),
        ),
        sa.CheckConstraint(
            "question_role IN ('gold', 'pool') OR train_weight = 0 OR withdrawn_at IS NOT NULL",
            name=op.f("ck_labels_held_out_never_teaches"),
        ),
        sa.CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawal_reason IS NULL)", name=op.f("ck_labels_withdrawn_with_a_reason")
        ),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_labels_confidence_is_a_rate")),
        sa.CheckConstraint("train_weight BETWEEN 0 AND 1", name=op.f("ck_labels_train_weight_is_a_rate")),
        sa.CheckConstraint(
            "withdrawn_by IS NULL OR withdrawn_at IS NOT NULL", name=op.f("ck_labels_withdrawer_has_withdrawn")
        ),
        sa.ForeignKeyConstraint(["calibrator_id"], ["calibrators.id"], name=op.f("fk_labels_calibrator_id")),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_labels_import_id")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_labels_model_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["labels.id"], name=op.f("fk_labels_parent_id")),
        sa.ForeignKeyConstraint(
            ["question_id", "question_role"],
            ["questions.id", "questions.role"],
            name="fk_labels_question",
            onupdate="CASCADE",
        ),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name=op.f("fk_labels_review_id")),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_labels_round_number")),
        sa.ForeignKeyConstraint(["withdrawn_by"], ["rounds.number"], name=op.f("fk_labels_withdrawn_by")),
        sa.ForeignKeyConstraint(["written_by"], ["rounds.number"], name=op.f("fk_labels_written_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_import_id"), "labels", ["import_id"], unique=False)
    op.create_index(op.f("ix_labels_question_id"), "labels", ["question_id"], unique=False)
    op.create_index(op.f("ix_labels_round_number"), "labels", ["round_number"], unique=False)
    op.create_index(
        "one_live_label",
        "labels",
        ["question_id"],
        unique=True,
        sqlite_where=sa.text("withdrawn_at IS NULL"),
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("round_number", sa.Integer(), nullable=True),
        sa.Column("question_id", sa.String(length=255), nullable=True),
        sa.Column("label_id", sa.Integer(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name=op.f("fk_events_label_id")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_events_question_id")),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_events_round_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_question_id"), "events", ["question_id"], unique=False)
    op.create_index(op.f("ix_events_round_number"), "events", ["round_number"], unique=False)
    op.create_table(
        "import_labels",
        sa.Column("import_id", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_import_labels_import_id")),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name=op.f("fk_import_labels_label_id")),
        sa.PrimaryKeyConstraint("import_id", "label_id", name=op.f("pk_import_labels")),
    )
    op.create_index(op.f("ix_import_labels_label_id"), "import_labels", ["label_id"], unique=False)
    op.create_table(
        "label_answers",
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("passage_id", sa.String(length=64), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            '0 <= start AND start < "end" AND length(text) = "end" - start', name=op.f("ck_label_answers_span")
        ),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name=op.f("fk_label_answers_label_id")),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=op.f("fk_label_answers_passage_id")),
        sa.PrimaryKeyConstraint("label_id", "ordinal", name=op.f("pk_label_answers")),
    )
    op.create_index(op.f("ix_label_answers_passage_id"), "label_answers", ["passage_id"], unique=False)
    op.create_table(
        "release_rows",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.String(length=255), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("passage_id", sa.String(length=64), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name=op.f("fk_release_rows_label_id")),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=op.f("fk_release_rows_passage_id")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_release_rows_question_id")),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_release_rows_release_id")),
        sa.PrimaryKeyConstraint("release_id", "question_id", name=op.f("pk_release_rows")),
    )
    op.create_table(
        "training_rows",
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.CheckConstraint("weight > 0 AND weight <= 1", name=op.f("ck_training_rows_weight_teaches")),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name=op.f("fk_training_rows_label_id")),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_training_rows_round_number")),
        sa.PrimaryKeyConstraint("round_number", "label_id", name=op.f("pk_training_rows")),
    )
    op.create_index(op.f("ix_training_rows_label_id"), "training_rows", ["label_id"], unique=False)
    if not sqlite:
        for name in columns:
            op.create_foreign_key(op.f(f"fk_rounds_{name}"), "rounds", "models", [name], ["id"])
