"""Tables of imports, documents, passages, questions and hidden answers."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from db.tables.columns import (
    HASH,
    JSON_VALUE,
    METADATA,
    QUESTION_ID,
    WORD,
    Moment,
    created_at,
    index_where,
    key,
    one_of,
    optional,
    required,
    span_check,
    span_columns,
)
from db.vocabulary import ROLES

# Facts about the workspace as a whole: split_by, language, metric, index, corpus (see `db.queries.corpus_state`).
META = Table("meta", METADATA, key("key", String(64)), required("value", Text))

# One imported file or folder; the rows it brought are in import_passages, import_questions and import_labels.
IMPORTS = Table(
    "imports",
    METADATA,
    key("id", Integer),
    required("path", Text),
    required("sha256", HASH),  # of the content read and of the options
    required("role", WORD),  # corpus, a question role, or "split"
    required("format", WORD),
    required("options", JSON_VALUE),
    required("counts", JSON_VALUE),  # passages, questions, labels, duplicates, rejected
    created_at(),
    optional("undone_at", Moment),
)

# An article. Splits by document and bootstrap intervals group by it.
DOCUMENTS = Table(
    "documents",
    METADATA,
    key("id", HASH),  # of the title, or of the untitled text
    required("title", Text),
)

# A paragraph, stored unaltered.
PASSAGES = Table(
    "passages",
    METADATA,
    key("id", HASH),  # of the exact text
    required("document_id", ForeignKey("documents.id"), index=True),
    required("position", Integer),  # in its document, from 0
    optional("title", Text),  # where it is spelled otherwise than that of its document
    required("text", Text),
    required("identity", HASH, index=True),  # shared by texts that differ in spacing, case or the like alone
    required("active", Boolean, default=True),  # False once every import that brought it is undone
    index_where("inactive_passages", "document_id", condition="NOT active"),
)

# A question and its role in the split.
QUESTIONS = Table(
    "questions",
    METADATA,
    key("id", QUESTION_ID),  # the file's id, else hash(question, context)
    required("text", Text),
    required("normalized", HASH, index=True),  # of the normalised text
    required("role", WORD),
    required("imported_role", WORD),  # before anything was held out
    required("split_group", HASH, index=True),  # questions and passages of one group stay on one side of a split
    optional("context_id", ForeignKey("passages.id"), index=True),
    optional("is_impossible", Boolean),  # only where a file gave the context
    optional("duplicate_of", ForeignKey("questions.id")),
    optional("exclusion_reason", Text),  # set: no model labels it again (withdrawn by hand, or a bad question)
    required("active", Boolean, default=True),
    one_of("role", ROLES),
    Index(None, "role", "active"),  # counts need no row
    index_where("inactive_questions", "id", condition="NOT active"),
    index_where("duplicate_questions", "duplicate_of", condition="duplicate_of IS NOT NULL"),
    UniqueConstraint("id", "role"),  # the target of the composite foreign key of labels
    CheckConstraint("is_impossible IS NULL OR context_id IS NOT NULL", name="impossible_needs_context"),
    CheckConstraint("role <> 'pool' OR is_impossible IS NULL", name="pool_hides_impossible"),
)

IMPORT_PASSAGES = Table(
    "import_passages",
    METADATA,
    key("import_id", ForeignKey("imports.id")),
    key("passage_id", ForeignKey("passages.id"), index=True),
)

IMPORT_QUESTIONS = Table(
    "import_questions",
    METADATA,
    key("import_id", ForeignKey("imports.id")),
    key("question_id", ForeignKey("questions.id"), index=True),
    required("role", WORD),  # under which the import brought it; an import with a split plan brings several
)

# A gold label and an import that brought it; the label is withdrawn when the last of them is undone.
IMPORT_LABELS = Table(
    "import_labels",
    METADATA,
    key("import_id", ForeignKey("imports.id")),
    key("label_id", ForeignKey("labels.id"), index=True),
)

# A question of a labelled pool. Whether its file called it impossible is as hidden as its answers.
HIDDEN_QUESTIONS = Table(
    "hidden_questions",
    METADATA,
    key("question_id", ForeignKey("questions.id")),
    required("is_impossible", Boolean),
)

# Answers of a labelled pool, for the simulated reviewer, pseudo_precision and replay only.
HIDDEN_ANSWERS = Table(
    "hidden_answers",
    METADATA,
    key("id", Integer),
    required("question_id", ForeignKey("questions.id"), index=True),
    *span_columns(),
    UniqueConstraint("question_id", "passage_id", "start", "end"),
    span_check(),
)
