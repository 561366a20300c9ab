"""Settings: declared ranges are checked, and described in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from mrc.settings import Setting, check_settings, declaration, setting, settings_of


@dataclass(frozen=True, slots=True)
class Config:
    share: float = setting(0.5, "of the questions", unit="share", low=0, high=1)
    rate: float | None = setting(None, "peak", above=0)
    dropout: float = setting(0.0, "of the words", low=0, below=1)
    rules: tuple[str, ...] = setting((), "of answers", choices=("josa", "units"))
    language: str = "auto"  # set by the program

    def __post_init__(self) -> None:
        check_settings(self)


@pytest.mark.parametrize(
    "values",
    [
        {"share": 0.0},
        {"share": 1.0},
        {"rate": None},
        {"rate": 1e-9},
        {"dropout": 0.0},
        {"dropout": 0.999},
        {"rules": ("units", "josa")},
        {"language": "anything"},
    ],
)
def test_a_value_at_an_inclusive_limit_and_an_empty_one_are_accepted(values: dict[str, object]) -> None:
    Config(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": -0.01}, "share must be in 0-1, not -0.01"),
        ({"share": 1.01}, "share must be in 0-1, not 1.01"),
        ({"share": math.nan}, "share must be in 0-1, not nan"),
        ({"rate": 0.0}, "rate must be above 0, not 0.0"),
        ({"rate": math.inf}, "rate must be above 0, not inf"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, not 1.0"),
        ({"rules": ("josa", "none")}, "rules must be one of josa, units, not "),
    ],
)
def test_a_value_outside_of_the_range_is_refused_with_name_and_range(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Config(**values)  # type: ignore[arg-type]


def test_a_field_without_a_declaration_is_not_a_setting() -> None:
    assert [entry.name for entry in settings_of(Config)] == ["share", "rate", "dropout", "rules"]
    assert declaration(settings_of(Config())[0]).unit == "share"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (Setting("", low=1), "at least 1"),
        (Setting("", high=5), "at most 5"),
        (Setting("", above=0, high=0.1), "above 0 and at most 0.1"),
        (Setting("", low=1, high=1_000_000), "in 1-1,000,000"),
        (Setting("", choices=("a", "b")), "one of a, b"),
        (Setting(""), ""),
    ],
)
def test_a_range_is_described_in_words(declared: Setting, words: str) -> None:
    assert declared.range == words
