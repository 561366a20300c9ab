"""Runs the migrations on the connection that `db.schema.upgrade` hands over, inside its transaction."""

from alembic import context

from db.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters by rebuilding
    transactional_ddl=True,  # db.engine emits BEGIN itself, so that SQLite rolls DDL back too
)
with context.begin_transaction():
    context.run_migrations()
