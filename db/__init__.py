"""What is stored: models, migrations, reads (`db.queries`) and writes (`db.store`). Knows neither mrc nor labeler."""
