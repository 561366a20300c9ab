"""Teachers' probabilities for the examples of a training, computed once and stored until it ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from zipfile import BadZipFile

import numpy as np

from mrc.files import sync
from mrc.read.train_config import PassageTarget, SoftTarget, TrainConfig, TrainingExample

if TYPE_CHECKING:
    from mrc.read.model.reader import Reader
    from mrc.read.predict.groups import Group
    from mrc.voting import CharProbs

TARGETS_FILE: Final = "targets.npz"
log = logging.getLogger(__name__)


class StoredTeacher(Protocol):
    """Stored answers to learn from."""

    @property
    def fingerprint(self) -> str: ...

    def char_probs(self, groups: Sequence[Group], *, temperature: float = 1.0) -> list[list[CharProbs] | None]:
        """As `mrc.read.predict.char_probs.StoredVoter`."""
        ...


Teacher: TypeAlias = "Reader | StoredTeacher"


def distilled_numbers(examples: Sequence[TrainingExample], *, human_labelled: bool) -> list[int]:
    """The numbers of the examples that teachers read: all, or only the pseudo-labelled ones."""
    return [number for number, example in enumerate(examples) if human_labelled or not example.human_labelled]


def teacher_probs(
    teachers: Sequence[Teacher],
    examples: Sequence[TrainingExample],
    config: TrainConfig,
    *,
    human_labelled: bool,
    teacher_of: Mapping[str, int],
    partial: Path,
    fingerprint: str,
) -> list[SoftTarget | None]:
    """The soft target of each example, None where teachers do not read it; stored in `partial` for resuming.

    `teacher_of`: see `mrc.read.train.trainer.train`.
    """
    found: list[SoftTarget | None] = [None] * len(examples)
    numbers = distilled_numbers(examples, human_labelled=human_labelled)
    targets = read_targets(partial / TARGETS_FILE, fingerprint)
    if targets is None:
        targets = _targets(teachers, [examples[number] for number in numbers], config, teacher_of)
        partial.mkdir(parents=True, exist_ok=True)
        if targets and not any(targets):
            log.warning("the teachers have answered no example: this reader trains on labels alone")
        write_targets(partial / TARGETS_FILE, targets, fingerprint)
    for number, target in zip(numbers, targets, strict=True):
        found[number] = target
    return found


def _targets(
    teachers: Sequence[Teacher], examples: Sequence[TrainingExample], config: TrainConfig, teacher_of: Mapping[str, int]
) -> list[SoftTarget | None]:
    """The targets of the examples, in order: by the teacher that reads each, or the mean of all."""
    from mrc.read.train.teacher import soft_targets

    own = [teacher_of.get(example.id) for example in examples]
    found: dict[int, SoftTarget | None] = {}
    for number in sorted(set(own), key=lambda number: -1 if number is None else number):
        members = teachers if number is None else [teachers[number]]
        places = [place for place, each in enumerate(own) if each == number]
        chosen = [examples[place] for place in places]
        targets = soft_targets(members, chosen, config=config.reading, temperature=config.distill_temperature)
        found |= zip(places, targets, strict=True)
    return [found[place] for place in range(len(examples))]


def write_targets(path: Path, targets: Sequence[SoftTarget | None], fingerprint: str) -> None:
    """Write the file atomically; of no target the number of passages is -1."""
    passages = [passage for target in targets if target is not None for passage in target.passages]
    draft = path.with_suffix(".draft.npz")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(passage, name) for passage in passages] or [np.zeros(0)])
        for name in ("starts", "start_mass", "ends", "end_mass")
    }
    counts = [[len(passage.starts), len(passage.ends)] for passage in passages]
    np.savez(
        draft,
        fingerprint=np.array(fingerprint),
        passages=np.array([len(target.passages) if target is not None else -1 for target in targets], dtype=np.int64),
        counts=np.array(counts, dtype=np.int64).reshape(-1, 2),
        null=np.array([[passage.null_start, passage.null_end] for passage in passages]).reshape(-1, 2),
        **arrays,
    )
    sync(draft)
    draft.replace(path)


def read_targets(path: Path, fingerprint: str) -> list[SoftTarget | None] | None:
    """The targets that `write_targets` stored for the same training; None where there are none."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            held = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, BadZipFile):  # written in half: computed again
        return None
    if str(held.get("fingerprint")) != fingerprint:
        return None
    starts, ends = (np.cumsum([0, *held["counts"][:, side]]) for side in (0, 1))
    passages = [
        PassageTarget(
            held["starts"][starts[at] : starts[at + 1]].astype(np.int64),
            held["start_mass"][starts[at] : starts[at + 1]],
            held["ends"][ends[at] : ends[at + 1]].astype(np.int64),
            held["end_mass"][ends[at] : ends[at + 1]],
            float(null[0]),
            float(null[1]),
        )
        for at, null in enumerate(held["null"])
    ]
    sizes = held["passages"]
    places = pairwise(np.cumsum([0, *np.maximum(sizes, 0)]))
    return [
        SoftTarget(tuple(passages[low:high])) if size >= 0 else None
        for size, (low, high) in zip(sizes, places, strict=True)
    ]
