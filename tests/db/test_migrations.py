"""Migrations: an empty database comes to equal the models, a filled older one keeps its rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Integer, MetaData, inspect, text
from sqlalchemy.engine import Engine

import db.migrations
from db import queries, schema, store
from db.engine import REVISIONS, Database
from db.errors import SchemaTooNew
from db.models import Base
from tests.db.conftest import Backend, human

FROZEN = Path(__file__).parent  # schema_REVISION.sql: a filled database of each older schema


def described(connected: Engine) -> dict[str, Any]:
    """All that the database's catalogue says of each table, in an order of its own."""
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


def test_an_empty_database_upgraded_to_head_equals_the_models(backend: Backend) -> None:
    database, made = backend.empty(), backend.empty()
    schema.upgrade(database)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    Base.metadata.create_all(made.engine)
    assert described(database.engine) == described(made.engine)


def test_every_migration_is_known_by_its_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(db.migrations.__file__).parent))
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(scripts)) == REVISIONS


def frozen(backend: Backend, folder: Path, revision: str) -> Database:
    """A filled database of an older schema. On a server its rows are those of the frozen file."""
    old = Database(folder / "frozen.sqlite")
    with closing(sqlite3.connect(folder / "frozen.sqlite")) as connection:
        connection.executescript((FROZEN / f"schema_{revision}.sql").read_text("utf-8"))
    if backend.kind == "sqlite":
        return old
    database = backend.empty()
    schema.upgrade(database, to=revision)
    tables, rows = MetaData(), {}
    tables.reflect(old.engine)
    with old.engine.connect() as source:
        rows = {name: source.execute(table.select()).mappings().all() for name, table in tables.tables.items()}
    old.close()
    with database.engine.begin() as target:
        target.execute(text("SET LOCAL session_replication_role = replica"))  # rows refer to each other in circles
        for name, found in rows.items():
            if found and name != "alembic_version":
                target.execute(tables.tables[name].insert(), [dict(row) for row in found])
            if "id" in tables.tables[name].c and isinstance(tables.tables[name].c["id"].type, Integer):
                target.execute(text(f"SELECT setval('{name}_id_seq', max(id)) FROM {name}"))
    return database


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_a_filled_database_of_an_older_schema_upgrades_and_keeps_its_rows(
    backend: Backend, tmp_path: Path, revision: str
) -> None:
    database = frozen(backend, tmp_path, revision)
    assert schema.upgrade(database).revision == REVISIONS[-1]
    database.check_schema()
    with database.read() as session:
        assert queries.counts(session).labels == {"gold": 1, "human": 0, "pseudo": 1}
        assert [row.answers[0].text for row in queries.live_labels(session)] == ["Bob", "Ada"]
        kinds = [event.kind for event in queries.history(session, "a")]
        assert kinds == ["import", "prediction", "label", *(["task", "review"] if revision > "0001" else [])]
        assert [(row.number, row.stage) for row in queries.rounds(session)] == [(0, "closed"), (1, "open")]
        assert queries.retrievers(session) == []
    with database.write() as session:
        store.withdraw_label(session, "a", reviewer="kim", reason="wrong")
    database.close()


def test_tasks_reviews_and_what_stands_on_a_server_outlive_the_schema_that_knew_no_retrievers(
    backend: Backend, tmp_path: Path
) -> None:
    database = frozen(backend, tmp_path, "0002")
    schema.upgrade(database)
    with database.read() as session:
        assert [(task.reviewers, task.passages) for task in queries.tasks(session)] == [(2, ("p0",))]
        assert [(review.verdict, review.source) for review in queries.reviews(session)] == [("no_answer", "studio")]
        assert [row.remote_id for row in queries.live_tasks(session, 1)] == [70]
        assert queries.get_meta(session, "index_dense") == "hub/encoder"
    with database.write() as session:
        store.add_retriever(
            session,
            1,
            hash="h",
            training_sha256="t",
            path="models/retriever-1",
            start="hub/encoder",
            config={},
            examples=1,
            seconds=1.0,
            loss=None,
        )
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
