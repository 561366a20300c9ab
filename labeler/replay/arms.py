"""The arms of a replay: the default, the default without each of its parts, simpler ways, and the two limits."""

from __future__ import annotations

from collections.abc import Iterable

from labeler.ablation.arms import parse_arm, unknown_arm
from labeler.core.config import load_config
from labeler.core.errors import ConfigError
from labeler.replay import GENERATIONS, ORACLE, OWN_BASE, SUPERVISED, Arm
from labeler.rounds.strategies import STRATEGIES
from labeler.rounds.strategies import check_name as check_strategy

NO_PSEUDO = ("review.train_share=0",)
_RANDOM = ("review.random_share=1", "review.uncertain_share=0", "review.suspect_share=0", "review.first_random_share=1")
_UNCERTAIN = (
    "review.random_share=0", "review.uncertain_share=1", "review.suspect_share=0", "review.first_random_share=0",
)  # fmt: skip
_WHOLE_POOL = ("review.train_share=1", "review.min_train_confidence=0")
#: what each arm changes of the settings given
ARMS: dict[str, tuple[str, ...]] = {
    SUPERVISED: (),
    "default": (),
    "random": (*_RANDOM, *NO_PSEUDO),
    "uncertain": (*_UNCERTAIN, *NO_PSEUDO),
    "random-pseudo": _RANDOM,
    "uncertain-pseudo": _UNCERTAIN,
    **{f"strategy-{name}": (*_UNCERTAIN, f"review.strategy={name}") for name in STRATEGIES[2:]},
    "self-training": ("round.reviewer=none",),
    "threshold": ("review.train_share=1", "review.min_train_confidence=0.9"),
    "no-pseudo": NO_PSEUDO,
    "softmatch": ("review.weighting=softmatch", "review.train_share=1", "review.min_train_confidence=0.35"),
    "whole-pool": _WHOLE_POOL,
    "soft": (*_WHOLE_POOL, "train.distill_weight=1"),
    "hard-soft": ("train.distill_weight=0.5",),
    "second-generation": (f"{GENERATIONS}=2",),
    "pseudo-passes-1": ("train.pseudo_epochs=1",),
    "pseudo-passes-4": ("train.pseudo_epochs=4",),
    "gold-passes-2": ("train.epochs=2",),
    "gold-passes-8": ("train.epochs=8",),
    "batch-8": ("train.batch_size=8",),
    "batch-32": ("train.batch_size=32",),
    "folds-1": ("calibrate.folds=1", f"{OWN_BASE}=true"),
    "folds-2": ("calibrate.folds=2", f"{OWN_BASE}=true"),
    "folds-3": ("calibrate.folds=3", f"{OWN_BASE}=true"),
    "no-retrieval": ("read.retrieval_weight=0",),
    "no-negatives": ("train.negatives=0",),
    "first-gold": ("train.golds=first",),
    "average": ("train.average=0.25",),
    "long-warmup": ("train.warmup_ratio=0.3",),
    "layer-decay": ("train.layer_decay=0.9",),
    "no-retry": ("train.retry_bad_seed=false",),
    ORACLE: ("calibrate.folds=1",),  # no round follows that its fold readers would serve
}
DEFAULT = "default,random,self-training,no-pseudo,no-retrieval"


def chosen_arms(names: str, own: Iterable[str], common: Iterable[str]) -> tuple[Arm, ...]:
    """The supervised arm, the arms named, the user's own (`NAME=section.key=value,…`), and the oracle.

    Raises ConfigError for an unknown arm (the message lists them), a duplicate name, or a wrong setting.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in ARMS]:
        raise ConfigError(unknown_arm(unknown[0], ARMS))
    named = dict.fromkeys([SUPERVISED, *wanted, ORACLE])
    parsed = [parse_arm(text, ARMS) for text in own]
    taken = [*named, *(arm.name for arm in parsed)]
    if twice := next((name for name in taken if taken.count(name) > 1), None):
        raise ConfigError(f"--arm {twice}: there is already an arm of this name; choose another name")
    arms = (*(Arm(name, ARMS[name]) for name in named), *(Arm(arm.name, arm.settings) for arm in parsed))
    for arm in arms:
        try:
            _check_replay_settings(arm)
            check_strategy(load_config(overrides=[*common, *arm.product_settings]).review.strategy)
        except ConfigError as error:
            raise ConfigError(f"arm {arm.name}: {error}") from error
    return arms


def _check_replay_settings(arm: Arm) -> None:
    """Raise ConfigError for a setting of the section `simulate` that does not exist, or has a wrong value."""
    allowed = {OWN_BASE: ("true", "false"), GENERATIONS: ("1", "2", "3")}
    for setting in arm.settings:
        name, _, value = setting.partition("=")
        if not name.startswith("simulate."):
            continue
        if name not in allowed:
            raise ConfigError(f"no setting {name}; known are {', '.join(allowed)}")
        if value not in allowed[name]:
            raise ConfigError(f"{name} must be one of {', '.join(allowed[name])}, got {value!r}")
