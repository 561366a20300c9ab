"""Re-ranking by a cross-encoder."""
