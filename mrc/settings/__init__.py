"""How a setting is declared: a dataclass field with its meaning, unit and range beside the default.

    epochs: float = setting(4.0, "over the training examples", unit="epochs", above=0, shown=True)

`check_settings` tests the declared ranges in a configuration's `__post_init__`. The settings file and the reference of
all settings are generated from the same declarations.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

T = TypeVar("T")
Precision = Literal["auto", "fp32", "bf16"]

_KEY: Final = "setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is declared of a field. `low`, `high`: inclusive, `above`, `below`: exclusive limits; None: no limit."""

    meaning: str  # continues the unit: "tokens" "shared by neighbouring windows"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    shown: bool = False  # in a new settings file, not only in the reference

    @property
    def range(self) -> str:
        """The allowed values in words; empty where every value of the type is allowed."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.low is not None and self.high is not None:
            return f"in {_written(self.low)}-{_written(self.high)}"
        limits = (("at least", self.low), ("above", self.above), ("at most", self.high), ("below", self.below))
        return " and ".join(f"{words} {_written(limit)}" for words, limit in limits if limit is not None)

    def allows(self, value: Any) -> bool:
        """Whether a value is in the range. None, for an optional setting, always is; infinity and NaN never are."""
        if value is None:
            return True
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if self.choices:
            return all(each in self.choices for each in (value if isinstance(value, tuple) else (value,)))
        return not (
            (self.low is not None and not value >= self.low)
            or (self.high is not None and not value <= self.high)
            or (self.above is not None and not value > self.above)
            or (self.below is not None and not value < self.below)
        )


def _written(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def setting(
    default: T,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    shown: bool = False,
    repr: bool = True,  # as dataclasses.field names it
) -> T:
    """A dataclass field with this default and declaration; see `Setting`."""
    declared = Setting(meaning, unit, low, high, above, below, choices, shown)
    return dataclasses.field(default=default, metadata={_KEY: declared}, repr=repr)


def settings_of(config: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a configuration, or of its class, that are settings; others are set by the program."""
    return [entry for entry in dataclasses.fields(config) if _KEY in entry.metadata]


def declaration(entry: dataclasses.Field[Any]) -> Setting:
    """What is declared of a field. Raises KeyError where it is no setting."""
    found: Setting = entry.metadata[_KEY]
    return found


def check_settings(config: Any) -> None:
    """Test every declared range of a configuration. Raises: ValueError, naming the first field out of range."""
    for entry in settings_of(config):
        value = getattr(config, entry.name)
        if not declaration(entry).allows(value):
            raise ValueError(f"{entry.name} must be {declaration(entry).range or 'finite'}, not {value!r}")
