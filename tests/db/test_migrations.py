"""Migrations: an empty database comes to equal the models, a filled older one keeps its rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine
from sqlalchemy.schema import CreateIndex, CreateTable

import db.migrations
from db import queries, schema, store
from db.engine import REVISIONS, Database
from db.errors import SchemaTooNew
from db.models import Base
from tests.db.conftest import human

FROZEN = Path(__file__).parent / "schema_0001.sql"


def described(connected: Engine) -> dict[str, Any]:
    """All that the database's catalogue says of each table, in an order of its own."""
    inspector = inspect(connected)
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
                (i["name"], i["column_names"], i["unique"], str(i.get("dialect_options", {}).get("sqlite_where")))
                for i in inspector.get_indexes(table)
            ),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_an_empty_database_upgraded_to_head_equals_the_models(tmp_path: Path) -> None:
    database = Database(tmp_path / "new.sqlite")
    schema.upgrade(database)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    made = create_engine(f"sqlite:///{tmp_path / 'models.sqlite'}")
    Base.metadata.create_all(made)
    assert described(database.engine) == described(made)
    made.dispose()
    database.close()


def test_every_migration_is_known_by_its_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(db.migrations.__file__).parent))
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(scripts)) == REVISIONS


def test_a_filled_database_of_the_first_schema_upgrades_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FROZEN.read_text("utf-8"))
    database = Database(path)
    assert schema.upgrade(database).revision == REVISIONS[-1]
    database.check_schema()
    with database.read() as session:
        assert queries.counts(session).labels == {"gold": 1, "human": 0, "pseudo": 1}
        assert [row.answers[0].text for row in queries.live_labels(session)] == ["Bob", "Ada"]
        assert [event.kind for event in queries.history(session, "a")] == ["import", "prediction", "label"]
    with database.write() as session:
        store.withdraw_label(session, "a", reviewer="kim", why="wrong")
    database.close()


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    before = described(database.engine)
    assert schema.upgrade(database) == schema.status(database)
    assert described(database.engine) == before


def test_a_database_of_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refused in (database.check_schema, lambda: schema.upgrade(database)):
        with pytest.raises(SchemaTooNew, match=r"schema 9999, newer than .*: install the newer version"):
            refused()
    assert schema.status(database).revision == "9999"


def test_a_migration_that_fails_leaves_no_table_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(tmp_path / "new.sqlite")

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("after the tables were made")

    monkeypatch.setattr(schema, "_check_foreign_keys", fail)
    with pytest.raises(RuntimeError):
        schema.upgrade(database)
    assert inspect(database.engine).get_table_names() == []
    database.close()


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


def test_the_schema_compiles_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in Base.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))
    assert "WHERE withdrawn_at IS NULL" in str(
        CreateIndex(next(i for i in Base.metadata.tables["labels"].indexes if i.name == "one_live_label")).compile(
            dialect=dialect
        )
    )
