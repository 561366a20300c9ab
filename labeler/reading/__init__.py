"""Retrieve and read: the one place that rounds, evaluation and answers on demand share."""
