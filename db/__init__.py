"""Storage: tables, rows, migrations, reads (`db.queries`) and writes (`db.store`). Imports neither mrc nor labeler."""
