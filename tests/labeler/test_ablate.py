"""The ablation: one split, a screening, finals, a choice on dev, and only then test, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from labeler.ablation import GIVEN, RETRIEVED, Arm, Design, Run, Sizes, Study, TrainingCost, runs
from labeler.ablation.arms import ARMS, base_name, chosen_arms, config_of, parse_arm
from labeler.ablation.compare import aggregate, two_sided
from labeler.ablation.cost import CostMeter
from labeler.ablation.data import contexts_of, part_examples, passages_of, split_file
from labeler.ablation.study import run_study
from labeler.ablation.training import train_run
from labeler.cli import cli
from labeler.core.config import load_config
from labeler.core.errors import ConfigError, LabelerError, NotReady
from labeler.evaluation.scoring import QuestionScore
from mrc.errors import BadCheckpoint
from mrc.read import TrainResult
from mrc.read.data.negatives import without_answer
from mrc.text import normalize
from tests.mrc import tiny

SMALL = (
    "read.max_seq_length=64",
    "read.doc_stride=20",
    "read.max_answer_length=10",
    "compute.device=cpu",
    "compute.precision=fp32",
)
SIZES = Sizes(train=40, screen=10, dev=20, test=20)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six documents of eight paragraphs of two questions."""
    articles = []
    for document in range(6):
        paragraphs = [_paragraph(8 * document + place) for place in range(8)]
        articles.append({"title": f"document {document}", "paragraphs": paragraphs})
    path = tmp_path_factory.mktemp("file") / "mills.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return path


def _paragraph(number: int) -> dict[str, Any]:
    year, who = str(1800 + number), f"Mira Oland{number}"
    context = f"{who} founded the mill of Tarn in {year}. The mill stands in Tarn near street {number}."
    asked = ((f"When did {who} found the mill?", year), (f"Who founded mill {number}?", who))
    return {
        "context": context,
        "qas": [
            {"id": f"{number}-{i}", "question": question, "answers": [{"text": t, "answer_start": context.index(t)}]}
            for i, (question, t) in enumerate(asked)
        ],
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.bert(tmp_path_factory.mktemp("start") / "tiny"))


def a_run(tmp_path: Path, file: Path, start: str, *settings: str, **changes: Any) -> Run:
    data = tmp_path / "data"
    split_file(file, data, sizes=SIZES, split_by="paragraph")
    run = Run(
        arm="linear",
        seed=0,
        folder=tmp_path / "run",
        data=data,
        starts=tmp_path / "starts",
        start=start,
        config=config_of(Arm("linear", ()), (*SMALL, *settings)),
        metric="squad",
        top_k=2,
        parts=("screen",),
    )
    run = replace(run, **changes)
    run.folder.mkdir(parents=True, exist_ok=True)
    return run


# --- arms -----------------------------------------------------------------------------------------


def test_every_named_arm_changes_settings_that_exist() -> None:
    for name, settings in ARMS.items():
        config = config_of(Arm(name, settings), ())
        assert (config == config_of(Arm("linear", ()), ())) == (name == "linear")


def test_the_base_arm_is_always_there_and_comes_first() -> None:
    assert [arm.name for arm in chosen_arms("cnn,linear,lstm", (), ())] == ["linear", "cnn", "lstm"]


def test_the_base_arm_is_named_after_the_head_that_is_trained(checkpoint: str) -> None:
    assert base_name(SMALL, checkpoint) == "linear"
    assert base_name((*SMALL, "train.head=lstm"), checkpoint) == "lstm"
    arms = chosen_arms("cnn,linear", (), (), base="cnn")
    assert arms == [Arm("cnn", ()), Arm("linear", ("train.head=linear",))]
    assert config_of(arms[1], ("train.head=cnn",)).train.head == "linear"


def test_the_automatic_head_is_that_of_the_checkpoint_or_a_new_convolution(checkpoint: str, tmp_path: Path) -> None:
    settings = (*SMALL, "train.head=auto")
    assert base_name(settings, checkpoint) == "linear"
    encoder = json.loads((Path(checkpoint) / "config.json").read_text()) | {"architectures": ["BertModel"]}
    (tmp_path / "config.json").write_text(json.dumps(encoder))
    assert base_name(settings, str(tmp_path)) == "cnn"
    (tmp_path / "config.json").write_text(json.dumps(encoder | {"labeler_head": "biaffine"}))
    assert base_name(settings, str(tmp_path)) == "biaffine"


def test_an_unknown_arm_lists_the_arms() -> None:
    with pytest.raises(ConfigError, match=r"no arm 'cn'; did you mean cnn\? known are linear, cnn, lstm"):
        chosen_arms("cn", (), ())


def test_a_user_defined_arm_takes_settings_and_names_of_arms() -> None:
    own = parse_arm("both=lstm,train.exact_match_features=words,train.negatives=2")
    assert own == Arm("both", ("train.head=lstm", "train.exact_match_features=words", "train.negatives=2"))
    train = config_of(own, ("train.epochs=2",)).train
    assert (train.head, train.exact_match_features, train.epochs) == ("lstm", "words", 2.0)


@pytest.mark.parametrize(
    ("own", "controls", "message"),
    [
        (["cnn"], [], "write it as NAME="),
        (["Wide Net=train.head=cnn"], [], "write it as NAME="),
        (["linear=train.epochs=9"], [], "there is already an arm of this name"),
        (["mine=cmn"], [], "--arm mine: there is no arm 'cmn'; did you mean cnn"),
        (["mine=cnn,lstm"], [], "--arm mine: train.head is set twice"),
        (["mine=train.epochs=2,train.epochs=3"], [], "--arm mine: train.epochs is set twice"),
        ([], ["lstm"], "--control lstm: it is not one of the arms"),
        ([], ["linear"], "--control linear"),
    ],
)
def test_bad_arm_definitions_are_refused(own: list[str], controls: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_arms("", own, controls)


def test_an_arm_takes_list_values_and_may_override_a_setting_of_a_named_arm() -> None:
    own = parse_arm('mine=read.rules=["josa","units"], pretrain,pretrain.mlm_epochs=3')
    assert own.settings == (*ARMS["pretrain"], 'read.rules=["josa","units"]', "pretrain.mlm_epochs=3")
    config = config_of(own, ())
    assert (config.read.rules, config.pretrain.mlm_epochs, config.pretrain.recurring_span_epochs) == (
        ("josa", "units"),
        3.0,
        1.0,
    )


def test_the_error_of_a_wrong_setting_names_the_arm() -> None:
    with pytest.raises(ConfigError, match=r"arm mine: --set train\.hed=cnn"):
        config_of(parse_arm("mine=train.hed=cnn"), ())


# --- the parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("split_by", ["paragraph", "document"])
def test_no_paragraph_and_no_question_text_is_in_two_parts(file: Path, tmp_path: Path, split_by: str) -> None:
    sizes = Sizes(train=32, screen=16, dev=32, test=16)
    split_file(file, tmp_path / "data", sizes=sizes, split_by=split_by)
    parts = {part: part_examples(tmp_path / "data", part) for part in ("train", "screen", "dev", "test")}
    assert [len(examples) for examples in parts.values()] == [32, 16, 32 - 16, 16]  # a document has 16 questions
    for key in ("context", "question", *(["title"] if split_by == "document" else [])):
        seen = [normalize(text) for members in parts.values() for text in {getattr(each, key) for each in members}]
        assert len(seen) == len(set(seen)), key
    assert len(passages_of(tmp_path / "data")) == 48  # the corpus is the whole file


def test_an_empty_part_is_refused_and_nothing_is_written(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="96 usable questions: none is left for dev"):
        split_file(file, tmp_path / "data", sizes=Sizes(60, 10, 90, 26), split_by="paragraph")
    assert not (tmp_path / "data").exists()


# --- comparing ------------------------------------------------------------------------------------


def scores(*exact: int) -> tuple[QuestionScore, ...]:
    return tuple(QuestionScore(f"q{i}", f"d{i // 2}", float(right), right / 2) for i, right in enumerate(exact))


def test_an_arm_scores_the_mean_over_its_seeds_and_is_paired_with_the_base_arm() -> None:
    found = aggregate({0: scores(1, 1, 0, 1), 1: scores(1, 0, 0, 1)}, {0: scores(1, 0, 0, 0), 1: scores(0, 0, 0, 0)})
    assert found is not None
    assert (found.questions, found.seeds, found.exact_match, found.f1) == (4, 2, (3 + 2) / 8, (3 + 2) / 16)
    assert found.change is not None
    assert found.change.mean == pytest.approx(5 / 8 - 1 / 8)
    assert found.change.low <= found.change.mean <= found.change.high
    assert found.p == pytest.approx(2 * (1 / 2) ** 2)  # seed 0: two wins, no loss


def test_only_seeds_that_both_arms_have_count_in_the_difference() -> None:
    found = aggregate({0: scores(1, 1)}, {0: scores(1, 0), 1: scores(0, 0)})
    assert found is not None
    assert found.change is not None
    assert found.change.mean == 1 / 2


def test_mcnemar_is_two_sided() -> None:
    assert two_sided(_rights(5, 1), _rights(5, 1, before=True)) == pytest.approx(2 * (6 + 1) / 2**6)
    assert two_sided(_rights(1, 5), _rights(1, 5, before=True)) == pytest.approx(2 * (6 + 1) / 2**6)
    assert two_sided(_rights(1, 1), _rights(1, 1, before=True)) == 1


def _rights(wins: int, losses: int, *, before: bool = False) -> Any:
    import numpy as np

    return np.array([float(not before)] * wins + [float(before)] * losses)


def test_arms_that_were_scored_on_different_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not paired"):
        aggregate({0: scores(1, 1)}, {0: scores(1, 1, 1)})


# --- the study, with fake runs --------------------------------------------------------------------


class FakeRuns:
    """Stands in for the processes: an arm's rate of correct answers decides its scores. Records the calls."""

    def __init__(self, folder: Path, rates: dict[str, float]) -> None:
        self.folder = folder
        self.rates = rates
        self.calls: list[tuple[str, int, tuple[str, ...]]] = []
        self.choice_at_test: list[str] = []
        self.failing: list[str] = []

    def __call__(self, run: Run, *, threads: int) -> str | None:
        self.calls.append((run.arm, run.seed, run.parts))
        if run.arm in self.failing:
            return "update 3: the loss is nan"
        run.folder.mkdir(parents=True, exist_ok=True)
        cost = TrainingCost(cpu_seconds=10.0, start_seconds=1.0, peak_mib=300.0, examples=40, steps=3)
        (run.folder / "trained.json").write_text(json.dumps(asdict(cost)))
        for part in run.parts:
            if part == "test":
                record = json.loads((self.folder / "study.json").read_text())
                self.choice_at_test.append(record["choice"]["arm"])
            (run.folder / f"{part}.json").write_text(json.dumps({GIVEN: self.rows(run, part)}))
        return None

    def rows(self, run: Run, part: str) -> list[list[Any]]:
        examples = part_examples(run.data, part)
        right = round(self.rates[run.arm] * len(examples))
        correct = [float(i < right) for i in range(len(examples))]
        scores = [QuestionScore(each.id, each.title, c, c) for each, c in zip(examples, correct, strict=True)]
        return [list(astuple(score)) for score in scores]


RunStudy = Callable[..., Study]  # of the arms named


@pytest.fixture
def fake_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    fake_runs = FakeRuns(tmp_path / "study", {"linear": 0.5, "cnn": 0.6, "lstm": 0.7, "biaffine": 0.4, "long": 0.9})
    monkeypatch.setattr(runs, "launch", fake_runs)
    return fake_runs


@pytest.fixture
def run_arms(file: Path, fake_runs: FakeRuns, checkpoint: str) -> RunStudy:
    def study(
        arms: str = "cnn,lstm,biaffine",
        own: Sequence[str] = (),
        controls: Sequence[str] = (),
        base: str = "linear",
        **more: Any,
    ) -> Study:
        design: dict[str, Any] = {"sizes": SIZES, "seeds": 2, "finalists": 1, "common": SMALL, "top_k": 0}
        design |= {"start": checkpoint} | more
        chosen = tuple(chosen_arms(arms, own, controls, base=base))
        return run_study(Design(file=file, folder=fake_runs.folder, arms=chosen, **design))

    return study


def test_every_arm_is_screened_then_the_base_and_the_best_run_on_every_seed(
    run_arms: RunStudy, fake_runs: FakeRuns
) -> None:
    study = run_arms()
    screened = [("linear", 0), ("cnn", 0), ("lstm", 0), ("biaffine", 0)]
    assert [(arm, seed) for arm, seed, parts in fake_runs.calls if parts == ("screen",)] == screened
    dev = [("linear", 0), ("linear", 1), ("lstm", 0), ("lstm", 1)]
    assert [(arm, seed) for arm, seed, parts in fake_runs.calls if parts == ("screen", "dev")] == dev
    assert [each.stage for each in study.results] == ["final", "screened", "chosen", "screened"]
    assert [each.part for each in study.results] == ["dev", "screen", "dev", "screen"]
    by_name = {each.arm: each.dev for each in study.results}
    assert (by_name["lstm"].questions, by_name["lstm"].seeds, by_name["lstm"].exact_match) == (20, 2, 0.7)
    assert (by_name["cnn"].questions, by_name["cnn"].seeds, by_name["cnn"].exact_match) == (10, 1, 0.6)
    assert by_name["lstm"].change is not None
    assert by_name["lstm"].change.mean == pytest.approx(0.7 - 0.5)


def test_the_test_part_is_read_once_and_only_after_the_choice_was_recorded(
    run_arms: RunStudy, fake_runs: FakeRuns
) -> None:
    study = run_arms()
    tested = [(arm, seed) for arm, seed, parts in fake_runs.calls if "test" in parts]
    assert tested == [("linear", 0), ("linear", 1), ("lstm", 0), ("lstm", 1)]
    assert fake_runs.choice_at_test == ["lstm"] * 4
    assert study.choice is not None
    assert (study.choice.arm, study.choice.exact_match) == ("lstm", 0.7)
    assert {each.arm: each.test is not None for each in study.results} == {
        "linear": True,
        "cnn": False,
        "lstm": True,
        "biaffine": False,
    }
    before = list(fake_runs.calls)
    assert run_arms() == study
    assert fake_runs.calls == before
    assert run_arms(test=False).choice == study.choice
    assert json.loads((fake_runs.folder / "study.json").read_text())["stage"] == "tested"


def test_a_control_is_tested_but_never_chosen(run_arms: RunStudy) -> None:
    study = run_arms(own=["long=train.epochs=9"], controls=["long"])
    assert study.choice is not None
    assert study.choice.arm == "lstm"
    control = next(each for each in study.results if each.arm == "long")
    assert control.stage == "control"
    assert control.test is not None
    assert control.test.seeds == 2


def test_no_new_control_is_tested_after_the_choice(run_arms: RunStudy, fake_runs: FakeRuns) -> None:
    run_arms(finalists=2)
    before = len(fake_runs.calls)
    with pytest.raises(ConfigError, match=r"the choice was made from linear, cnn, lstm .* and no controls"):
        run_arms(finalists=2, controls=["cnn"])
    assert len(fake_runs.calls) == before


def test_the_base_arm_is_chosen_where_no_arm_is_better(run_arms: RunStudy) -> None:
    choice = run_arms(arms="biaffine").choice
    assert choice is not None
    assert choice.arm == "linear"


def test_arms_may_be_added_until_the_choice_is_made(run_arms: RunStudy, fake_runs: FakeRuns) -> None:
    assert run_arms(test=False).choice is None
    assert not any("test" in parts for _, _, parts in fake_runs.calls)
    before = len(fake_runs.calls)
    study = run_arms(own=["long=train.epochs=9"])
    assert {arm for arm, _, parts in fake_runs.calls[before:] if "test" not in parts} == {"long"}
    assert study.choice is not None
    assert study.choice.arm == "long"
    with pytest.raises(NotReady, match="arm negatives: the choice was made and test was read"):
        run_arms(arms="cnn,lstm,biaffine,negatives", own=["long=train.epochs=9"])
    with pytest.raises(ConfigError, match="the choice was made from linear, long with --seeds 2"):
        run_arms(own=["long=train.epochs=9"], seeds=3)


def test_a_folder_holds_one_study(run_arms: RunStudy) -> None:
    run_arms(test=False)
    with pytest.raises(ConfigError, match="holds a study in which top_k was 0"):
        run_arms(test=False, top_k=3)
    with pytest.raises(ConfigError, match="holds a study in which threads was 1"):
        run_arms(test=False, threads=2)
    with pytest.raises(ConfigError, match="holds a study in which base was linear"):
        run_arms(test=False, base="cnn")
    with pytest.raises(ConfigError, match=r"arm linear was begun with train.epochs = 4.0, not 2.0"):
        run_arms(test=False, common=(*SMALL, "train.epochs=2"))


def test_the_plan_is_recorded_before_any_training(
    run_arms: RunStudy, fake_runs: FakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(run: Run, *, threads: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "launch", killed)
    with pytest.raises(KeyboardInterrupt):
        run_arms()
    monkeypatch.setattr(runs, "launch", fake_runs)
    with pytest.raises(ConfigError, match="arm linear was begun with"):
        run_arms(common=(*SMALL, "train.epochs=2"))
    assert run_arms().choice is not None


def test_parts_without_a_record_are_made_again(run_arms: RunStudy, fake_runs: FakeRuns, file: Path) -> None:
    split_file(file, fake_runs.folder / "data", sizes=Sizes(10, 10, 10, 10), split_by="paragraph")
    run_arms()
    assert len(part_examples(fake_runs.folder / "data", "train")) == 40


def test_a_failed_training_is_reported_and_does_not_stop_the_others(run_arms: RunStudy, fake_runs: FakeRuns) -> None:
    fake_runs.failing = ["cnn"]
    with pytest.raises(LabelerError, match="arm cnn, seed 0: update 3: the loss is nan"):
        run_arms()
    assert [arm for arm, _, _ in fake_runs.calls] == ["linear", "cnn", "lstm", "biaffine"]
    assert json.loads((fake_runs.folder / "study.json").read_text())["stage"] == "begun"
    fake_runs.failing = []
    choice = run_arms().choice
    assert [arm for arm, _, _ in fake_runs.calls][4] == "cnn"
    assert choice is not None
    assert choice.arm == "lstm"


def test_a_reason_that_several_trainings_share_is_reported_once(run_arms: RunStudy, fake_runs: FakeRuns) -> None:
    fake_runs.failing = ["cnn", "biaffine"]
    with pytest.raises(LabelerError, match=r"^arm cnn, seed 0; arm biaffine, seed 0: update 3: the loss is nan$"):
        run_arms()


def test_the_command_prints_the_arms_and_writes_table_plot_and_record(
    file: Path, fake_runs: FakeRuns, checkpoint: str
) -> None:
    settings = [word for setting in SMALL if "device" not in setting for word in ("--set", setting)]
    sizes = ["--train", "40", "--screen-dev", "10", "--dev", "20", "--test", "20", "--seeds", "2", "--device", "cpu"]
    command = ["ablate", str(file), "--model", checkpoint, "--arms", "cnn,lstm", "-k", "0", *sizes, *settings]
    done = CliRunner().invoke(cli, [*command, "-o", str(fake_runs.folder), "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["choice"]["arm"] == "lstm"
    cnn = found["arms"]["cnn"]
    assert (cnn["exact_match"], cnn["f1"]) == (0.6, 0.6)
    assert cnn["interval"][0] <= 0.6 <= cnn["interval"][1]
    record = json.loads((fake_runs.folder / "study.json").read_text())
    assert record["arms"] == found["arms"]
    assert record["stage"] == "tested"
    assert "chosen on dev: lstm (EM 70.0)" in (fake_runs.folder / "table.txt").read_text()
    assert "<svg" in (fake_runs.folder / "plot.svg").read_text()
    printed = CliRunner().invoke(cli, [*command, "-o", str(fake_runs.folder)], catch_exceptions=False).stdout
    assert printed == (fake_runs.folder / "table.txt").read_text()


def test_an_unusable_model_is_refused_at_once_and_another_may_be_given(
    run_arms: RunStudy, fake_runs: FakeRuns, tmp_path: Path
) -> None:
    with pytest.raises(BadCheckpoint, match=r"no config\.json, so this folder is no model"):
        run_arms(start=str(tmp_path))
    assert not fake_runs.calls
    assert not (fake_runs.folder / "study.json").exists()
    assert run_arms().choice is not None


def test_jobs_is_the_number_of_trainings_at_a_time(
    run_arms: RunStudy, fake_runs: FakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = threading.Barrier(2, timeout=20)

    def meeting(run: Run, *, threads: int) -> str | None:
        met.wait()
        return fake_runs(run, threads=threads)

    monkeypatch.setattr(runs, "launch", meeting)
    assert run_arms(arms="lstm", jobs=2).choice is not None


def test_every_option_of_the_command_reaches_the_study(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    designs: list[Design] = []

    def run_study(design: Design) -> Study:
        designs.append(design)
        return Study(design.base, (), None, design.folder)

    monkeypatch.setattr("labeler.ablation.study.run_study", run_study)
    words = "--model M --arms cnn --arm own=train.epochs=9 --control own --seeds 5 --finalists 2 --train 7"
    words += " --screen-dev 3 --dev 4 --test 6 --split-by document --metric korquad -k 8 --no-test --jobs 2"
    words += " --threads 3 --device cpu --set train.epochs=2"
    CliRunner().invoke(cli, ["ablate", str(file), *words.split(), "-o", str(tmp_path)], catch_exceptions=False)
    assert designs == [
        Design(
            file=file,
            folder=tmp_path,
            start="M",
            arms=(
                Arm("linear", ()),
                Arm("cnn", ("train.head=cnn",)),
                Arm("own", ("train.epochs=9",), control=True),
            ),
            common=("train.epochs=2", "compute.device=cpu"),
            sizes=Sizes(7, 3, 4, 6),
            seeds=5,
            finalists=2,
            split_by="document",
            metric="korquad",
            top_k=8,
            test=False,
            jobs=2,
            threads=3,
        )
    ]


def test_metric_split_and_number_of_passages_reach_the_runs(
    run_arms: RunStudy, fake_runs: FakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Run] = []

    def noting(run: Run, *, threads: int) -> str | None:
        seen.append(run)
        return fake_runs(run, threads=threads)

    monkeypatch.setattr(runs, "launch", noting)
    sizes = Sizes(train=32, screen=16, dev=32, test=16)
    run_arms(metric="korquad", top_k=4, split_by="document", sizes=sizes, test=False)
    assert {(run.metric, run.top_k) for run in seen} == {("korquad", 4)}
    assert len({each.title for each in part_examples(seen[0].data, "train")}) == 2


def test_the_process_of_a_run_has_the_given_threads_and_runs_this_code(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []

    def process(command: Sequence[str], *, env: dict[str, str], **_: object) -> Any:
        seen.append(env)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", process)
    assert runs.launch(a_run(tmp_path, file, "none"), threads=3) is None
    assert {seen[0][name] for name in runs.THREAD_VARIABLES} == {"3"}
    home = Path(seen[0]["PYTHONPATH"].split(os.pathsep)[0])
    assert Path(runs.__file__).is_relative_to(home)


# --- one run, for real ------------------------------------------------------------------------------


def test_a_run_trains_and_is_scored_in_given_passages_and_end_to_end(
    tmp_path: Path, file: Path, checkpoint: str
) -> None:
    run = a_run(tmp_path, file, checkpoint, "train.max_steps=2")
    runs.finish(runs.read_run(runs.write_run(run)))
    assert runs.is_done(run)
    found = runs.result(run)
    assert (found.cost.examples, found.cost.steps, found.cost.start_seconds) == (40, 2, 0.0)
    assert found.cost.cpu_seconds > 0
    assert found.cost.peak_mib > 50
    examples = part_examples(run.data, "screen")
    for how in (GIVEN, RETRIEVED):
        assert [score.question_id for score in found.scores["screen", how]] == [each.id for each in examples]
    contexts = {each.id: each.context for each in examples}
    assert all(score.answer in contexts[score.question_id] for score in found.scores["screen", GIVEN])


def test_a_killed_training_resumes_to_the_same_scores(tmp_path: Path, file: Path, checkpoint: str) -> None:
    settings = ("train.max_steps=4", "train.checkpoint_every=2")
    calm = a_run(tmp_path, file, checkpoint, *settings)
    runs.finish(calm)
    killed = replace(calm, folder=tmp_path / "killed")
    script = (
        "import importlib, signal, sys; from tests.killing import MOMENTS, dying; from labeler.ablation import runs; "
        "where, name = MOMENTS['checkpoint written']; owner = importlib.import_module(where); "
        "setattr(owner, name, dying(getattr(owner, name), 1, signal.SIGKILL)); runs.main(sys.argv[1])"
    )
    died = subprocess.run([sys.executable, "-c", script, str(runs.write_run(killed))], check=False)
    assert died.returncode == -signal.SIGKILL
    assert not runs.is_done(killed)
    assert runs.launch(killed, threads=1) is None
    assert runs.result(killed).scores == runs.result(calm).scores
    assert runs.result(killed).cost.steps == 4


def test_a_failing_run_gives_its_reason_in_one_line(tmp_path: Path, file: Path) -> None:
    run = a_run(tmp_path, file, str(tmp_path / "nowhere"))
    why = runs.launch(run, threads=1)
    assert why is not None
    assert "nowhere" in why


def test_negatives_come_from_the_training_part_and_contain_no_answer(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = training_call(monkeypatch, train_run, a_run(tmp_path, file, "none", "train.negatives=2"))
    own = {passage.text for passage in contexts_of(part_examples(tmp_path / "data", "train"))}
    assert {len(each.negatives) for each in call["examples"]} == {2}
    for each in call["examples"]:
        assert set(each.negatives) <= own - {each.context}
        assert not any(each.golds[0].lower() in text.lower() for text in each.negatives)


def test_without_the_setting_there_are_no_negatives(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = training_call(monkeypatch, train_run, a_run(tmp_path, file, "none"))
    assert {each.negatives for each in call["examples"]} == {()}


def test_early_stopping_uses_the_screening_questions(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path, file, "none", "train.early_stopping_patience=2")
    watched = training_call(monkeypatch, train_run, run)["dev"]
    assert [each.id for each in watched] == [each.id for each in part_examples(run.data, "screen")]


class TrainingCall(Exception):
    """Carries what the training was called with."""


def training_call(monkeypatch: pytest.MonkeyPatch, function: Callable[[Run], object], run: Run) -> dict[str, Any]:
    """What the training of the run is called with; it does not take place."""

    def train(examples: object, **keywords: object) -> None:
        raise TrainingCall({"examples": examples, **keywords})

    monkeypatch.setattr("mrc.read.train.trainer.train", train)
    with pytest.raises(TrainingCall) as found:
        function(run)
    keywords: dict[str, Any] = found.value.args[0]
    return keywords


def test_a_pretrained_start_is_made_once_and_shared_by_runs(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[list[str], int]] = []

    def pretrain(start: str, texts: Sequence[str], folder: Path, *, seed: int, **_: object) -> Path:
        made.append((list(texts), seed))
        folder.mkdir()
        return folder

    monkeypatch.setattr("mrc.read.pretrain.pretraining.pretrain", pretrain)
    run = a_run(tmp_path, file, "none", "pretrain.mlm_epochs=1")
    starts = [training_call(monkeypatch, train_run, replace(run, seed=seed))["start"] for seed in (0, 1)]
    assert starts[0] == starts[1]
    assert Path(starts[0]).parent == run.starts
    other = a_run(tmp_path, file, "none", "pretrain.mlm_epochs=2")
    assert training_call(monkeypatch, train_run, other)["start"] != starts[0]
    parts = {part: {each.context for each in part_examples(run.data, part)} for part in ("screen", "dev", "test")}
    held_out = set().union(*parts.values())
    free = [passage.text for passage in passages_of(run.data) if passage.text not in held_out]
    assert all(parts.values())
    assert len(free) == 48 - len(held_out)
    assert made == [(free, 0), (free, 0)]  # no passage of a question that is marked; the run's seed does not count


def test_other_passages_give_another_pretrained_start(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretrain(start: str, texts: Sequence[str], folder: Path, **_: object) -> Path:
        folder.mkdir()
        return folder

    monkeypatch.setattr("mrc.read.pretrain.pretraining.pretrain", pretrain)
    run = a_run(tmp_path, file, "none", "pretrain.mlm_epochs=1")
    split_file(file, tmp_path / "other", sizes=Sizes(20, 10, 20, 40), split_by="paragraph")
    starts = [
        training_call(monkeypatch, train_run, replace(run, data=tmp_path / data))["start"] for data in ("data", "other")
    ]
    assert starts[0] != starts[1]


def test_a_start_whose_pretraining_was_killed_at_its_end_is_used_with_its_cost(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretrain(start: str, texts: Sequence[str], folder: Path, *, progress: Any, **_: object) -> Path:
        for step in range(1, 8):
            progress(step, 7, 0.5, 0.0)
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("mrc.read.pretrain.pretraining.pretrain", pretrain)
    run = a_run(tmp_path, file, "none", "pretrain.mlm_epochs=1")
    with pytest.raises(KeyboardInterrupt):
        train_run(run)
    monkeypatch.setattr("mrc.read.train.trainer.train", lambda *_, **__: TrainResult(run.folder, "h", 40, 3, 1.0, 0.5))
    assert train_run(run).start_seconds > 0


def test_work_repeated_after_a_kill_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "spent.json"
    path.write_text(json.dumps({"steps": {"20": 100.0, "40": 900.0}, "seconds": 900.0, "peak_mib": 9e6}))
    meter = CostMeter.load(path)
    meter.step(31)  # it went on from the checkpoint of step 30
    spent = meter.save()
    assert 100 <= spent.seconds < 200
    assert spent.peak_mib == 9e6


def test_the_cost_of_child_processes_is_counted(tmp_path: Path) -> None:
    meter = CostMeter.load(tmp_path / "spent.json")
    meter.step(1)
    busy = "import time; a = bytearray(9 * 10**8)\nwhile time.process_time() < 0.6: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    spent = meter.save()
    assert spent.seconds >= 0.5
    assert spent.peak_mib > 850


def test_texts_that_contain_an_answer_are_no_negatives() -> None:
    texts = ["The Mill of Tarn.", "a mill, tarn", "Elsewhere"]
    assert list(without_answer(["mill of tarn"], texts, "squad")) == ["a mill, tarn", "Elsewhere"]


def test_a_run_is_read_back_from_its_file(tmp_path: Path, file: Path) -> None:
    run = a_run(tmp_path, file, "none", "train.head=lstm")
    assert runs.read_run(runs.write_run(run)) == run
    assert run.config.train.negatives == 0
    assert load_config(environ={}).train.negatives == 1
