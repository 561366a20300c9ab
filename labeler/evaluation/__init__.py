"""Evaluation: end to end, of retrieval, and of the precision of pseudo-labels."""
