"""The evaluation scripts of SQuAD 1.1, SQuAD 2.0 and KorQuAD 1.0, written again from their published algorithms.

Each takes the data of a file and a mapping from ids to answers, as the scripts do, and gives EM and F1, 0-1. They share
no code with the package. The scripts of SQuAD 1.1 and KorQuAD stop at a question with an empty list of answers; here no
answer to it is right.
"""

from __future__ import annotations

import collections
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Data = Sequence[Mapping[str, Any]]
PUNCTUATION = set(string.punctuation)


def white_space_fix(text: str) -> str:
    return " ".join(text.split())


def remove_articles(text: str) -> str:
    return re.sub(r"\b(a|an|the)\b", " ", text, flags=re.UNICODE)


def remove_punctuation(text: str) -> str:
    return "".join(character for character in text if character not in PUNCTUATION)


def squad_form(text: str) -> str:
    return white_space_fix(remove_articles(remove_punctuation(text.lower())))


def korquad_form(text: str) -> str:
    for mark in "'\"《》<>〈〉()‘’":
        text = text.replace(mark, " ")
    return white_space_fix(remove_punctuation(text.lower()))


def overlap(predicted: Sequence[str], truth: Sequence[str]) -> float:
    """F1 over units, as SQuAD 1.1 and KorQuAD compute it."""
    common = collections.Counter(predicted) & collections.Counter(truth)
    same = sum(common.values())
    if same == 0:
        return 0.0
    precision, recall = 1.0 * same / len(predicted), 1.0 * same / len(truth)
    return (2 * precision * recall) / (precision + recall)


def korquad_characters(text: str) -> list[str]:
    found: list[str] = []
    for word in korquad_form(text).split():
        found.extend(word)
    return found


def squad_2_f1(truth: str, predicted: str) -> float:
    gold_words, predicted_words = squad_form(truth).split(), squad_form(predicted).split()
    if len(gold_words) == 0 or len(predicted_words) == 0:
        return float(gold_words == predicted_words)
    return overlap(predicted_words, gold_words)


def questions(data: Data) -> list[Mapping[str, Any]]:
    return [qa for article in data for paragraph in article["paragraphs"] for qa in paragraph["qas"]]


def _first_version(
    data: Data, predictions: Mapping[str, str], form: Callable[[str], str], units: Callable[[str], Sequence[str]]
) -> tuple[float, float]:
    exact = f1 = 0.0
    total = 0
    for qa in questions(data):
        total += 1
        if str(qa["id"]) not in predictions:
            continue  # "unanswered question will receive score 0"
        predicted = predictions[str(qa["id"])]
        truths = [answer["text"] for answer in qa["answers"]]
        exact += max([float(form(predicted) == form(truth)) for truth in truths], default=0.0)
        f1 += max([overlap(units(predicted), units(truth)) for truth in truths], default=0.0)
    return exact / total, f1 / total


def squad(data: Data, predictions: Mapping[str, str]) -> tuple[float, float]:
    """evaluate-v1.1.py."""
    return _first_version(data, predictions, squad_form, lambda text: squad_form(text).split())


def korquad(data: Data, predictions: Mapping[str, str]) -> tuple[float, float]:
    """evaluate-v1.0.py of KorQuAD: characters instead of words."""
    return _first_version(data, predictions, korquad_form, korquad_characters)


def squad_v2(data: Data, predictions: Mapping[str, str]) -> tuple[float, float]:
    """evaluate-v2.0.py without probabilities of "no answer"."""
    exact_scores: dict[str, float] = {}
    f1_scores: dict[str, float] = {}
    for qa in questions(data):
        id_ = str(qa["id"])
        truths = [answer["text"] for answer in qa["answers"] if squad_form(answer["text"])]
        if not truths:
            truths = [""]  # for unanswerable questions the only correct answer is the empty string
        if id_ not in predictions:
            continue
        predicted = predictions[id_]
        exact_scores[id_] = max(float(squad_form(truth) == squad_form(predicted)) for truth in truths)
        f1_scores[id_] = max(squad_2_f1(truth, predicted) for truth in truths)
    total = len(exact_scores)
    return sum(exact_scores.values()) / total, sum(f1_scores.values()) / total
