"""Sizes and settings of the demo, chosen on seeds 0-4 so that three rounds take minutes on two cores."""

from __future__ import annotations

from typing import Any

DOCUMENTS = 2000
REVIEW_BUDGET_BY_HAND = 12  # questions a round that a person reviews: a few minutes
SPLIT = "gold=700,calibration=150,dev=150,test=600,pool=rest"


def settings(language: str, seed: int) -> dict[tuple[str, str], Any]:
    """The settings that differ from the defaults, by (section, key)."""
    return {
        ("index", "analyzer"): "english" if language == "en" else "bigram",
        ("read", "top_k"): 3,
        ("read", "max_seq_length"): 192,
        ("read", "doc_stride"): 64,
        ("builtin", "layers"): 2,
        ("builtin", "hidden_size"): 96,
        ("builtin", "positions"): 192,
        ("train", "max_steps"): 600,
        ("train", "learning_rate"): 2e-3,
        ("train", "head_learning_rate"): 2e-3,
        ("train", "human_labelled_share"): 0.5,
        ("review", "min_train_confidence"): 0.5,
        ("review", "review_budget"): 60,
        ("round", "seed"): seed,
    }
