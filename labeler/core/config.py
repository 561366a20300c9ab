"""Every setting, from four places: the defaults, over them labeler.toml, over it the environment, over it --set.

A variable `LABELER_SECTION__KEY` sets `key` of `[section]`: `LABELER_TRAIN__EPOCHS=2`. `LABELER_WORKSPACE`,
`LABELER_DATA` and `LABELER_SERVE_SECRET` are not settings. Values of variables and of `--set section.key=value` are
TOML (`2`, `0.5`, `true`, `["a", "b"]`), except that text needs no quotes; `none` leaves an optional setting empty.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from db.urls import without_password
from labeler.core.errors import ConfigError
from labeler.core.round_settings import (
    CalibrateConfig,
    GateConfig,
    LlmConfig,
    RoundConfig,
    SelectConfig,
    StudioConfig,
)
from labeler.core.setting_values import value_in
from labeler.core.settings import (
    CascadeSection,
    ComputeConfig,
    EnsembleSection,
    ExperimentalSection,
    ReadSection,
    RetrieverSection,
    TrainSection,
    WorkspaceConfig,
)
from mrc.read import BuiltinConfig, ExperimentalTrainConfig, PretrainConfig, TrainConfig, TrainSettings
from mrc.read.config import grown
from mrc.retrieve.config import IndexConfig
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.rerank.config import RerankConfig
from mrc.settings import settings_of

FILE_NAME = "labeler.toml"
PREFIX = "LABELER_"
RESERVED = frozenset({"LABELER_WORKSPACE", "LABELER_DATA", "LABELER_SERVE_SECRET"})
READ = "read"  # the section in which windows grow with max_answer_length
GIVEN = "given"  # in a stored configuration, beside the sections

Source = Literal["file", "environment", "command line"]


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked. `given` says where each one that is not left at its default was set."""

    workspace: WorkspaceConfig = field(default_factory=WorkspaceConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    index: IndexConfig = field(default_factory=IndexConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)
    rerank: RerankConfig = field(default_factory=RerankConfig)
    read: ReadSection = field(default_factory=ReadSection)
    ensemble: EnsembleSection = field(default_factory=EnsembleSection)
    cascade: CascadeSection = field(default_factory=CascadeSection)
    train: TrainSection = field(default_factory=TrainSection)
    retriever: RetrieverSection = field(default_factory=RetrieverSection)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    builtin: BuiltinConfig = field(default_factory=BuiltinConfig)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig)
    review: SelectConfig = field(default_factory=SelectConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    round: RoundConfig = field(default_factory=RoundConfig)
    studio: StudioConfig = field(default_factory=StudioConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    experimental: ExperimentalSection = field(default_factory=ExperimentalSection)
    given: Mapping[str, Source] = field(default_factory=dict, compare=False, repr=False)  # section.key -> where

    @property
    def training(self) -> TrainConfig:
        """All settings that the training of a reader depends on."""
        experimental = ExperimentalTrainConfig(**_values_of(self.experimental, ExperimentalTrainConfig))
        own = _values_of(self.train, TrainSettings)
        return TrainConfig(**own, windows=self.read.windows, experimental=experimental)

    @property
    def vote(self) -> str:
        """How the readers of an ensemble vote; see `mrc.ensemble`."""
        return "hard" if self.experimental.hard_vote else self.ensemble.vote

    def resolved(self) -> dict[str, Any]:
        """Every section and key as plain JSON values, as stored with a round. Passwords are left out."""
        sections = {name: _settings(getattr(self, name)) for name in section_types()}
        sections["workspace"]["database"] = without_password(self.workspace.database)
        plain: dict[str, Any] = json.loads(json.dumps(sections | {GIVEN: self.given}))
        return plain

    @classmethod
    def from_resolved(cls, stored: Mapping[str, Any]) -> Config:
        """The settings that `resolved` gave, so that a round can be resumed. Raises ConfigError."""
        sections = {name: table for name, table in stored.items() if name != GIVEN}
        config = _build(_flat(sections, where="the stored configuration"))
        return dataclasses.replace(config, given=dict(stored.get(GIVEN, {})))


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Setting -> [value before, value after], for those in which two resolved configurations differ."""
    return {
        f"{section}.{key}": [before.get(section, {}).get(key), after.get(section, {}).get(key)]
        for section in sorted((before.keys() | after.keys()) - {GIVEN})
        for key in sorted(before.get(section, {}).keys() | after.get(section, {}).keys())
        if before.get(section, {}).get(key) != after.get(section, {}).get(key)
    }


def unused_settings(config: Config, used: Config) -> dict[str, Any]:
    """Setting -> its value in `used`, for each that was given for `config` with another value.

    A value in labeler.toml does not count where `used` overrode the file: the file need not have changed since.
    """
    stays = {}
    for name, (value, _) in changed_settings(used.resolved(), config.resolved()).items():
        overridden = used.given.get(name, "file") != "file"
        if name in config.given and not (config.given[name] == "file" and overridden):
            stays[name] = value
    return stays


def _settings(section: Any) -> dict[str, Any]:
    return {entry.name: getattr(section, entry.name) for entry in settings_of(section)}


def _values_of(section: Any, config: type[Any]) -> dict[str, Any]:
    """The fields that a section has from a configuration which it extends."""
    return {each.name: getattr(section, each.name) for each in dataclasses.fields(config)}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One setting as it was given. `where` is for error messages; `raw`: text whose type the setting decides."""

    where: str
    section: str
    key: str
    value: Any
    source: Source = "file"
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


def _from_file(file: Path) -> list[_Entry]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8; save it again as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigError(f"{file}: a number is too long: {error}") from error
    return _flat(tables, where=str(file))


def _flat(tables: Mapping[str, Any], *, where: str) -> list[_Entry]:
    for section, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"{where}: {section} is outside of a [section]; {_known_sections(section)}")
    return [_Entry(where, section, key, value) for section, table in tables.items() for key, value in table.items()]


def _from_environ(environ: Mapping[str, str]) -> list[_Entry]:
    settings = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in RESERVED:
            continue
        section, sign, key = name.removeprefix(PREFIX).lower().partition("__")
        if not sign:
            raise ConfigError(f"the variable {name} is not a setting; write {PREFIX}SECTION__KEY")
        settings.append(_Entry(f"the variable {name}", section, key, environ[name], "environment", raw=True))
    return settings


def _from_override(text: str) -> _Entry:
    name, sign, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (sign and dot):
        raise ConfigError(f"--set {without_password(text)}: write it as section.key=value")
    return _Entry(f"--set {without_password(text)}", section, key, value.strip(), "command line", raw=True)


def _build(entries: Iterable[_Entry]) -> Config:
    """The configuration with these settings over the defaults, later ones over earlier ones."""
    sections = section_types()
    values: dict[str, dict[str, Any]] = {}
    places: dict[str, list[str]] = {}
    given: dict[str, Source] = {}
    for entry in entries:
        if entry.section not in sections:
            raise ConfigError(f"{entry.where}: no section [{entry.section}]; {_known_sections(entry.section)}")
        value = _checked(entry, sections[entry.section])
        values.setdefault(entry.section, {})[entry.key] = value
        places.setdefault(entry.section, []).append(entry.where)
        given[f"{entry.section}.{entry.key}"] = entry.source
    if "max_answer_length" in values.get(READ, {}):
        values[READ] = grown(values[READ]["max_answer_length"]) | values[READ]
    built: dict[str, Any] = {}
    for section, keys in values.items():
        try:
            built[section] = sections[section](**keys)
        except ValueError as error:  # a range that the section's own __post_init__ checks
            where = ", ".join(dict.fromkeys(places[section]))
            raise ConfigError(f"{where}: [{section}] {error}") from error
    return Config(**built, given=given)


@cache
def section_types() -> dict[str, type[Any]]:
    """The dataclass of each section, in the order of the file."""
    hints = typing.get_type_hints(Config)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(Config) if entry.name != GIVEN}


def _checked(entry: _Entry, section_type: type[Any]) -> Any:
    """The value of an entry in the type of its setting. Raises ConfigError for an unknown key or a wrong type."""
    known = sorted(each.name for each in settings_of(section_type))
    name = f"{entry.section}.{entry.key}"
    if entry.key not in known:
        raise ConfigError(f"{entry.where}: no setting {name}; {_near_setting(entry.key, known)}")
    try:
        return value_in(entry.value, typing.get_type_hints(section_type)[entry.key], raw=entry.raw)
    except TypeError as error:
        raise ConfigError(f"{entry.where}: {name} {error}") from error


def _known_sections(name: str) -> str:
    return _near(name, list(section_types()))


def _near_setting(key: str, known: list[str]) -> str:
    """What a setting that its section does not have may mean: that of another section, or one of a similar name."""
    elsewhere = [
        f"{name}.{key}" for name, kind in section_types().items() if key in {each.name for each in settings_of(kind)}
    ]
    return f"did you mean {' or '.join(elsewhere)}?" if elsewhere else _near(key, known)


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
