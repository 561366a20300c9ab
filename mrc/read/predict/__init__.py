"""Answers from windows: forward passes, span candidates, early exit."""
