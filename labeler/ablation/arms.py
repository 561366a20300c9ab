"""The arms that have a name, and those that a user makes. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from labeler.ablation import BASE, Arm
from labeler.core.config import Config, load_config
from labeler.core.errors import ConfigError

#: what each arm changes of the plain reader; rates of noise as papers recommend them, not tuned on anything here
ARMS: dict[str, tuple[str, ...]] = {
    BASE: (),
    "cnn": ("train.head=cnn",),
    "lstm": ("train.head=lstm",),
    "biaffine": ("train.head=biaffine",),
    "overlap": ("train.exact_match_features=words",),
    "overlap-stems": ("train.exact_match_features=stems",),
    "overlap-morphemes": ("train.exact_match_features=morphemes",),
    "morphemes": ("experimental.morphemes=true",),
    "token-masking": ("experimental.token_masking=0.1",),
    "span-masking": ("experimental.span_masking=0.1",),
    "question-dropout": ("train.question_dropout=0.1",),
    "near-misses": ("train.soft_spans=0.1",),
    "pretrain": ("pretrain.mlm_epochs=2", "pretrain.recurring_span_epochs=1"),
    "mlm": ("pretrain.mlm_epochs=2",),
    "cloze": ("pretrain.recurring_span_epochs=1",),
    "negatives": ("train.negatives=1",),
    "reward": ("experimental.rl_epochs=1",),
    "layer-rates": ("train.layer_decay=0.9",),
}
COMMON = ("train.head=linear", "train.negatives=0")  # the plain reader, which sees the passage of the question alone
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_COMMA = re.compile(r",(?![^\[]*\])")  # not those of a list in brackets


def chosen_arms(names: str, own: Iterable[str], controls: Sequence[str]) -> list[Arm]:
    """The arms named, the plain reader first, then those of one's own, each `NAME=section.key=value,…`.

    Raises ConfigError for an unknown arm (the message lists them), a name that comes twice, or a bad definition.
    """
    made = [parse_arm(text) for text in own]
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in ARMS]
    if unknown:
        raise ConfigError(_unknown(unknown[0]))
    arms = [Arm(name, ARMS[name]) for name in dict.fromkeys([BASE, *wanted])] + made
    taken = [arm.name for arm in arms]
    twice = next((name for name in taken if taken.count(name) > 1), None)
    if twice:
        raise ConfigError(f"--arm {twice}: there is an arm of this name already; give it another one")
    missing = next((name for name in controls if name not in taken or name == BASE), None)
    if missing:
        raise ConfigError(f"--control {missing}: it is none of the arms {', '.join(taken[1:]) or 'named'}")
    return [replace(arm, control=arm.name in controls) for arm in arms]


def parse_arm(text: str) -> Arm:
    """The arm written as `NAME=section.key=value,section.key=value`; a known arm's name among them stands for its
    settings, over which those written out go. Raises ConfigError."""
    name, sign, rest = text.partition("=")
    name = name.strip()
    if not sign or not _NAME.fullmatch(name) or not rest.strip():
        raise ConfigError(f"--arm {text}: write it as NAME=section.key=value,… with a name of a-z, 0-9, '-', '_', '.'")
    named: list[str] = []
    written: list[str] = []
    for part in (piece.strip() for piece in _COMMA.split(rest)):
        if "=" in part:
            written.append(part)
        elif part in ARMS:
            named.extend(ARMS[part])
        else:
            raise ConfigError(f"--arm {name}: {_unknown(part)}")
    for settings in (named, written):  # one written out may replace that of a named arm
        keys = [setting.partition("=")[0].strip() for setting in settings]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise ConfigError(f"--arm {name}: {twice} is set twice; an arm can have one value of it")
    return Arm(name, (*named, *written))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, list(ARMS), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"there is no arm {name!r}; {hint}known are {', '.join(ARMS)}"


def config_of(arm: Arm, common: Iterable[str]) -> Config:
    """The settings under which an arm is trained: its own over the common ones. Raises ConfigError naming the arm."""
    try:
        return load_config(overrides=[*COMMON, *common, *arm.settings])
    except ConfigError as error:
        raise ConfigError(f"arm {arm.name}: {error}") from error
