"""Settings: defaults, labeler.toml, the environment, --set; what is wrong is named with its place."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from labeler.core.config import Config, load_config, section_types, unused_settings
from labeler.core.errors import ConfigError
from labeler.core.settings_text import reference, template
from mrc.settings import declaration, settings_of


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labeler.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_source_the_defaults_apply() -> None:
    assert load_config(environ={}) == Config()


def test_the_command_line_overrides_the_environment_the_environment_the_file_and_the_file_the_defaults(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, "[round]\nseed = 1\nchunk_size = 10\ndev_share = 0.2\n")
    environ = {"LABELER_ROUND__SEED": "2", "LABELER_ROUND__CHUNK_SIZE": "20"}
    config = load_config(file, environ=environ, overrides=["round.seed=3"])
    assert (config.round.seed, config.round.chunk_size, config.round.dev_share) == (3, 20, 0.2)


def test_variables_that_are_not_settings_are_ignored() -> None:
    assert load_config(environ={"LABELER_WORKSPACE": "ws", "LABELER_DATA": "data", "PATH": "x"}) == Config()


def test_a_whole_number_is_accepted_for_a_float() -> None:
    epochs = load_config(environ={}, overrides=["train.epochs=2"]).train.epochs
    assert (epochs, type(epochs)) == (2.0, float)


def test_none_empties_an_optional_setting(tmp_path: Path) -> None:
    file = written(tmp_path, "[train]\nmax_steps = 7\n")
    assert load_config(file, environ={}).train.max_steps == 7
    assert load_config(file, environ={}, overrides=["train.max_steps=none"]).train.max_steps is None


def test_text_needs_no_quotes_and_keeps_its_equals_signs() -> None:
    config = load_config(environ={}, overrides=["workspace.database=postgresql://h/db?a=b"])
    assert config.workspace.database == "postgresql://h/db?a=b"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[train]\nepoch = 2\n", "labeler.toml: no setting train.epoch; did you mean epochs or "),
        ("[train]\ndevice = 'cpu'\n", "labeler.toml: no setting train.device; did you mean compute.device?"),
        ("[trian]\nepochs = 2\n", "labeler.toml: no section [trian]; did you mean train or pretrain?"),
        ("seed = 2\n", "labeler.toml: seed is outside of a [section]"),
        ("[train]\nepochs = '2'\n", "labeler.toml: train.epochs must be a number, not '2'"),
        ("[round]\nseed = true\n", "labeler.toml: round.seed must be a whole number, not True"),
        ("[round]\nseed = 1.5\n", "labeler.toml: round.seed must be a whole number, not 1.5"),
        ("[round]\ndev_share = 0.9\n", "labeler.toml: [round] dev_share must be in 0-0.5, not 0.9"),
        (
            "[round]\nreviewer = 'me'\n",
            "[round] reviewer must be one of simulated, none, people, studio, llm, not 'me'",
        ),
        ("[workspace]\ndatabase = 'x.db'\n", "[workspace] database must be a URL"),
        ("[round\n", "labeler.toml: not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_key_file_and_remedy(tmp_path: Path, toml: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        load_config(written(tmp_path, toml), environ={})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "overrides", "words"),
    [
        (
            {"LABELER_TRAIN_EPOCHS": "2"},
            [],
            "the variable LABELER_TRAIN_EPOCHS is not a setting; write LABELER_SECTION__KEY",
        ),
        ({"LABELER_TRAIN__EPOCHS": "x"}, [], "the variable LABELER_TRAIN__EPOCHS: train.epochs must be a number"),
        ({}, ["train.epochs"], "--set train.epochs: write it as section.key=value"),
        ({}, ["epochs=2"], "--set epochs=2: write it as section.key=value"),
        ({}, ["train.epochs=-1"], "--set train.epochs=-1: [train] epochs must be above 0"),
    ],
)
def test_a_wrong_variable_or_option_is_named(environ: dict[str, str], overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(environ=environ, overrides=overrides)


def test_the_stored_settings_are_plain_json_and_can_be_read_back() -> None:
    config = load_config(environ={}, overrides=["round.seed=9", "train.max_steps=5", "read.passages=given"])
    stored = json.loads(json.dumps(config.resolved()))
    assert Config.from_resolved(stored) == config
    assert stored["round"]["seed"] == 9


def test_the_stored_settings_hold_every_key() -> None:
    resolved = Config().resolved()
    assert {name: set(keys) for name, keys in resolved.items()} == {
        name: {field.name for field in settings_of(kind)} for name, kind in section_types().items()
    } | {"given": set()}


def test_the_template_with_every_comment_sign_removed_holds_the_defaults(tmp_path: Path) -> None:
    text = template({("workspace", "language"): "auto"})
    bare = "\n".join(re.sub(r"^# (\w+ = )", r"\1", line) for line in text.splitlines())
    assert load_config(written(tmp_path, bare), environ={}) == Config()
    assert tomllib.loads(text)["workspace"] == {"language": "auto"}


def test_a_new_file_shows_at_most_forty_settings_each_with_its_meaning() -> None:
    shown = [line for line in template({}).splitlines() if " = " in line]
    assert 20 <= len(shown) <= 40
    assert all(re.fullmatch(r"# \w+ = .+  # .{20,}", line) for line in shown)
    assert "# top_k = 5  # passages retrieved for each question; fewer are read" in template({})


def test_a_new_file_shows_a_given_setting_that_it_would_not_show_otherwise() -> None:
    assert "layers = " not in template({})
    assert "[builtin]" in template({("builtin", "layers"): 3})
    assert "\nlayers = 3  # layers of the Transformer\n" in template({("builtin", "layers"): 3})


def test_a_new_file_shows_no_experimental_setting() -> None:
    assert "[experimental]" not in template({})
    assert {"hard_vote", "adaptive", "rl_epochs", "token_masking", "span_masking", "morphemes", "processes"} <= {
        field.name for field in dataclasses.fields(section_types()["experimental"])
    }


@pytest.mark.parametrize("section", section_types())
def test_every_setting_declares_its_meaning_and_a_default_in_its_range(section: str) -> None:
    for entry in settings_of(section_types()[section]):
        declared = declaration(entry)
        assert len(declared.meaning) > 5, entry.name
        assert declared.allows(entry.default), entry.name


def test_the_reference_lists_every_setting_with_default_values_and_meaning() -> None:
    lines = reference().splitlines()
    assert (
        "| `doc_stride` * | `128` | at least 2 | **tokens** shared by neighbouring windows, so that no answer is cut |"
        in lines
    )
    assert sum(line.startswith("| `") for line in lines) == sum(map(len, map(settings_of, section_types().values())))


def test_each_setting_that_is_given_is_stored_with_where_it_was_given(tmp_path: Path) -> None:
    file = written(tmp_path, "[round]\nseed = 1\ndev_share = 0.2\n")
    config = load_config(file, environ={"LABELER_ROUND__SEED": "2"}, overrides=["train.epochs=2"])
    given = {"round.dev_share": "file", "round.seed": "environment", "train.epochs": "command line"}
    assert config.given == given
    assert Config.from_resolved(json.loads(json.dumps(config.resolved()))).given == given


def unused(tmp_path: Path, *, file: str = "", sets: Iterable[str] = (), opened_with: Config) -> dict[str, object]:
    given = load_config(written(tmp_path, file), environ={}, overrides=sets)
    return unused_settings(given, Config.from_resolved(opened_with.resolved()))


def test_a_setting_of_an_open_round_is_unused_only_if_it_was_given_again_with_another_value(tmp_path: Path) -> None:
    opened = load_config(environ={}, overrides=["review.review_budget=14"])
    assert unused(tmp_path, opened_with=opened) == {}
    assert unused(tmp_path, sets=["review.review_budget=14"], opened_with=opened) == {}
    assert unused(tmp_path, sets=["review.review_budget=20"], opened_with=opened) == {"review.review_budget": 14}


def test_a_file_that_names_what_the_command_line_overrode_is_not_unused(tmp_path: Path) -> None:
    text = "[review]\nreview_budget = 60\n"
    opened = load_config(written(tmp_path, text), environ={}, overrides=["review.review_budget=14"])
    assert unused(tmp_path, file=text, opened_with=opened) == {}


def test_a_file_changed_since_the_round_was_opened_is_unused(tmp_path: Path) -> None:
    opened = load_config(written(tmp_path, "[review]\nreview_budget = 60\n"), environ={})
    changed = "[review]\nreview_budget = 99\n[gate]\ntolerance = 0.02\n"
    assert unused(tmp_path, file=changed, opened_with=opened) == {"review.review_budget": 60, "gate.tolerance": 0.01}


def test_one_precision_is_set_for_reading_indexing_and_training() -> None:
    config = load_config(environ={}, overrides=["compute.precision=bf16"])
    assert config.retriever.training(config.compute.precision).precision == "bf16"
    for section in ("dense", "rerank", "retriever", "train"):
        with pytest.raises(ConfigError, match=f"no setting {section}.precision"):
            load_config(environ={}, overrides=[f"{section}.precision=fp32"])


def test_an_ensemble_votes_by_equal_answers_only_where_the_experiment_says_so() -> None:
    assert load_config(environ={}, overrides=["ensemble.vote=logits"]).vote == "logits"
    assert load_config(environ={}, overrides=["ensemble.vote=logits", "experimental.hard_vote=true"]).vote == "hard"


def test_settings_load_neither_torch_nor_a_database() -> None:
    heavy = "('torch', 'transformers', 'faiss', 'pandas', 'sklearn', 'sqlalchemy', 'label_studio_sdk')"
    code = f"import sys, labeler.core.config; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_windows_grow_with_the_answers_that_they_must_hold() -> None:
    def sizes(*given: str) -> tuple[int, int, int]:
        read = load_config(environ={}, overrides=given).read
        return read.max_answer_length, read.doc_stride, read.max_seq_length

    assert sizes() == sizes("read.max_answer_length=30") == (30, 128, 384)
    assert sizes("read.max_answer_length=64") == (64, 128, 384)
    assert sizes("read.max_answer_length=65") == (65, 130, 384)
    assert sizes("read.max_answer_length=100") == (100, 200, 2 * (200 + 9))
    assert sizes("read.max_answer_length=65", "read.doc_stride=140") == (65, 140, 384)
    assert sizes("read.max_answer_length=12", "read.max_seq_length=96", "read.doc_stride=24") == (12, 24, 96)
    with pytest.raises(ConfigError, match="max_answer_length must be at most 50, half of doc_stride, not 65"):
        sizes("read.max_answer_length=65", "read.doc_stride=100")
