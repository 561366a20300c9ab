"""Every setting, from four places: the defaults, over them labeler.toml, over it the environment, over it --set.

A variable `LABELER_SECTION__KEY` sets `key` of `[section]`: `LABELER_TRAIN__EPOCHS=2`. `LABELER_WORKSPACE` and
`LABELER_DATA` are no settings. Values of variables and of `--set section.key=value` are TOML (`2`, `0.5`, `true`,
`["a", "b"]`), except that text needs no quotes; `none` leaves an optional setting empty.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db.urls import without_password
from labeler.core.errors import ConfigError
from labeler.core.settings import (
    CalibrateConfig,
    CascadeSection,
    ComputeConfig,
    EnsembleSection,
    ExperimentalSection,
    GateConfig,
    ReadSection,
    RetrieverSection,
    RoundConfig,
    SelectConfig,
    StudioConfig,
    TrainSection,
    WorkspaceConfig,
)
from mrc.read import BuiltinConfig, ExperimentalTrainConfig, PretrainConfig, TrainConfig, TrainSettings
from mrc.retrieve.dense.vectors import DenseConfig
from mrc.retrieve.index import IndexConfig
from mrc.retrieve.rerank.config import RerankConfig

FILE_NAME = "labeler.toml"
PREFIX = "LABELER_"
RESERVED = frozenset({"LABELER_WORKSPACE", "LABELER_DATA"})

Tables = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked."""

    workspace: WorkspaceConfig = field(default_factory=WorkspaceConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    index: IndexConfig = field(default_factory=IndexConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)
    rerank: RerankConfig = field(default_factory=RerankConfig)
    read: ReadSection = field(default_factory=ReadSection)
    ensemble: EnsembleSection = field(default_factory=EnsembleSection)
    cascade: CascadeSection = field(default_factory=CascadeSection)
    train: TrainSection = field(default_factory=TrainSection)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    retriever: RetrieverSection = field(default_factory=RetrieverSection)
    builtin: BuiltinConfig = field(default_factory=BuiltinConfig)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig)
    review: SelectConfig = field(default_factory=SelectConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    round: RoundConfig = field(default_factory=RoundConfig)
    studio: StudioConfig = field(default_factory=StudioConfig)
    experimental: ExperimentalSection = field(default_factory=ExperimentalSection)

    @property
    def training(self) -> TrainConfig:
        """All settings that the training of a reader depends on."""
        experimental = ExperimentalTrainConfig(**_values_of(self.experimental, ExperimentalTrainConfig))
        own = _values_of(self.train, TrainSettings)
        return TrainConfig(**own, windows=self.read.windows, experimental=experimental)

    def resolved(self) -> dict[str, Any]:
        """Every section and key as plain JSON values: what is stored with a round. No password is among them."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        plain["workspace"]["database"] = without_password(self.workspace.database)
        return plain

    @classmethod
    def from_resolved(cls, stored: Mapping[str, Any]) -> Config:
        """The settings that `resolved` gave, for going on with a round as it was begun. Raises ConfigError."""
        return _build(_flat(stored, where="the stored configuration"))


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Setting -> [value before, value after], for those in which two resolved configurations differ."""
    return {
        f"{section}.{key}": [before.get(section, {}).get(key), after.get(section, {}).get(key)]
        for section in sorted(before.keys() | after.keys())
        for key in sorted(before.get(section, {}).keys() | after.get(section, {}).keys())
        if before.get(section, {}).get(key) != after.get(section, {}).get(key)
    }


def _values_of(section: Any, config: type[Any]) -> dict[str, Any]:
    """The fields that a section has from a configuration which it extends."""
    return {each.name: getattr(section, each.name) for each in dataclasses.fields(config)}


@dataclass(frozen=True, slots=True)
class _Setting:
    """One value of one place. `where` is for the reader of an error; `raw`: text whose type the setting decides."""

    where: str
    section: str
    key: str
    value: Any
    raw: bool = False


def load_config(
    file: Path | None = None, *, environ: Mapping[str, str] | None = None, overrides: Iterable[str] = ()
) -> Config:
    """The settings of `file` (None: defaults), the environment and `overrides` (each `section.key=value`).

    Raises ConfigError for wrong TOML, an unknown section or key, a wrong type, or a value out of range.
    """
    settings = [] if file is None else _from_file(file)
    settings += _from_environ(os.environ if environ is None else environ)
    settings += [_from_override(text) for text in overrides]
    return _build(settings)


def _from_file(file: Path) -> list[_Setting]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8; save it again as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    return _flat(tables, where=str(file))


def _flat(tables: Mapping[str, Any], *, where: str) -> list[_Setting]:
    for section, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"{where}: {section} stands outside of a [section]; {_known_sections(section)}")
    return [_Setting(where, section, key, value) for section, table in tables.items() for key, value in table.items()]


def _from_environ(environ: Mapping[str, str]) -> list[_Setting]:
    settings = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in RESERVED:
            continue
        section, sign, key = name.removeprefix(PREFIX).lower().partition("__")
        if not sign:
            raise ConfigError(f"the variable {name} is none of ours; a setting is written {PREFIX}SECTION__KEY")
        settings.append(_Setting(f"the variable {name}", section, key, environ[name], raw=True))
    return settings


def _from_override(text: str) -> _Setting:
    name, sign, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (sign and dot):
        raise ConfigError(f"--set {without_password(text)}: write it as section.key=value")
    return _Setting(f"--set {without_password(text)}", section, key, value.strip(), raw=True)


def _build(settings: Iterable[_Setting]) -> Config:
    """The settings laid over the defaults, the later over the earlier."""
    sections = section_types()
    values: Tables = {}
    places: dict[str, list[str]] = {}
    for setting in settings:
        if setting.section not in sections:
            raise ConfigError(f"{setting.where}: no section [{setting.section}]; {_known_sections(setting.section)}")
        value = _checked(setting, sections[setting.section])
        values.setdefault(setting.section, {})[setting.key] = value
        places.setdefault(setting.section, []).append(setting.where)
    built: dict[str, Any] = {}
    for section, keys in values.items():
        try:
            built[section] = sections[section](**keys)
        except ValueError as error:  # a range that the section's own __post_init__ checks
            where = ", ".join(dict.fromkeys(places[section]))
            raise ConfigError(f"{where}: [{section}] {error}") from error
    return Config(**built)


def section_types() -> dict[str, type[Any]]:
    """The dataclass of each section, in the order of the file."""
    hints = typing.get_type_hints(Config)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(Config)}


def _checked(setting: _Setting, section_type: type[Any]) -> Any:
    """The setting's value, in its key's type."""
    hints = typing.get_type_hints(section_type)
    name = f"{setting.section}.{setting.key}"
    if setting.key not in hints:
        raise ConfigError(f"{setting.where}: no setting {name}; {_near(setting.key, sorted(hints))}")
    wanted = hints[setting.key]
    choices = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    value = _parsed(setting.value, choices) if setting.raw else setting.value
    if value == "none" and types.NoneType in choices:  # TOML has no null
        return None
    for choice in choices:
        fits, converted = _fit(value, choice)
        if fits:
            return converted
    raise ConfigError(f"{setting.where}: {name} must be {' or '.join(map(_type_name, choices))}, not {value!r}")


def _parsed(text: str, choices: tuple[Any, ...]) -> Any:
    """A variable's or --set's text as the value that TOML would read, but plain text where text is wanted."""
    if str in choices:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def _fit(value: Any, wanted: Any) -> tuple[bool, Any]:
    """Whether a TOML value has the type, and the value in it: whole numbers serve as float, lists as tuples."""
    if typing.get_origin(wanted) is tuple:
        part = typing.get_args(wanted)[0]
        if not isinstance(value, list) or not all(_fit(item, part)[0] for item in value):
            return False, None
        return True, tuple(_fit(item, part)[1] for item in value)
    if typing.get_origin(wanted) is typing.Literal:
        return value in typing.get_args(wanted), value
    if isinstance(value, bool) and wanted is not bool:  # a bool is an int to Python, not to people
        return False, None
    if wanted is float and isinstance(value, int):
        return True, float(value)
    return isinstance(value, wanted), value


def _type_name(wanted: Any) -> str:
    known = {str: "text", int: "a whole number", float: "a number", bool: "true or false", types.NoneType: "left out"}
    if typing.get_origin(wanted) is tuple:
        return f"a list of {_type_name(typing.get_args(wanted)[0])}"
    if typing.get_origin(wanted) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(wanted)))
    return known.get(wanted, str(wanted))


def _known_sections(name: str) -> str:
    return _near(name, list(section_types()))


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
