"""The published SQuAD and KorQuAD scoring rules, written a second time for comparison."""

from __future__ import annotations

import re
import string
from collections import Counter

from mrc.metrics import Metric


class Published:
    """The rules of the official scripts, step by step, sharing no code with the package."""

    @staticmethod
    def squad(text: str) -> str:
        kept = [character for character in text.lower() if character not in set(string.punctuation)]
        without_articles = re.sub(r"\b(?:a|an|the)\b", " ", "".join(kept))
        return " ".join(without_articles.split())

    @staticmethod
    def korquad(text: str) -> str:
        for symbol in ["'", '"', "《", "》", "<", ">", "〈", "〉", "(", ")", "‘", "’"]:
            text = " ".join(text.split(symbol))
        kept = [character for character in text.lower() if character not in set(string.punctuation)]
        return " ".join("".join(kept).split())

    @classmethod
    def f1(cls, prediction: str, gold: str, metric: Metric) -> float:
        if metric == "korquad":
            left, right = list(cls.korquad(prediction).replace(" ", "")), list(cls.korquad(gold).replace(" ", ""))
        else:
            left, right = cls.squad(prediction).split(), cls.squad(gold).split()
        if metric == "squad_v2" and (not left or not right):
            return float(left == right)
        same = sum(min(count, Counter(right)[unit]) for unit, count in Counter(left).items())
        return 2 * same / (len(left) + len(right)) if same else 0.0

    @classmethod
    def score(cls, prediction: str, golds: list[str], metric: Metric) -> tuple[float, float]:
        form = cls.korquad if metric == "korquad" else cls.squad
        if metric == "squad_v2":
            golds = [gold for gold in golds if form(gold)] or [""]
        matches = [float(form(prediction) == form(gold)) for gold in golds]
        return max(matches), max(cls.f1(prediction, gold, metric) for gold in golds)
