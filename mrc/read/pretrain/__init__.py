"""Pretraining on passages without labels."""
