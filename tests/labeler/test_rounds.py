"""Rounds on a miniature world: what is labelled, promoted, refused, reverted, and that nothing leaks."""
