"""The arms of an ablation: the base arm, the named ones and those that a user defines."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from labeler.ablation import Arm
from labeler.core.config import Config, load_config
from labeler.core.errors import ConfigError

AUTO = "auto"
#: what each arm changes of the base arm; noise rates as papers recommend them, not tuned here
ARMS: dict[str, tuple[str, ...]] = {
    "linear": ("train.head=linear",),
    "cnn": ("train.head=cnn",),
    "lstm": ("train.head=lstm",),
    "biaffine": ("train.head=biaffine",),
    "exact-match": ("train.exact_match_features=words",),
    "exact-match-stems": ("train.exact_match_features=stems",),
    "exact-match-morphemes": ("train.exact_match_features=morphemes",),
    "morphemes": ("experimental.morphemes=true",),
    "token-masking": ("experimental.token_masking=0.1",),
    "span-masking": ("experimental.span_masking=0.1",),
    "question-dropout": ("train.question_dropout=0.1",),
    "soft-spans": ("train.soft_spans=0.1",),
    "pretrain": ("pretrain.mlm_epochs=2", "pretrain.recurring_span_epochs=1"),
    "mlm": ("pretrain.mlm_epochs=2",),
    "recurring-spans": ("pretrain.recurring_span_epochs=1",),
    "negatives": ("train.negatives=1",),
    "rl": ("experimental.rl_epochs=1",),
    "layer-decay": ("train.layer_decay=0.9",),
    "average": ("train.average=0.25",),
}
COMMON = ("train.head=linear", "train.negatives=0")  # defaults of all arms: each question trains on its own passage
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_COMMA = re.compile(r",(?![^\[]*\])")  # not those of a list in brackets


def base_name(common: Iterable[str], start: str) -> str:
    """The name of the base arm: the head that the common settings and the starting checkpoint give it."""
    head = config_of(Arm("base", ()), common).train.head
    return checkpoint_head(start) if head == AUTO else head


def checkpoint_head(start: str) -> str:
    """The head that `train.head = "auto"` trains from this checkpoint: its own, or the default new one."""
    from mrc.encoder.loading import load_config as load_checkpoint_config
    from mrc.read.model.network import HEAD_KEY
    from mrc.read.train_config import NEW_HEAD

    checkpoint = load_checkpoint_config(start)
    architectures = getattr(checkpoint, "architectures", None) or ()
    has_linear = any("ForQuestionAnswering" in str(name) for name in architectures)
    return str(getattr(checkpoint, HEAD_KEY, "linear" if has_linear else NEW_HEAD))


def chosen_arms(names: str, own: Iterable[str], controls: Sequence[str], *, base: str = "linear") -> list[Arm]:
    """The base arm, the arms named, then the user's own, each `NAME=section.key=value,…`.

    Raises ConfigError for an unknown arm (the message lists them), a duplicate name, or a bad definition.
    """
    defined = [parse_arm(text) for text in own]
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in ARMS]
    if unknown:
        raise ConfigError(unknown_arm(unknown[0]))
    others = [name for name in dict.fromkeys(wanted) if name != base]
    arms = [Arm(base, ()), *(Arm(name, ARMS[name]) for name in others), *defined]
    taken = [arm.name for arm in arms]
    twice = next((name for name in taken if taken.count(name) > 1), None)
    if twice:
        raise ConfigError(f"--arm {twice}: there is already an arm of this name; choose another name")
    missing = next((name for name in controls if name not in taken or name == base), None)
    if missing:
        raise ConfigError(f"--control {missing}: it is not one of the arms: {', '.join(taken[1:]) or 'none is named'}")
    return [replace(arm, control=arm.name in controls) for arm in arms]


def parse_arm(text: str, known: Mapping[str, tuple[str, ...]] = ARMS) -> Arm:
    """The arm written as `NAME=section.key=value,section.key=value`. The name of a known arm among them adds its
    settings, which those written out override. Raises ConfigError."""
    name, sign, rest = text.partition("=")
    name = name.strip()
    if not sign or not _NAME.fullmatch(name) or not rest.strip():
        raise ConfigError(f"--arm {text}: write it as NAME=section.key=value,… with a name of a-z, 0-9, '-', '_', '.'")
    named: list[str] = []
    written: list[str] = []
    for part in (piece.strip() for piece in _COMMA.split(rest)):
        if "=" in part:
            written.append(part)
        elif part in known:
            named.extend(known[part])
        else:
            raise ConfigError(f"--arm {name}: {unknown_arm(part, known)}")
    for settings in (named, written):  # a setting written out may override that of a named arm
        keys = [setting.partition("=")[0].strip() for setting in settings]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise ConfigError(f"--arm {name}: {twice} is set twice; set it once")
    return Arm(name, (*named, *written))


def unknown_arm(name: str, known: Iterable[str] = ARMS) -> str:
    """The message for a name that is no arm."""
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"there is no arm {name!r}; {hint}known are {', '.join(known)}"


def config_of(arm: Arm, common: Iterable[str]) -> Config:
    """The settings of an arm: its own over the common ones. Raises ConfigError naming the arm."""
    try:
        return load_config(overrides=[*COMMON, *common, *arm.settings])
    except ConfigError as error:
        raise ConfigError(f"arm {arm.name}: {error}") from error
