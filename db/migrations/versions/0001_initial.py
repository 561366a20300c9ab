"""The first schema."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Rounds and models refer to each other: SQLite takes a reference to a table to come, PostgreSQL a later constraint.
REFERENCES = ("teacher_id", "student_id")
SQLITE = {
    "serial": "INTEGER",
    "moment": "DATETIME",
    "double": "DOUBLE",
    "rounds_to_models": "".join(
        f",\n    CONSTRAINT fk_rounds_{column} FOREIGN KEY({column}) REFERENCES models (id)" for column in REFERENCES
    ),
}
POSTGRESQL = {
    "serial": "SERIAL",
    "moment": "TIMESTAMP WITHOUT TIME ZONE",
    "double": "DOUBLE PRECISION",
    "rounds_to_models": "",
}

SCHEMA = """CREATE TABLE calibrators (
    id {serial} NOT NULL, hash VARCHAR(64) NOT NULL, kind VARCHAR(32) NOT NULL, state JSON NOT NULL,
    metrics JSON NOT NULL, created_at {moment} NOT NULL,
    CONSTRAINT pk_calibrators PRIMARY KEY (id)
);
CREATE INDEX ix_calibrators_hash ON calibrators (hash);

CREATE TABLE documents (
    id VARCHAR(64) NOT NULL, title TEXT NOT NULL,
    CONSTRAINT pk_documents PRIMARY KEY (id)
);

CREATE TABLE imports (
    id {serial} NOT NULL, path TEXT NOT NULL, sha256 VARCHAR(64) NOT NULL, role VARCHAR(16) NOT NULL,
    format VARCHAR(16) NOT NULL, options JSON NOT NULL, counts JSON NOT NULL, created_at {moment} NOT NULL,
    undone_at {moment},
    CONSTRAINT pk_imports PRIMARY KEY (id)
);

CREATE TABLE labellers (
    id {serial} NOT NULL, name VARCHAR(64) NOT NULL, kind VARCHAR(16) NOT NULL, config JSON NOT NULL,
    created_at {moment} NOT NULL,
    CONSTRAINT pk_labellers PRIMARY KEY (id),
    CONSTRAINT ck_labellers_kind_known CHECK (kind IN ('file', 'model')),
    CONSTRAINT uq_labellers_name UNIQUE (name)
);

CREATE TABLE meta (
    key VARCHAR(64) NOT NULL, value TEXT NOT NULL,
    CONSTRAINT pk_meta PRIMARY KEY (key)
);

CREATE TABLE studio_projects (
    id {serial} NOT NULL, url VARCHAR(255) NOT NULL, uid VARCHAR(32) NOT NULL, remote_id INTEGER,
    blind BOOLEAN NOT NULL, passage_slots INTEGER NOT NULL, reviewers INTEGER NOT NULL,
    page_sha256 VARCHAR(64) NOT NULL, cursor VARCHAR(40), created_at {moment} NOT NULL, deleted_at {moment},
    CONSTRAINT pk_studio_projects PRIMARY KEY (id),
    CONSTRAINT uq_studio_projects_uid UNIQUE (uid)
);
CREATE UNIQUE INDEX one_live_project ON studio_projects (url, blind, passage_slots, reviewers) WHERE deleted_at IS NULL;

CREATE TABLE passages (
    id VARCHAR(64) NOT NULL, document_id VARCHAR(64) NOT NULL, position INTEGER NOT NULL, title TEXT,
    text TEXT NOT NULL, identity VARCHAR(64) NOT NULL, active BOOLEAN NOT NULL,
    CONSTRAINT pk_passages PRIMARY KEY (id),
    CONSTRAINT fk_passages_document_id FOREIGN KEY(document_id) REFERENCES documents (id)
);
CREATE INDEX ix_passages_document_id ON passages (document_id);
CREATE INDEX ix_passages_identity ON passages (identity);
CREATE INDEX inactive_passages ON passages (document_id) WHERE NOT active;

CREATE TABLE rounds (
    number INTEGER NOT NULL, uid VARCHAR(32) NOT NULL, kind VARCHAR(16) NOT NULL, stage VARCHAR(16) NOT NULL,
    is_open BOOLEAN NOT NULL, config JSON NOT NULL, seed INTEGER NOT NULL, code_version VARCHAR(64) NOT NULL,
    teacher_id INTEGER, labeller_id INTEGER, student_id INTEGER, index_fingerprint VARCHAR(64),
    calibrator_id INTEGER, release JSON,
    gate JSON, promoted BOOLEAN, reviewer VARCHAR(16), opened_at {moment} NOT NULL, closed_at {moment},
    reverted_at {moment},
    CONSTRAINT pk_rounds PRIMARY KEY (number),
    CONSTRAINT ck_rounds_kind_known CHECK (kind IN ('baseline', 'cold', 'loop', 'retrain', 'audit')),
    CONSTRAINT ck_rounds_one_predicts CHECK (labeller_id IS NULL OR teacher_id IS NULL),
    CONSTRAINT ck_rounds_stage_known CHECK
        (stage IN ('open', 'predicted', 'in_review', 'reviewed', 'labelled', 'trained', 'closed')),
    CONSTRAINT ck_rounds_number_from_zero CHECK (number >= 0),
    CONSTRAINT ck_rounds_open_until_closed CHECK (is_open = (stage <> 'closed' AND reverted_at IS NULL)),
    CONSTRAINT ck_rounds_closed_is_decided CHECK (stage <> 'closed' OR promoted IS NOT NULL),
    CONSTRAINT ck_rounds_promoted_has_a_student CHECK (promoted IS NULL OR NOT promoted OR student_id IS NOT NULL),
    CONSTRAINT uq_rounds_uid UNIQUE (uid),
    CONSTRAINT fk_rounds_labeller_id FOREIGN KEY(labeller_id) REFERENCES labellers (id),
    CONSTRAINT fk_rounds_calibrator_id FOREIGN KEY(calibrator_id) REFERENCES calibrators (id){rounds_to_models}
);
CREATE UNIQUE INDEX one_open_round ON rounds (is_open) WHERE is_open;

CREATE TABLE import_passages (
    import_id INTEGER NOT NULL, passage_id VARCHAR(64) NOT NULL,
    CONSTRAINT pk_import_passages PRIMARY KEY (import_id, passage_id),
    CONSTRAINT fk_import_passages_import_id FOREIGN KEY(import_id) REFERENCES imports (id),
    CONSTRAINT fk_import_passages_passage_id FOREIGN KEY(passage_id) REFERENCES passages (id)
);
CREATE INDEX ix_import_passages_passage_id ON import_passages (passage_id);

CREATE TABLE models (
    id {serial} NOT NULL, round_number INTEGER NOT NULL, name VARCHAR(32) NOT NULL, hash VARCHAR(64) NOT NULL,
    training_sha256 VARCHAR(64) NOT NULL, path TEXT NOT NULL, start TEXT NOT NULL, config JSON NOT NULL,
    examples INTEGER NOT NULL, seconds {double} NOT NULL, loss {double}, created_at {moment} NOT NULL,
    pruned_at {moment},
    CONSTRAINT pk_models PRIMARY KEY (id),
    CONSTRAINT uq_models_round_number_name UNIQUE (round_number, name),
    CONSTRAINT fk_models_round_number FOREIGN KEY(round_number) REFERENCES rounds (number)
);
CREATE INDEX ix_models_hash ON models (hash);

CREATE TABLE questions (
    id VARCHAR(255) NOT NULL, text TEXT NOT NULL, normalized VARCHAR(64) NOT NULL, role VARCHAR(16) NOT NULL,
    imported_role VARCHAR(16) NOT NULL, split_group VARCHAR(64) NOT NULL, context_id VARCHAR(64),
    is_impossible BOOLEAN, duplicate_of VARCHAR(255), exclusion_reason TEXT, active BOOLEAN NOT NULL,
    CONSTRAINT pk_questions PRIMARY KEY (id),
    CONSTRAINT ck_questions_role_known CHECK (role IN ('gold', 'calibration', 'dev', 'test', 'pool')),
    CONSTRAINT uq_questions_id_role UNIQUE (id, role),
    CONSTRAINT ck_questions_impossible_needs_context CHECK (is_impossible IS NULL OR context_id IS NOT NULL),
    CONSTRAINT ck_questions_pool_hides_impossible CHECK (role <> 'pool' OR is_impossible IS NULL),
    CONSTRAINT fk_questions_context_id FOREIGN KEY(context_id) REFERENCES passages (id),
    CONSTRAINT fk_questions_duplicate_of FOREIGN KEY(duplicate_of) REFERENCES questions (id)
);
CREATE INDEX ix_questions_context_id ON questions (context_id);
CREATE INDEX ix_questions_normalized ON questions (normalized);
CREATE INDEX ix_questions_role_active ON questions (role, active);
CREATE INDEX ix_questions_split_group ON questions (split_group);
CREATE INDEX inactive_questions ON questions (id) WHERE NOT active;
CREATE INDEX duplicate_questions ON questions (duplicate_of) WHERE duplicate_of IS NOT NULL;

CREATE TABLE certificates (
    id {serial} NOT NULL, uid VARCHAR(32) NOT NULL, round_number INTEGER NOT NULL, request JSON NOT NULL, plan JSON,
    seed VARCHAR(64), document JSON, sha256 VARCHAR(64), created_at {moment} NOT NULL, made_at {moment},
    withdrawn_at {moment}, withdrawal_reason TEXT, accepted_reviews INTEGER,
    CONSTRAINT pk_certificates PRIMARY KEY (id),
    CONSTRAINT uq_certificates_uid UNIQUE (uid),
    CONSTRAINT uq_certificates_round_number UNIQUE (round_number),
    CONSTRAINT ck_certificates_planned_with_a_seed CHECK ((plan IS NULL) = (seed IS NULL)),
    CONSTRAINT ck_certificates_made_with_a_document CHECK ((document IS NULL) = (made_at IS NULL)),
    CONSTRAINT ck_certificates_made_with_a_hash CHECK ((document IS NULL) = (sha256 IS NULL)),
    CONSTRAINT ck_certificates_made_as_planned CHECK (document IS NULL OR plan IS NOT NULL),
    CONSTRAINT ck_certificates_withdrawn_with_a_reason CHECK ((withdrawn_at IS NULL) = (withdrawal_reason IS NULL)),
    CONSTRAINT fk_certificates_round_number FOREIGN KEY(round_number) REFERENCES rounds (number)
);

CREATE TABLE retrievers (
    id {serial} NOT NULL, round_number INTEGER NOT NULL, hash VARCHAR(64) NOT NULL,
    training_sha256 VARCHAR(64) NOT NULL, path TEXT NOT NULL, start TEXT NOT NULL, config JSON NOT NULL,
    examples INTEGER NOT NULL, seconds {double} NOT NULL, loss {double}, encoder_before TEXT,
    index_before VARCHAR(64), index_after VARCHAR(64), gate JSON, promoted BOOLEAN, created_at {moment} NOT NULL,
    pruned_at {moment},
    CONSTRAINT pk_retrievers PRIMARY KEY (id),
    CONSTRAINT ck_retrievers_decided_with_numbers CHECK ((promoted IS NULL) = (gate IS NULL)),
    CONSTRAINT ck_retrievers_promoted_has_an_index CHECK
        (promoted IS NULL OR NOT promoted OR index_after IS NOT NULL),
    CONSTRAINT uq_retrievers_round_number UNIQUE (round_number),
    CONSTRAINT fk_retrievers_round_number FOREIGN KEY(round_number) REFERENCES rounds (number)
);
CREATE INDEX ix_retrievers_hash ON retrievers (hash);

CREATE TABLE studio_pushes (
    id {serial} NOT NULL, push_id VARCHAR(32) NOT NULL, project_id INTEGER NOT NULL, round_number INTEGER NOT NULL,
    created_at {moment} NOT NULL, finished_at {moment},
    CONSTRAINT pk_studio_pushes PRIMARY KEY (id),
    CONSTRAINT uq_studio_pushes_push_id UNIQUE (push_id),
    CONSTRAINT fk_studio_pushes_project_id FOREIGN KEY(project_id) REFERENCES studio_projects (id),
    CONSTRAINT fk_studio_pushes_round_number FOREIGN KEY(round_number) REFERENCES rounds (number)
);

CREATE TABLE evaluations (
    id {serial} NOT NULL, model_id INTEGER NOT NULL, split VARCHAR(16) NOT NULL, key VARCHAR(64) NOT NULL,
    summary JSON NOT NULL, results JSON NOT NULL, created_at {moment} NOT NULL,
    CONSTRAINT pk_evaluations PRIMARY KEY (id),
    CONSTRAINT uq_evaluations_model_id_split_key UNIQUE (model_id, split, key),
    CONSTRAINT fk_evaluations_model_id FOREIGN KEY(model_id) REFERENCES models (id)
);

CREATE TABLE hidden_answers (
    id {serial} NOT NULL, question_id VARCHAR(255) NOT NULL, text TEXT NOT NULL, passage_id VARCHAR(64) NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL,
    CONSTRAINT pk_hidden_answers PRIMARY KEY (id),
    CONSTRAINT uq_hidden_answers_question_id_passage_id_start_end UNIQUE (question_id, passage_id, start, "end"),
    CONSTRAINT ck_hidden_answers_span CHECK (0 <= start AND start < "end" AND length(text) = "end" - start),
    CONSTRAINT fk_hidden_answers_question_id FOREIGN KEY(question_id) REFERENCES questions (id),
    CONSTRAINT fk_hidden_answers_passage_id FOREIGN KEY(passage_id) REFERENCES passages (id)
);
CREATE INDEX ix_hidden_answers_question_id ON hidden_answers (question_id);

CREATE TABLE hidden_questions (
    question_id VARCHAR(255) NOT NULL, is_impossible BOOLEAN NOT NULL,
    CONSTRAINT pk_hidden_questions PRIMARY KEY (question_id),
    CONSTRAINT fk_hidden_questions_question_id FOREIGN KEY(question_id) REFERENCES questions (id)
);

CREATE TABLE import_questions (
    import_id INTEGER NOT NULL, question_id VARCHAR(255) NOT NULL, role VARCHAR(16) NOT NULL,
    CONSTRAINT pk_import_questions PRIMARY KEY (import_id, question_id),
    CONSTRAINT fk_import_questions_import_id FOREIGN KEY(import_id) REFERENCES imports (id),
    CONSTRAINT fk_import_questions_question_id FOREIGN KEY(question_id) REFERENCES questions (id)
);
CREATE INDEX ix_import_questions_question_id ON import_questions (question_id);

CREATE TABLE predictions (
    id {serial} NOT NULL, round_number INTEGER NOT NULL, question_id VARCHAR(255) NOT NULL,
    question_role VARCHAR(16) NOT NULL, model_id INTEGER, labeller_id INTEGER, index_fingerprint VARCHAR(64),
    score {double},
    null_score {double}, confidence {double}, features JSON NOT NULL, hits JSON NOT NULL, decision VARCHAR(16),
    train_weight {double}, reviewed_by INTEGER, created_at {moment} NOT NULL,
    CONSTRAINT pk_predictions PRIMARY KEY (id),
    CONSTRAINT uq_predictions_round_number_question_id UNIQUE (round_number, question_id),
    CONSTRAINT ck_predictions_by_a_model_or_a_labeller CHECK ((model_id IS NULL) <> (labeller_id IS NULL)),
    CONSTRAINT ck_predictions_confidence_is_a_rate CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT ck_predictions_score_is_a_rate CHECK (score BETWEEN 0 AND 1),
    CONSTRAINT ck_predictions_decision_known CHECK (decision IN ('train', 'review', 'leave')),
    CONSTRAINT ck_predictions_only_the_pool_is_decided CHECK (decision IS NULL OR question_role = 'pool'),
    CONSTRAINT fk_predictions_round_number FOREIGN KEY(round_number) REFERENCES rounds (number),
    CONSTRAINT fk_predictions_question_id FOREIGN KEY(question_id) REFERENCES questions (id),
    CONSTRAINT fk_predictions_model_id FOREIGN KEY(model_id) REFERENCES models (id),
    CONSTRAINT fk_predictions_labeller_id FOREIGN KEY(labeller_id) REFERENCES labellers (id),
    CONSTRAINT fk_predictions_reviewed_by FOREIGN KEY(reviewed_by) REFERENCES labellers (id)
);
CREATE INDEX ix_predictions_question_id ON predictions (question_id);

CREATE TABLE labeller_predictions (
    id {serial} NOT NULL, labeller_id INTEGER NOT NULL, question_id VARCHAR(255) NOT NULL, import_id INTEGER,
    abstains BOOLEAN NOT NULL, null_score {double}, created_at {moment} NOT NULL, withdrawn_at {moment},
    CONSTRAINT pk_labeller_predictions PRIMARY KEY (id),
    CONSTRAINT ck_labeller_predictions_null_score_is_a_rate CHECK (null_score BETWEEN 0 AND 1),
    CONSTRAINT fk_labeller_predictions_labeller_id FOREIGN KEY(labeller_id) REFERENCES labellers (id),
    CONSTRAINT fk_labeller_predictions_question_id FOREIGN KEY(question_id) REFERENCES questions (id),
    CONSTRAINT fk_labeller_predictions_import_id FOREIGN KEY(import_id) REFERENCES imports (id)
);
CREATE INDEX ix_labeller_predictions_import_id ON labeller_predictions (import_id);
CREATE INDEX ix_labeller_predictions_question_id ON labeller_predictions (question_id);
CREATE UNIQUE INDEX one_live_prediction ON labeller_predictions (labeller_id, question_id)
    WHERE withdrawn_at IS NULL;

CREATE TABLE labeller_replies (
    sha256 VARCHAR(64) NOT NULL, labeller_id INTEGER NOT NULL, content TEXT NOT NULL, probability {double},
    prompt_tokens INTEGER, completion_tokens INTEGER, cost {double}, created_at {moment} NOT NULL,
    CONSTRAINT pk_labeller_replies PRIMARY KEY (sha256),
    CONSTRAINT ck_labeller_replies_probability_is_a_rate CHECK (probability BETWEEN 0 AND 1),
    CONSTRAINT fk_labeller_replies_labeller_id FOREIGN KEY(labeller_id) REFERENCES labellers (id)
);
CREATE INDEX ix_labeller_replies_labeller_id ON labeller_replies (labeller_id);

CREATE TABLE labeller_answers (
    prediction_id INTEGER NOT NULL, rank INTEGER NOT NULL, text TEXT NOT NULL, passage_id VARCHAR(64),
    start INTEGER, "end" INTEGER, score {double}, fault TEXT,
    CONSTRAINT pk_labeller_answers PRIMARY KEY (prediction_id, rank),
    CONSTRAINT ck_labeller_answers_score_is_a_rate CHECK (score BETWEEN 0 AND 1),
    CONSTRAINT ck_labeller_answers_a_span_or_a_fault CHECK ((passage_id IS NULL) = (fault IS NOT NULL)),
    CONSTRAINT ck_labeller_answers_span CHECK
        ((passage_id IS NULL AND start IS NULL AND "end" IS NULL) OR
        (start IS NOT NULL AND "end" IS NOT NULL AND 0 <= start AND start < "end"
        AND length(text) = "end" - start)),
    CONSTRAINT fk_labeller_answers_prediction_id FOREIGN KEY(prediction_id) REFERENCES labeller_predictions (id),
    CONSTRAINT fk_labeller_answers_passage_id FOREIGN KEY(passage_id) REFERENCES passages (id)
);

CREATE TABLE round_questions (
    round_number INTEGER NOT NULL, question_id VARCHAR(255) NOT NULL, chunk INTEGER NOT NULL,
    sampled BOOLEAN NOT NULL,
    CONSTRAINT pk_round_questions PRIMARY KEY (round_number, question_id),
    CONSTRAINT fk_round_questions_round_number FOREIGN KEY(round_number) REFERENCES rounds (number),
    CONSTRAINT fk_round_questions_question_id FOREIGN KEY(question_id) REFERENCES questions (id)
);

CREATE TABLE tasks (
    id {serial} NOT NULL, round_number INTEGER NOT NULL, question_id VARCHAR(255) NOT NULL,
    kind VARCHAR(16) NOT NULL, blind BOOLEAN NOT NULL, position INTEGER NOT NULL, passages JSON NOT NULL,
    attempt INTEGER NOT NULL, reviewers INTEGER NOT NULL, state VARCHAR(16) NOT NULL, created_at {moment} NOT NULL,
    withdrawn_at {moment}, search TEXT, searched_from INTEGER,
    CONSTRAINT pk_tasks PRIMARY KEY (id),
    CONSTRAINT uq_tasks_round_number_question_id_attempt UNIQUE (round_number, question_id, attempt),
    CONSTRAINT ck_tasks_kind_known CHECK
        (kind IN ('random', 'uncertain', 'suspect', 'control', 'audit', 'double', 'adjudication', 'judgement')),
    CONSTRAINT ck_tasks_state_known CHECK (state IN ('open', 'done', 'skipped', 'withdrawn', 'conflict')),
    CONSTRAINT ck_tasks_one_or_two_reviewers CHECK (reviewers IN (1, 2)),
    CONSTRAINT ck_tasks_words_of_an_attempt CHECK ((search IS NULL) = (searched_from IS NULL)),
    CONSTRAINT fk_tasks_round_number FOREIGN KEY(round_number) REFERENCES rounds (number),
    CONSTRAINT fk_tasks_question_id FOREIGN KEY(question_id) REFERENCES questions (id)
);
CREATE INDEX ix_tasks_question_id ON tasks (question_id);
CREATE INDEX ix_tasks_state ON tasks (state);

CREATE TABLE file_annotations (
    task_id INTEGER NOT NULL, unique_id VARCHAR(64) NOT NULL, reviewer VARCHAR(255) NOT NULL,
    numbered BOOLEAN NOT NULL, updated_at {moment} NOT NULL,
    CONSTRAINT pk_file_annotations PRIMARY KEY (task_id, unique_id),
    CONSTRAINT fk_file_annotations_task_id FOREIGN KEY(task_id) REFERENCES tasks (id)
);

CREATE TABLE prediction_answers (
    prediction_id INTEGER NOT NULL, rank INTEGER NOT NULL, text TEXT NOT NULL, passage_id VARCHAR(64) NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, score {double} NOT NULL, probability {double} NOT NULL,
    CONSTRAINT pk_prediction_answers PRIMARY KEY (prediction_id, rank),
    CONSTRAINT ck_prediction_answers_span CHECK (0 <= start AND start < "end" AND length(text) = "end" - start),
    CONSTRAINT fk_prediction_answers_prediction_id FOREIGN KEY(prediction_id) REFERENCES predictions (id),
    CONSTRAINT fk_prediction_answers_passage_id FOREIGN KEY(passage_id) REFERENCES passages (id)
);

CREATE TABLE reviews (
    id {serial} NOT NULL, task_id INTEGER NOT NULL, reviewer VARCHAR(255) NOT NULL, verdict VARCHAR(16) NOT NULL,
    origin VARCHAR(16), text TEXT, passage_id VARCHAR(64), start INTEGER, "end" INTEGER, seconds {double},
    comment TEXT, search_again TEXT, created_at {moment} NOT NULL, superseded_at {moment}, deleted_at {moment},
    recorded_in INTEGER, source VARCHAR(16),
    CONSTRAINT pk_reviews PRIMARY KEY (id),
    CONSTRAINT ck_reviews_verdict_known CHECK (verdict IN ('answerable', 'no_answer', 'bad_question', 'skipped')),
    CONSTRAINT ck_reviews_source_known CHECK (source IN ('simulated', 'studio', 'file', 'terminal')),
    CONSTRAINT ck_reviews_answer_with_verdict CHECK ((verdict = 'answerable') = (text IS NOT NULL)),
    CONSTRAINT ck_reviews_search_without_an_answer CHECK (search_again IS NULL OR verdict = 'no_answer'),
    CONSTRAINT ck_reviews_answer_whole CHECK
        ((text IS NULL) = (passage_id IS NULL) AND (text IS NULL) = (start IS NULL)
        AND (text IS NULL) = ("end" IS NULL)),
    CONSTRAINT ck_reviews_span CHECK
        (text IS NULL OR (0 <= start AND start < "end" AND length(text) = "end" - start)),
    CONSTRAINT ck_reviews_deleted_is_superseded CHECK (deleted_at IS NULL OR superseded_at IS NOT NULL),
    CONSTRAINT fk_reviews_task_id FOREIGN KEY(task_id) REFERENCES tasks (id),
    CONSTRAINT fk_reviews_passage_id FOREIGN KEY(passage_id) REFERENCES passages (id),
    CONSTRAINT fk_reviews_recorded_in FOREIGN KEY(recorded_in) REFERENCES rounds (number)
);
CREATE UNIQUE INDEX one_current_review ON reviews (task_id, reviewer) WHERE superseded_at IS NULL;

CREATE TABLE certificate_items (
    certificate_id INTEGER NOT NULL, rank INTEGER NOT NULL, question_id VARCHAR(255) NOT NULL, text TEXT NOT NULL,
    passage_id VARCHAR(64) NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, score {double},
    confidence {double}, drawn INTEGER, outcome VARCHAR(16), review_id INTEGER, judgement_id INTEGER,
    CONSTRAINT pk_certificate_items PRIMARY KEY (certificate_id, rank),
    CONSTRAINT uq_certificate_items_certificate_id_question_id UNIQUE (certificate_id, question_id),
    CONSTRAINT ck_certificate_items_span CHECK (0 <= start AND start < "end" AND length(text) = "end" - start),
    CONSTRAINT ck_certificate_items_outcome_known CHECK
        (outcome IN ('equal', 'equivalent', 'different', 'bad_question', 'skipped', 'conflict', 'open')),
    CONSTRAINT ck_certificate_items_only_drawn_items_are_judged CHECK (outcome IS NULL OR drawn IS NOT NULL),
    CONSTRAINT fk_certificate_items_certificate_id FOREIGN KEY(certificate_id) REFERENCES certificates (id),
    CONSTRAINT fk_certificate_items_question_id FOREIGN KEY(question_id) REFERENCES questions (id),
    CONSTRAINT fk_certificate_items_passage_id FOREIGN KEY(passage_id) REFERENCES passages (id),
    CONSTRAINT fk_certificate_items_review_id FOREIGN KEY(review_id) REFERENCES reviews (id),
    CONSTRAINT fk_certificate_items_judgement_id FOREIGN KEY(judgement_id) REFERENCES reviews (id)
);
CREATE INDEX ix_certificate_items_question_id ON certificate_items (question_id);

CREATE TABLE studio_tasks (
    id {serial} NOT NULL, task_id INTEGER NOT NULL, project_id INTEGER NOT NULL, push_id INTEGER NOT NULL,
    remote_id INTEGER, suggested_by INTEGER, deleted_at {moment},
    CONSTRAINT pk_studio_tasks PRIMARY KEY (id),
    CONSTRAINT fk_studio_tasks_task_id FOREIGN KEY(task_id) REFERENCES tasks (id),
    CONSTRAINT fk_studio_tasks_project_id FOREIGN KEY(project_id) REFERENCES studio_projects (id),
    CONSTRAINT fk_studio_tasks_push_id FOREIGN KEY(push_id) REFERENCES studio_pushes (id),
    CONSTRAINT fk_studio_tasks_suggested_by FOREIGN KEY(suggested_by) REFERENCES models (id)
);
CREATE INDEX ix_studio_tasks_push_id ON studio_tasks (push_id);
CREATE INDEX ix_studio_tasks_task_id ON studio_tasks (task_id);
CREATE UNIQUE INDEX one_live_remote ON studio_tasks (project_id, remote_id) WHERE deleted_at IS NULL;

CREATE TABLE labels (
    id {serial} NOT NULL, question_id VARCHAR(255) NOT NULL, question_role VARCHAR(16) NOT NULL,
    kind VARCHAR(16) NOT NULL, no_answer BOOLEAN NOT NULL, passages JSON, texts JSON,
    train_weight {double} NOT NULL, released BOOLEAN NOT NULL, origin VARCHAR(16) NOT NULL, import_id INTEGER,
    round_number INTEGER, written_by INTEGER, review_id INTEGER, model_id INTEGER, labeller_id INTEGER,
    index_fingerprint VARCHAR(64), calibrator_id INTEGER, certificate_id INTEGER,
    confidence {double}, threshold {double}, reviewer VARCHAR(255),
    parent_id INTEGER,
    created_at {moment} NOT NULL, withdrawn_at {moment}, withdrawn_by INTEGER, withdrawal_reason TEXT,
    CONSTRAINT pk_labels PRIMARY KEY (id),
    CONSTRAINT fk_labels_question FOREIGN KEY
        (question_id, question_role) REFERENCES questions (id, role) ON UPDATE CASCADE,
    CONSTRAINT ck_labels_kind_known CHECK (kind IN ('gold', 'human', 'pseudo')),
    CONSTRAINT ck_labels_origin_known CHECK
        (origin IN ('import', 'spare', 'review', 'round', 'manual', 'restored', 'certificate')),
    CONSTRAINT ck_labels_confidence_is_a_rate CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT ck_labels_train_weight_is_a_rate CHECK (train_weight BETWEEN 0 AND 1),
    CONSTRAINT ck_labels_pseudo_only_in_pool CHECK
        (kind <> 'pseudo' OR question_role = 'pool' OR withdrawn_at IS NOT NULL),
    CONSTRAINT ck_labels_held_out_never_trains CHECK
        (question_role IN ('gold', 'pool') OR train_weight = 0 OR withdrawn_at IS NOT NULL),
    CONSTRAINT ck_labels_released_by_a_certificate CHECK
        (kind <> 'pseudo' OR released = (certificate_id IS NOT NULL)),
    CONSTRAINT ck_labels_only_pseudo_is_certified CHECK (kind = 'pseudo' OR certificate_id IS NULL),
    CONSTRAINT ck_labels_no_answer_has_passages CHECK (kind <> 'human' OR NOT no_answer OR passages IS NOT NULL),
    CONSTRAINT ck_labels_pseudo_has_an_answer CHECK (kind <> 'pseudo' OR NOT no_answer),
    CONSTRAINT ck_labels_pseudo_is_traceable CHECK
        (kind <> 'pseudo' OR (round_number IS NOT NULL AND (model_id IS NULL) <> (labeller_id IS NULL))),
    CONSTRAINT ck_labels_gold_is_traceable CHECK (kind <> 'gold' OR import_id IS NOT NULL OR origin = 'manual'),
    CONSTRAINT ck_labels_human_has_a_reviewer CHECK (kind <> 'human' OR reviewer IS NOT NULL),
    CONSTRAINT ck_labels_withdrawn_with_a_reason CHECK ((withdrawn_at IS NULL) = (withdrawal_reason IS NULL)),
    CONSTRAINT ck_labels_withdrawn_by_needs_a_moment CHECK (withdrawn_by IS NULL OR withdrawn_at IS NOT NULL),
    CONSTRAINT fk_labels_import_id FOREIGN KEY(import_id) REFERENCES imports (id),
    CONSTRAINT fk_labels_round_number FOREIGN KEY(round_number) REFERENCES rounds (number),
    CONSTRAINT fk_labels_written_by FOREIGN KEY(written_by) REFERENCES rounds (number),
    CONSTRAINT fk_labels_review_id FOREIGN KEY(review_id) REFERENCES reviews (id),
    CONSTRAINT fk_labels_model_id FOREIGN KEY(model_id) REFERENCES models (id),
    CONSTRAINT fk_labels_labeller_id FOREIGN KEY(labeller_id) REFERENCES labellers (id),
    CONSTRAINT fk_labels_calibrator_id FOREIGN KEY(calibrator_id) REFERENCES calibrators (id),
    CONSTRAINT fk_labels_certificate_id FOREIGN KEY(certificate_id) REFERENCES certificates (id),
    CONSTRAINT fk_labels_parent_id FOREIGN KEY(parent_id) REFERENCES labels (id),
    CONSTRAINT fk_labels_withdrawn_by FOREIGN KEY(withdrawn_by) REFERENCES rounds (number)
);
CREATE INDEX ix_labels_certificate_id ON labels (certificate_id);
CREATE INDEX ix_labels_import_id ON labels (import_id);
CREATE INDEX ix_labels_question_id ON labels (question_id);
CREATE INDEX ix_labels_round_number ON labels (round_number);
CREATE INDEX live_labels ON labels (kind, question_role) WHERE withdrawn_at IS NULL;
CREATE UNIQUE INDEX one_live_label ON labels (question_id) WHERE withdrawn_at IS NULL;

CREATE TABLE studio_annotations (
    id {serial} NOT NULL, studio_task_id INTEGER NOT NULL, remote_id INTEGER NOT NULL,
    updated_at VARCHAR(40) NOT NULL, reviewer VARCHAR(255) NOT NULL, review_id INTEGER, problem TEXT,
    result JSON NOT NULL, deleted_at {moment},
    CONSTRAINT pk_studio_annotations PRIMARY KEY (id),
    CONSTRAINT uq_studio_annotations_studio_task_id_remote_id UNIQUE (studio_task_id, remote_id),
    CONSTRAINT fk_studio_annotations_studio_task_id FOREIGN KEY(studio_task_id) REFERENCES studio_tasks (id),
    CONSTRAINT fk_studio_annotations_review_id FOREIGN KEY(review_id) REFERENCES reviews (id)
);
CREATE INDEX ix_studio_annotations_review_id ON studio_annotations (review_id);

CREATE TABLE events (
    id {serial} NOT NULL, at {moment} NOT NULL, kind VARCHAR(32) NOT NULL, round_number INTEGER,
    question_id VARCHAR(255), label_id INTEGER, detail JSON NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (id),
    CONSTRAINT fk_events_round_number FOREIGN KEY(round_number) REFERENCES rounds (number),
    CONSTRAINT fk_events_question_id FOREIGN KEY(question_id) REFERENCES questions (id),
    CONSTRAINT fk_events_label_id FOREIGN KEY(label_id) REFERENCES labels (id)
);
CREATE INDEX ix_events_question_id ON events (question_id);
CREATE INDEX ix_events_round_number ON events (round_number);

CREATE TABLE import_labels (
    import_id INTEGER NOT NULL, label_id INTEGER NOT NULL,
    CONSTRAINT pk_import_labels PRIMARY KEY (import_id, label_id),
    CONSTRAINT fk_import_labels_import_id FOREIGN KEY(import_id) REFERENCES imports (id),
    CONSTRAINT fk_import_labels_label_id FOREIGN KEY(label_id) REFERENCES labels (id)
);
CREATE INDEX ix_import_labels_label_id ON import_labels (label_id);

CREATE TABLE label_answers (
    label_id INTEGER NOT NULL, ordinal INTEGER NOT NULL, places JSON, text TEXT NOT NULL,
    passage_id VARCHAR(64) NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL,
    CONSTRAINT pk_label_answers PRIMARY KEY (label_id, ordinal),
    CONSTRAINT ck_label_answers_span CHECK (0 <= start AND start < "end" AND length(text) = "end" - start),
    CONSTRAINT fk_label_answers_label_id FOREIGN KEY(label_id) REFERENCES labels (id),
    CONSTRAINT fk_label_answers_passage_id FOREIGN KEY(passage_id) REFERENCES passages (id)
);
CREATE INDEX ix_label_answers_passage_id ON label_answers (passage_id);

CREATE TABLE training_labels (
    round_number INTEGER NOT NULL, label_id INTEGER NOT NULL, weight {double} NOT NULL,
    CONSTRAINT pk_training_labels PRIMARY KEY (round_number, label_id),
    CONSTRAINT ck_training_labels_weight_above_zero CHECK (weight > 0 AND weight <= 1),
    CONSTRAINT fk_training_labels_round_number FOREIGN KEY(round_number) REFERENCES rounds (number),
    CONSTRAINT fk_training_labels_label_id FOREIGN KEY(label_id) REFERENCES labels (id)
);
CREATE INDEX ix_training_labels_label_id ON training_labels (label_id)
"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SCHEMA.format(**(SQLITE if sqlite else POSTGRESQL)).split(";"):
        op.execute(statement)
    for column in () if sqlite else REFERENCES:
        op.create_foreign_key(f"fk_rounds_{column}", "rounds", "models", [column], ["id"])
