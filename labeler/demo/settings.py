"""Sizes and settings of the demonstration, chosen on seeds 0-4 so that three rounds take minutes on two cores."""

from __future__ import annotations

from typing import Any

DOCUMENTS = 840
DIVISION = "gold=150,dev=200,test=500,pool=rest"


def settings(language: str, seed: int) -> dict[tuple[str, str], Any]:
    """What differs from the defaults, by (section, key)."""
    return {
        ("index", "analyzer"): "english" if language == "en" else "bigram",
        ("read", "top_k"): 3,
        ("read", "max_seq_length"): 192,
        ("read", "doc_stride"): 64,
        ("train", "max_seq_length"): 192,
        ("train", "doc_stride"): 64,
        ("train", "max_steps"): 300,
        ("train", "learning_rate"): 1e-3,
        ("train", "head_learning_rate"): 1e-3,
        ("review", "review_budget"): 60,
        ("round", "seed"): seed,
    }
