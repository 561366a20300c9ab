"""Leaks: questions, passages and documents that stand, or nearly stand, on two sides of the split."""
