"""Labellers: named sources of answers from outside, files of predictions and language models."""
