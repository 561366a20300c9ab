"""Migrations make exactly the tables of `db.tables`, whole or not at all, and touch no unknown database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.engine import Engine

import db.migrations
from db import queries, schema, store
from db.engine import REVISIONS, Database
from db.errors import UnknownSchema
from db.tables import METADATA
from tests.db.conftest import Backend, human


def described(connected: Engine) -> dict[str, Any]:
    """Columns, constraints and indexes of each table as the database's catalogue lists them, sorted."""
    inspector, kind = inspect(connected), connected.dialect.name
    return {
        table: {
            "columns": {c["name"]: (str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)},
            "primary": inspector.get_pk_constraint(table)["constrained_columns"],
            "checks": sorted(
                (c["name"], " ".join(c["sqltext"].split())) for c in inspector.get_check_constraints(table)
            ),
            "uniques": sorted((u["name"], u["column_names"]) for u in inspector.get_unique_constraints(table)),
            "foreign": sorted(
                (f["name"], f["constrained_columns"], f["referred_table"], f["referred_columns"], str(f["options"]))
                for f in inspector.get_foreign_keys(table)
            ),
            "indexes": sorted(
                (i["name"], i["column_names"], i["unique"], str(i["dialect_options"].get(f"{kind}_where")))
                for i in inspector.get_indexes(table)
            ),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_an_upgraded_empty_database_has_exactly_the_defined_tables(backend: Backend) -> None:
    database, made = backend.empty(), backend.empty()
    schema.upgrade(database)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    METADATA.create_all(made.engine)
    assert described(database.engine) == described(made.engine)


def test_every_migration_has_a_known_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(db.migrations.__file__).parent))
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(scripts)) == REVISIONS


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    before = described(database.engine)
    assert schema.upgrade(database) == schema.status(database)
    assert described(database.engine) == before


@pytest.mark.parametrize("revision", ["0003", "9999"])
def test_a_database_of_an_unknown_schema_is_refused_and_left_alone(database: Database, revision: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    for refused in (database.check_schema, lambda: schema.upgrade(database)):
        with pytest.raises(UnknownSchema, match=f"has schema {revision}, unknown .*: use the version that wrote it"):
            refused()
    assert schema.status(database).revision == revision


def test_a_migration_that_fails_leaves_no_table_behind(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    database = backend.empty()
    upgrade = command.upgrade

    def upgrade_and_fail(config: Config, to: str) -> None:
        upgrade(config, to)
        raise RuntimeError("after the tables were made")

    monkeypatch.setattr(command, "upgrade", upgrade_and_fail)
    with pytest.raises(RuntimeError):
        schema.upgrade(database)
    assert inspect(database.engine).get_table_names() == []


def test_ddl_in_a_write_that_fails_is_rolled_back(database: Database) -> None:
    def make_a_table_and_fail() -> None:
        with database.write() as session:
            session.execute(text("CREATE TABLE stray (id INTEGER)"))
            store.set_label(session, "a", human("a").answers, reviewer="kim")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError):
        make_a_table_and_fail()
    assert "stray" not in inspect(database.engine).get_table_names()
    with database.read() as session:
        assert queries.live_labels(session, question_ids=["a"]) == []
