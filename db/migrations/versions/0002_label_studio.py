"""Label Studio: projects, pushes, tasks there and annotations; tasks for two reviewers; reviews taken back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LIVE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("reviewers", sa.Integer(), nullable=False, server_default="1"))
        tasks.add_column(sa.Column("withdrawn_at", sa.DateTime(), nullable=True))
        tasks.create_check_constraint(op.f("ck_tasks_one_or_two_reviewers"), "reviewers IN (1, 2)")
    op.execute("UPDATE tasks SET withdrawn_at = created_at WHERE state = 'withdrawn'")
    with op.batch_alter_table("reviews") as reviews:
        reviews.add_column(sa.Column("deleted_at", sa.DateTime(), nullable=True))
        reviews.add_column(sa.Column("source", sa.String(length=16), nullable=True))
        reviews.create_check_constraint(
            op.f("ck_reviews_deleted_is_superseded"), "deleted_at IS NULL OR superseded_at IS NOT NULL"
        )
        reviews.create_check_constraint(
            op.f("ck_reviews_source_known"), "source IN ('simulated', 'studio', 'file', 'terminal')"
        )
    _projects()
    _pushes()
    _tasks()
    _annotations()
    _filed()


def _projects() -> None:
    op.create_table(
        "studio_projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("remote_id", sa.Integer(), nullable=True),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("passage_slots", sa.Integer(), nullable=False),
        sa.Column("reviewers", sa.Integer(), nullable=False),
        sa.Column("page_sha256", sa.String(length=64), nullable=False),
        sa.Column("cursor", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studio_projects")),
        sa.UniqueConstraint("uid", name=op.f("uq_studio_projects_uid")),
    )
    op.create_index(
        "one_live_project",
        "studio_projects",
        ["url", "blind", "passage_slots", "reviewers"],
        unique=True,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )


def _pushes() -> None:
    op.create_table(
        "studio_pushes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("push_id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studio_pushes")),
        sa.ForeignKeyConstraint(["project_id"], ["studio_projects.id"], name=op.f("fk_studio_pushes_project_id")),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_studio_pushes_round_number")),
        sa.UniqueConstraint("push_id", name=op.f("uq_studio_pushes_push_id")),
    )


def _tasks() -> None:
    op.create_table(
        "studio_tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("push_id", sa.Integer(), nullable=False),
        sa.Column("remote_id", sa.Integer(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studio_tasks")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_studio_tasks_task_id")),
        sa.ForeignKeyConstraint(["project_id"], ["studio_projects.id"], name=op.f("fk_studio_tasks_project_id")),
        sa.ForeignKeyConstraint(["push_id"], ["studio_pushes.id"], name=op.f("fk_studio_tasks_push_id")),
    )
    op.create_index(op.f("ix_studio_tasks_task_id"), "studio_tasks", ["task_id"], unique=False)
    op.create_index(op.f("ix_studio_tasks_push_id"), "studio_tasks", ["push_id"], unique=False)
    op.create_index(
        "one_live_remote",
        "studio_tasks",
        ["project_id", "remote_id"],
        unique=True,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )


def _annotations() -> None:
    op.create_table(
        "studio_annotations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("studio_task_id", sa.Integer(), nullable=False),
        sa.Column("remote_id", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=False),
        sa.Column("reviewer", sa.String(length=255), nullable=False),
        sa.Column("review_id", sa.Integer(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studio_annotations")),
        sa.ForeignKeyConstraint(
            ["studio_task_id"], ["studio_tasks.id"], name=op.f("fk_studio_annotations_studio_task_id")
        ),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name=op.f("fk_studio_annotations_review_id")),
        sa.UniqueConstraint("studio_task_id", "remote_id", name=op.f("uq_studio_annotations_studio_task_id_remote_id")),
    )
    op.create_index(op.f("ix_studio_annotations_review_id"), "studio_annotations", ["review_id"], unique=False)


def _filed() -> None:
    op.create_table(
        "file_annotations",
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("unique_id", sa.String(length=64), nullable=False),
        sa.Column("reviewer", sa.String(length=255), nullable=False),
        sa.Column("numbered", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "unique_id", name=op.f("pk_file_annotations")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_file_annotations_task_id")),
    )
