"""Dev scores during a training, for early stopping."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mrc.metrics import score
from mrc.read.model.network import SpanModel
from mrc.read.model.reader import Reader, normalizer
from mrc.read.predict.groups import Group
from mrc.read.train.job import Job
from mrc.text import passage_id
from mrc.types import Passage


@dataclass(frozen=True, slots=True)
class DevScore:
    """Exact match and F1 on dev, 0-1, after `step` updates."""

    step: int
    exact_match: float
    f1: float

    def is_beaten_by(self, other: DevScore) -> bool:
        """Whether the other has a higher exact match, or an equal one and a higher F1."""
        return (other.exact_match, other.f1) > (self.exact_match, self.f1)


def dev_score(model: SpanModel, tokenizer: Any, job: Job, *, step: int, device: torch.device, bf16: bool) -> DevScore:
    """The score after `step` updates, each question read in its own passage. May leave the model in evaluation mode.

    It reads as the finished reader will: with `bf16`, a copy of the encoder computes in bfloat16. Where some question
    has no answer, the reader may abstain.
    """
    if bf16:
        model = copy.deepcopy(model)
        model.encoder.to(torch.bfloat16)
    reader = Reader(model, tokenizer, device=device)
    groups = [Group(each.question, (Passage(passage_id(each.context), each.context),)) for each in job.dev]
    abstains = any(not each.answers for each in job.dev)
    scores = []
    answers = reader.read(groups, config=job.config.reading, normalize=normalizer(job.metric))
    for each, found in zip(job.dev, answers, strict=True):
        answer = found.answers[0] if found.answers else None
        abstained = answer is None or (abstains and found.null_score > answer.score)
        scores.append(score("" if abstained or answer is None else answer.text, each.answers, job.metric))
    exact, f1 = (float(np.mean([getattr(each, name) for each in scores])) for name in ("exact_match", "f1"))
    return DevScore(step, exact, f1)
