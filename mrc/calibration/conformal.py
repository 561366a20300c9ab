"""Conformal selection with the Benjamini-Hochberg procedure: what certificates are compared with.

It bounds the expected share of wrong answers among the selected ones, over the draws of the judged questions; a single
draw may select a set with more of them.
Source: Jin & Candès 2023, "Selection by prediction with conformal p-values"; Benjamini & Hochberg 1995.
"""

from __future__ import annotations

import numpy as np

from mrc.calibration.selective import Bools, Floats


def conformal_selection(confidence: Floats, judged: Floats, right: Bools, *, target: float) -> int:
    """How many of the most confident answers are selected so that a share `target` of them is right on average.

    Args:
        confidence: (N,) of the answers to select from.
        judged: (M,) confidences of judged answers.
        right: (M,) whether these are right.
        target: 1 - target is the level of the procedure.
    """
    wrong = np.sort(judged[~right])
    ordered = np.sort(confidence)[::-1]
    above = len(wrong) - np.searchsorted(wrong, ordered, side="left")
    p_values = (1 + above) / (len(judged) + 1)
    passing = np.flatnonzero(p_values <= (1 - target) * np.arange(1, len(ordered) + 1) / max(len(ordered), 1))
    return int(passing[-1]) + 1 if len(passing) else 0
