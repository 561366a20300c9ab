"""What a certificate is asked for, and which part of the error probability this attempt may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from db.rows import CertificateRow, Json
from labeler.core.errors import ConfigError, NotReady

DELTA, AUDITS = 0.1, 300
MOST_ATTEMPTS = 1000  # that may share delta
LONGEST_SEED = 64  # characters


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for; None: the default, or what the open audit was asked for."""

    target: float | None = None  # precision, 0-1
    delta: float | None = None  # probability that any of the attempts certifies a set below the target
    audits: int | None = None
    attempts: int | None = None  # that share delta
    stored: bool = False  # certify the newest stored predictions as they are, whoever made them
    seed: str | None = None  # of the draw; None: drawn
    labeller: str | None = None  # whose answers are certified; None: those of the current reader
    looks: bool | None = None  # at each quarter of the audit, which ends once enough is certified

    def __post_init__(self) -> None:
        for name, value in (("target", self.target), ("delta", self.delta)):
            if value is not None and not 0 < value < 1:
                raise ConfigError(f"--{name} is a share between 0 and 1, such as 0.9; got {value:g}")
        if self.attempts is not None and not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise ConfigError(f"--attempts is a number from 1 to {MOST_ATTEMPTS:,}, which share --delta")
        if self.seed is not None and not (0 < len(self.seed) <= LONGEST_SEED and self.seed.isprintable()):
            raise ConfigError(f"--seed has 1 to {LONGEST_SEED} printable characters; without it, a seed is drawn")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request with its defaults filled in, and its share of delta."""

    target: float
    delta: float  # of this attempt
    delta_shared: float  # by all attempts of its plan
    attempts: int
    attempt: int  # from 1
    audits: int
    stored: bool
    seed: str | None
    looks: bool = False

    @classmethod
    def of(cls, stored: Json) -> Attempt:
        """The attempt of a stored request."""
        return cls(**{field.name: stored[field.name] for field in fields(cls)})

    def as_json(self) -> dict[str, Any]:
        """As the database stores it."""
        return asdict(self)


def next_attempt(asked: Request, before: Sequence[CertificateRow], *, target: float) -> Attempt:
    """The next attempt: one more of the plan that earlier ones began, or the first of a new plan.

    Every attempt whose audit was drawn counts, also one that was given up. `target`: the default.

    Raises ConfigError: delta or the number of attempts would change within a plan, or nothing asks for a target.
    """
    if asked.target is None and not 0 < target < 1:
        raise ConfigError(
            f"calibrate.target_precision is {target:g}, and a certificate needs a target between 0 and 1; give one: "
            "labeler certify --target 0.9"
        )
    last = before[-1].request if before else None
    begun = last is not None and last["attempt"] < last["attempts"]
    if begun and last is not None:
        _check_plan(asked, last)
        shared, attempts, number = last["delta_shared"], last["attempts"], last["attempt"] + 1
    else:
        shared, attempts, number = asked.delta or DELTA, asked.attempts or 1, 1
    return Attempt(
        target=asked.target or target,
        delta=shared / attempts,
        delta_shared=shared,
        attempts=attempts,
        attempt=number,
        audits=asked.audits or AUDITS,
        stored=asked.stored,
        seed=asked.seed,
        looks=bool(asked.looks),
    )


def _check_plan(asked: Request, last: Json) -> None:
    """Raise ConfigError where a plan that was fixed with its first attempt would change."""
    plan = f"delta {last['delta_shared']:g} shared by {last['attempts']} attempts"
    if asked.delta not in (None, last["delta_shared"]) or asked.attempts not in (None, last["attempts"]):
        raise ConfigError(
            f"attempt {last['attempt'] + 1} belongs to the plan that the first one fixed: {plan}; leave out --delta "
            "and --attempts"
        )


def check_same(asked: Request, row: CertificateRow) -> None:
    """Raise NotReady where a request differs from that of the open audit: it was fixed before anything was drawn."""
    fixed = dict(row.request) | {"delta": row.request["delta_shared"]}
    for field in fields(asked):
        value, before = getattr(asked, field.name), fixed.get(field.name)
        if value in (None, False) or value == before:  # not given, or given again
            continue
        name = f"--{field.name}"
        how = f"without {field.name}" if before in (None, False) else f"for {name} {before}"
        raise NotReady(
            f"the open audit was drawn {how}, which cannot change now; finish it without {name}, or give it up with: "
            f"labeler rounds revert {row.round_number}"
        )
