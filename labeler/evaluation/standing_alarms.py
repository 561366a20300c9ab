"""The alarms that are in force: what `round`, `status`, `export` and the report show, and what stops a release."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from db import queries
from db.engine import Session
from db.rows import RoundRow
from labeler.core.config import Config
from labeler.core.errors import ReleaseStopped
from labeler.evaluation.alarms import Alarm, Drift, Measured, alarms, measure_overconfidence

JUDGED = ("labelled", "trained", "closed")  # stages in which the blind reviews of a round are in


@dataclass(frozen=True, slots=True)
class RoundAlarm:
    """An alarm and the round that raised it."""

    round: int
    alarm: Alarm


def standing_alarms(session: Session) -> tuple[RoundAlarm, ...]:
    """The alarms of the newest round that predicted and was reviewed, and those that block of earlier rounds whose
    pseudo-labels are still live; the newest round first.
    """
    measured = [row for row in queries.rounds(session, reverted=False) if row.kind == "loop" and row.stage in JUDGED]
    if not measured:
        return ()
    live = queries.rounds_of_live_pseudo(session)
    found = [RoundAlarm(measured[-1].number, each) for each in alarms_of(measured[-1])]
    for row in reversed(measured[:-1]):
        if row.number in live:
            found += [RoundAlarm(row.number, each) for each in alarms_of(row) if each.blocks]
    return tuple(found)


def alarms_of(row: RoundRow) -> tuple[Alarm, ...]:
    """The alarms of a round; before it is closed, that of its blind reviews alone."""
    if row.gate is not None:
        names = {field.name for field in fields(Alarm)}
        stored = row.gate.get("alarms", ())
        return tuple(Alarm(**{name: each[name] for name in names}) for each in stored)
    audit = (row.release or {}).get("audit")
    if not audit:
        return ()
    return alarms(Drift(overconfidence=overconfidence_of(row)), Config.from_resolved(row.config).gate)


def overconfidence_of(row: RoundRow) -> Measured | None:
    """See `measure_overconfidence`; None before the reviews of the round are in."""
    audit = (row.release or {}).get("audit") or {}
    return measure_overconfidence(
        audit.get("mean_confidence"),
        correct=audit.get("confident_correct", 0),
        items=audit.get("confident_items", 0),
    )


def check_release(session: Session, rounds: Iterable[int | None] | None = None, *, despite: bool = False) -> None:
    """Stop a release or an export of pseudo-labels whose confidence is not to be trusted.

    Args:
        rounds: that the pseudo-labels come from; None: any. One without pseudo-labels stops nothing.
        despite: release them all the same (`--despite-alarms`).

    Raises:
        ReleaseStopped: an alarm says so; the message names the round, the alarm and the option.
    """
    wanted = None if rounds is None else set(rounds)
    blocking = [each for each in standing_alarms(session) if each.alarm.blocks]
    stopped = [each for each in blocking if wanted is None or each.round in wanted]
    if stopped and not despite:
        first = stopped[0]
        raise ReleaseStopped(
            f"no pseudo-label is released, because an alarm of round {first.round} stands: {first.alarm.message}; "
            "leave pseudo-labels out (--kinds gold,human), or release them with --despite-alarms"
        )
