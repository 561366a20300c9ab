"""Writes of labellers and of what they answered. Reads are in `db.queries.labeller_answers`."""

from db.labellers.writes import add_predictions, add_replies, check, check_kind, ensure
