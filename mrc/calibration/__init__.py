"""Scores become confidences: calibrators and selective-prediction measures."""
