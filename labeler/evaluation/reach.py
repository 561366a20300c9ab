"""Golds that are longer than the answers that a workspace's reader considers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from db import queries
from db.rows import LabelRow
from labeler.core.runtime import Runtime
from mrc.errors import MrcError

if TYPE_CHECKING:
    from mrc.read.data.windows import Windower
    from mrc.read.predict.reach import OutOfReach

BUILTIN = "builtin"
EDGE_POSITIONS = 2  # that some encoders keep for padding


def reach_of_labels(runtime: Runtime, labels: Sequence[LabelRow], checkpoint: str | Path) -> OutOfReach | None:
    """The labels all of whose answers are longer than `read.max_answer_length` tokens of a checkpoint's tokenizer.

    Raises: BadCheckpoint for a checkpoint without a usable tokenizer.
    """
    limit = runtime.config.read.max_answer_length
    long = [label for label in labels if label.answers and _shortest(label) > limit]
    if not long:
        return None
    from mrc.read.predict.reach import GoldSpans, out_of_reach

    windower, positions = _windower(checkpoint)
    passages = runtime.fetch(sorted({label.answers[0].passage_id for label in long}))
    golds = (
        GoldSpans(label.question_id, passages[label.answers[0].passage_id].text, tuple(_spans(label))) for label in long
    )
    return out_of_reach(golds, windower, runtime.config.read, positions=positions)


def reach_of_imports(runtime: Runtime, imports: Iterable[int]) -> OutOfReach | None:
    """The labels of these imports that the current reader, or the one that training starts from, cannot reach.

    None where no reader is known yet, or its tokenizer cannot be loaded.
    """
    checkpoint = _known_checkpoint(runtime)
    if checkpoint is None:
        return None
    with runtime.database.read() as session:
        labels = queries.live_labels(session, kinds=["gold"], imports=imports)
    try:
        return reach_of_labels(runtime, labels, checkpoint)
    except MrcError:
        return None  # the command that loads the reader says why


def _known_checkpoint(runtime: Runtime) -> str | Path | None:
    with runtime.database.read() as session:
        model = queries.best_model(session)
    if model is not None and (runtime.workspace.folder / model.path).is_dir():
        return runtime.workspace.folder / model.path
    start = runtime.config.train.start
    if start is None or start == BUILTIN:
        return None
    return start if Path(start).is_dir() or _in_cache(start) else None


def _in_cache(name: str) -> bool:
    """Whether a model of the hub was downloaded before: an import does not wait for the network."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:  # the name of a folder that is gone
        return False


def _windower(checkpoint: str | Path) -> tuple[Windower, int]:
    """What makes windows of texts for a checkpoint, and the positions that a window may surely have."""
    from mrc.encoder.loading import configured_positions, load_config, load_tokenizer
    from mrc.read.model.reader import windower_of

    config = load_config(checkpoint)
    windower = windower_of(load_tokenizer(checkpoint), config, checkpoint)
    return windower, configured_positions(config) - EDGE_POSITIONS


def _shortest(label: LabelRow) -> int:
    """The bytes of the shortest answer: at most as many tokens."""
    return min(len(answer.text.encode()) for answer in label.answers)


def _spans(label: LabelRow) -> Iterable[tuple[int, int]]:
    """The answers in the passage of the first one."""
    return ((each.start, each.end) for each in label.answers if each.passage_id == label.answers[0].passage_id)
