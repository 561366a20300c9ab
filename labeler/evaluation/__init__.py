"""Evaluation: retrieval, the reader on the gold passage, both end to end, and the precision of pseudo-labels."""
