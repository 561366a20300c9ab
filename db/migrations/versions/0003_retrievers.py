"""Retrievers: encoders of passages trained in rounds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retrievers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("training_sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("examples", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("encoder_before", sa.Text(), nullable=True),
        sa.Column("index_before", sa.String(length=64), nullable=True),
        sa.Column("index_after", sa.String(length=64), nullable=True),
        sa.Column("gate", sa.JSON(), nullable=True),
        sa.Column("promoted", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("pruned_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retrievers")),
        sa.ForeignKeyConstraint(["round_number"], ["rounds.number"], name=op.f("fk_retrievers_round_number")),
        sa.UniqueConstraint("round_number", name=op.f("uq_retrievers_round_number")),
        sa.CheckConstraint("(promoted IS NULL) = (gate IS NULL)", name=op.f("ck_retrievers_judged_with_numbers")),
        sa.CheckConstraint(
            "promoted IS NULL OR NOT promoted OR index_after IS NOT NULL",
            name=op.f("ck_retrievers_promoted_has_an_index"),
        ),
    )
    op.create_index(op.f("ix_retrievers_hash"), "retrievers", ["hash"], unique=False)
