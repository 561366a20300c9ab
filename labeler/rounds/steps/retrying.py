"""A student that fell into a bad seed is trained once more with another seed; the better of the two on dev is judged.

The same training with another seed differs by points of exact match, and some seeds fail altogether (Mosbach,
Andriushchenko & Klakow 2021, On the stability of fine-tuning BERT). Choosing on dev makes the dev score of a student
that was chosen slightly too high.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from db import queries, store
from db.rows import ModelRow, RoundRow
from labeler.core.runtime import Runtime
from labeler.rounds.gate import Verdict
from labeler.rounds.steps import training
from mrc.files import read_object

log = logging.getLogger("labeler")

SECOND: Final = "second-seed"  # the name of the model in the database, and the end of its folder's name
SEED_STEP: Final = 1_000_003  # rounds use consecutive seeds
MIN_UPDATES: Final = 30  # in the main phase, of which the losses of the first and the last tenth are compared


@dataclass(frozen=True, slots=True)
class Retry:
    """A second training: its reason, its model (None where it failed), and the seeds of both."""

    why: str
    model: ModelRow | None
    seeds: tuple[int, int]

    def outcome(self, verdicts: Sequence[Verdict], chosen: int) -> dict[str, Any]:
        """What is stored with the round: the scores of both on dev, in the order of the seeds, and the seed chosen."""
        scores = [{"exact_match": each.exact_match, "f1": each.f1} for each in verdicts]
        return {"why": self.why, "seeds": list(self.seeds), "scores": scores, "chosen": self.seeds[chosen]}


def bad_seed(
    verdict: Verdict, losses: Sequence[float], *, updates: int, refuse_below_p: float, compared: bool
) -> str | None:
    """Why a student's seed is taken for a bad one; None: it is not.

    Args:
        losses: the mean loss of the first and of the last tenth of the main phase; may be empty.
        updates: of the training.
        compared: whether there is a current reader that the verdict compares with.
    """
    if compared and verdict.questions and verdict.mcnemar_p < refuse_below_p:
        change = f"EM {100 * verdict.exact_match_change:+.1f} points on {verdict.questions} dev questions"
        return f"worse than the current reader by McNemar's test, p = {verdict.mcnemar_p:.3f} ({change})"
    if len(losses) == 2 and updates >= MIN_UPDATES and not losses[1] < losses[0]:
        return f"its loss did not fall ({losses[0]:.3f} in the first tenth of the updates, {losses[1]:.3f} in the last)"
    return None


def is_better(second: Verdict, first: Verdict, *, second_loss: float | None, first_loss: float | None) -> bool:
    """Whether the second training is better: by EM on dev, then F1; without dev questions by its loss. Ties: no."""
    if first.questions:
        return (second.exact_match, second.f1) > (first.exact_match, first.f1)
    return second_loss is not None and first_loss is not None and second_loss < first_loss


def retried(
    runtime: Runtime, row: RoundRow, student: ModelRow, best: ModelRow | None, verdict: Verdict
) -> Retry | None:
    """The second training of the round if the first fell into a bad seed, else None.

    An interrupted one is resumed; one that fails is logged, and the first student stays.
    """
    if not runtime.config.train.retry_bad_seed:
        return None
    losses, updates = _course(runtime, student)
    refuse_below_p = runtime.config.gate.refuse_below_p
    why = bad_seed(verdict, losses, updates=updates, refuse_below_p=refuse_below_p, compared=best is not None)
    if why is None:
        return None
    seeds = (row.seed, row.seed + SEED_STEP)
    log.warning("the student of round %d: %s; training it once more with seed %d", row.number, why, seeds[1])
    return Retry(why, _second(runtime, row, seeds[1]), seeds)


def _second(runtime: Runtime, row: RoundRow, seed: int) -> ModelRow | None:
    """The model of the second training, stored; None where it failed."""
    with runtime.database.read() as session:
        if known := queries.model_of_round(session, row.number, name=SECOND):
            return known
        rows = queries.training_rows(session, row.number)
    first = training.model_folder(runtime, row)
    folder = first.with_name(f"{first.name}-{SECOND}")
    try:
        result = training.train_reader(runtime, row, rows, folder=folder, seed=seed)
    except training.NEEDS_OTHER_SETTINGS as error:
        log.warning("the second training of round %d failed, and its first student stays: %s", row.number, error)
        return None
    with runtime.database.write() as session:
        model_id = training.store_reader(runtime, session, row, rows, result, name=SECOND)
        detail = {"examples": result.examples, "model": result.hash, "seed": seed}
        store.add_event(session, "trained_again", detail=detail, round_number=row.number)
        return queries.model(session, model_id)


def _course(runtime: Runtime, student: ModelRow) -> tuple[list[float], int]:
    """The mean losses at both ends of the student's main phase, and the number of its updates."""
    from mrc.read.model.reader import RECORD_FILE

    file = runtime.workspace.folder / student.path / RECORD_FILE
    record = read_object(file) if file.is_file() else {}
    return [float(each) for each in record.get("main_losses", ())], int(record.get("steps", 0))
