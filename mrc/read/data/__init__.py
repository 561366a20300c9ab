"""Examples as tokens, windows and batches."""
