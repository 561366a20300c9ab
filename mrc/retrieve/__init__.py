"""Retrieval: the passages that may hold the answer to a question, best first."""
