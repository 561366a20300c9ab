"""The ablation: one split, a screening, finals, a choice on dev, and only then test, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from labeler.ablation import GIVEN, RETRIEVED, Arm, Cost, Design, Mark, Run, Sizes, Study, runs
from labeler.ablation.arms import ARMS, chosen_arms, config_of, parse_arm
from labeler.ablation.compare import measured, two_sided
from labeler.ablation.cost import Meter
from labeler.ablation.data import contexts_of, part_examples, passages_of, split_file
from labeler.ablation.study import run_study
from labeler.ablation.training import train_run
from labeler.cli import cli
from labeler.core.config import load_config
from labeler.core.errors import ConfigError, LabelerError, NotReady
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


def test_the_plain_reader_is_always_an_arm_and_the_first() -> None:
    assert [arm.name for arm in chosen_arms("cnn,linear,lstm", (), ())] == ["linear", "cnn", "lstm"]


def test_an_unknown_arm_lists_the_arms() -> None:
    with pytest.raises(ConfigError, match=r"no arm 'cn'; did you mean cnn\? known are linear, cnn, lstm"):
        chosen_arms("cn", (), ())


def test_an_arm_of_ones_own_takes_settings_and_the_names_of_arms() -> None:
    own = parse_arm("both=lstm,train.exact_match_features=words,train.negatives=2")
    assert own == Arm("both", ("train.head=lstm", "train.exact_match_features=words", "train.negatives=2"))
    train = config_of(own, ("train.epochs=2",)).train
    assert (train.head, train.exact_match_features, train.epochs) == ("lstm", "words", 2.0)


@pytest.mark.parametrize(
    ("own", "controls", "message"),
    [
        (["cnn"], [], "write it as NAME="),
        (["Wide Net=train.head=cnn"], [], "write it as NAME="),
        (["linear=train.epochs=9"], [], "there is an arm of this name already"),
        (["mine=cmn"], [], "--arm mine: there is no arm 'cmn'; did you mean cnn"),
        (["mine=cnn,lstm"], [], "--arm mine: train.head is set twice"),
        (["mine=train.epochs=2,train.epochs=3"], [], "--arm mine: train.epochs is set twice"),
        ([], ["lstm"], "--control lstm: it is none of the arms"),
        ([], ["linear"], "--control linear"),
    ],
)
def test_arms_that_cannot_be_are_refused(own: list[str], controls: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_arms("", own, controls)


def test_an_arm_takes_lists_and_may_change_a_setting_of_a_named_one() -> None:
    own = parse_arm('mine=read.rules=["josa","units"], pretrain,pretrain.mlm_epochs=3')
    assert own.settings == (*ARMS["pretrain"], 'read.rules=["josa","units"]', "pretrain.mlm_epochs=3")
    config = config_of(own, ())
    assert (config.read.rules, config.pretrain.mlm_epochs, config.pretrain.recurring_span_epochs) == (
        ("josa", "units"),
        3.0,
        1.0,
    )


def test_a_wrong_setting_names_its_arm() -> None:
    with pytest.raises(ConfigError, match=r"arm mine: --set train\.hed=cnn"):
        config_of(parse_arm("mine=train.hed=cnn"), ())


# --- the parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("split_by", ["paragraph", "document"])
def test_no_paragraph_and_no_wording_stands_in_two_parts(file: Path, tmp_path: Path, split_by: str) -> None:
    sizes = Sizes(train=32, screen=16, dev=32, test=16)
    split_file(file, tmp_path / "data", sizes=sizes, split_by=split_by)
    parts = {part: part_examples(tmp_path / "data", part) for part in ("train", "screen", "dev", "test")}
    assert [len(examples) for examples in parts.values()] == [32, 16, 32 - 16, 16]  # a document has 16 questions
    for key in ("context", "question", *(["title"] if split_by == "document" else [])):
        seen = [normalize(text) for members in parts.values() for text in {getattr(each, key) for each in members}]
        assert len(seen) == len(set(seen)), key
    assert len(passages_of(tmp_path / "data")) == 48  # the corpus is the whole file


def test_a_part_that_would_be_empty_is_refused_and_nothing_stays(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="96 usable questions: none is left for dev"):
        split_file(file, tmp_path / "data", sizes=Sizes(60, 10, 90, 26), split_by="paragraph")
    assert not (tmp_path / "data").exists()


# --- comparing ------------------------------------------------------------------------------------


def marks(*exact: int) -> tuple[Mark, ...]:
    return tuple(Mark(f"q{i}", f"d{i // 2}", float(right), right / 2, "") for i, right in enumerate(exact))


def test_an_arm_is_the_mean_over_its_seeds_and_is_paired_with_the_plain_reader() -> None:
    found = measured({0: marks(1, 1, 0, 1), 1: marks(1, 0, 0, 1)}, {0: marks(1, 0, 0, 0), 1: marks(0, 0, 0, 0)})
    assert found is not None
    assert (found.questions, found.seeds, found.exact_match, found.f1) == (4, 2, (3 + 2) / 8, (3 + 2) / 16)
    assert found.change is not None
    assert found.change.mean == pytest.approx(5 / 8 - 1 / 8)
    assert found.change.low <= found.change.mean <= found.change.high
    assert found.p == pytest.approx(2 * (1 / 2) ** 2)  # seed 0: two wins, no loss


def test_seeds_that_one_arm_lacks_are_left_out_of_the_difference() -> None:
    found = measured({0: marks(1, 1)}, {0: marks(1, 0), 1: marks(0, 0)})
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


def test_arms_that_were_marked_on_other_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not paired"):
        measured({0: marks(1, 1)}, {0: marks(1, 1, 1)})


# --- the study, its runs played --------------------------------------------------------------------


class Played:
    """Stands in for the processes: an arm's rate of right answers decides its marks. Notes what was asked."""

    def __init__(self, folder: Path, rates: dict[str, float]) -> None:
        self.folder = folder
        self.rates = rates
        self.asked: list[tuple[str, int, tuple[str, ...]]] = []
        self.chosen_when_test_was_read: list[str] = []
        self.failing: list[str] = []

    def __call__(self, run: Run, *, threads: int) -> str | None:
        self.asked.append((run.arm, run.seed, run.parts))
        if run.arm in self.failing:
            return "update 3: the loss is nan"
        run.folder.mkdir(parents=True, exist_ok=True)
        cost = Cost(cpu_seconds=10.0, start_seconds=1.0, peak_mib=300.0, examples=40, steps=3)
        (run.folder / "trained.json").write_text(json.dumps(asdict(cost)))
        for part in run.parts:
            if part == "test":
                record = json.loads((self.folder / "study.json").read_text())
                self.chosen_when_test_was_read.append(record["choice"]["arm"])
            (run.folder / f"{part}.json").write_text(json.dumps({GIVEN: self.rows(run, part)}))
        return None

    def rows(self, run: Run, part: str) -> list[list[Any]]:
        examples = part_examples(run.data, part)
        right = round(self.rates[run.arm] * len(examples))
        return [[each.id, each.title, float(i < right), float(i < right), ""] for i, each in enumerate(examples)]


Play = Callable[..., Study]  # of the arms named


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played(tmp_path / "study", {"linear": 0.5, "cnn": 0.6, "lstm": 0.7, "biaffine": 0.4, "long": 0.9})
    monkeypatch.setattr(runs, "launch", played)
    return played


@pytest.fixture
def play(file: Path, played: Played, checkpoint: str) -> Play:
    def study(
        arms: str = "cnn,lstm,biaffine", own: Sequence[str] = (), controls: Sequence[str] = (), **more: Any
    ) -> Study:
        asked: dict[str, Any] = {"sizes": SIZES, "seeds": 2, "finalists": 1, "common": SMALL, "top_k": 0}
        asked |= {"start": checkpoint} | more
        chosen = tuple(chosen_arms(arms, own, controls))
        return run_study(Design(file=file, folder=played.folder, arms=chosen, **asked))

    return study


def test_a_study_screens_every_arm_then_trains_the_plain_and_the_best_on_every_seed(play: Play, played: Played) -> None:
    study = play()
    screened = [("linear", 0), ("cnn", 0), ("lstm", 0), ("biaffine", 0)]
    assert [(arm, seed) for arm, seed, parts in played.asked if parts == ("screen",)] == screened
    dev = [("linear", 0), ("linear", 1), ("lstm", 0), ("lstm", 1)]
    assert [(arm, seed) for arm, seed, parts in played.asked if parts == ("screen", "dev")] == dev
    assert [line.stage for line in study.lines] == ["final", "screened", "chosen", "screened"]
    assert [line.part for line in study.lines] == ["dev", "screen", "dev", "screen"]
    by_name = {line.arm: line.dev for line in study.lines}
    assert (by_name["lstm"].questions, by_name["lstm"].seeds, by_name["lstm"].exact_match) == (20, 2, 0.7)
    assert (by_name["cnn"].questions, by_name["cnn"].seeds, by_name["cnn"].exact_match) == (10, 1, 0.6)
    assert by_name["lstm"].change is not None
    assert by_name["lstm"].change.mean == pytest.approx(0.7 - 0.5)


def test_test_is_read_once_and_only_after_the_choice_was_written_down(play: Play, played: Played) -> None:
    study = play()
    tested = [(arm, seed) for arm, seed, parts in played.asked if "test" in parts]
    assert tested == [("linear", 0), ("linear", 1), ("lstm", 0), ("lstm", 1)]
    assert played.chosen_when_test_was_read == ["lstm"] * 4
    assert study.choice is not None
    assert (study.choice.arm, study.choice.exact_match) == ("lstm", 0.7)
    assert {line.arm: line.test is not None for line in study.lines} == {
        "linear": True,
        "cnn": False,
        "lstm": True,
        "biaffine": False,
    }
    before = list(played.asked)
    assert play() == study
    assert played.asked == before
    assert play(test=False).choice == study.choice
    assert json.loads((played.folder / "study.json").read_text())["stage"] == "tested"


def test_a_control_is_tested_but_never_chosen(play: Play) -> None:
    study = play(own=["long=train.epochs=9"], controls=["long"])
    assert study.choice is not None
    assert study.choice.arm == "lstm"
    line = next(line for line in study.lines if line.arm == "long")
    assert line.stage == "control"
    assert line.test is not None
    assert line.test.seeds == 2


def test_no_control_is_tested_after_the_choice_that_was_none_before(play: Play, played: Played) -> None:
    play(finalists=2)
    before = len(played.asked)
    with pytest.raises(ConfigError, match=r"the choice was made from linear, cnn, lstm .* and no controls"):
        play(finalists=2, controls=["cnn"])
    assert len(played.asked) == before


def test_the_plain_reader_is_chosen_where_nothing_beats_it(play: Play) -> None:
    choice = play(arms="biaffine").choice
    assert choice is not None
    assert choice.arm == "linear"


def test_arms_join_until_the_choice_is_made_and_not_after(play: Play, played: Played) -> None:
    assert play(test=False).choice is None
    assert not any("test" in parts for _, _, parts in played.asked)
    before = len(played.asked)
    study = play(own=["long=train.epochs=9"])
    assert {arm for arm, _, parts in played.asked[before:] if "test" not in parts} == {"long"}
    assert study.choice is not None
    assert study.choice.arm == "long"
    with pytest.raises(NotReady, match="arm negatives: the choice was made and test was read"):
        play(arms="cnn,lstm,biaffine,negatives", own=["long=train.epochs=9"])
    with pytest.raises(ConfigError, match="the choice was made from linear, long with --seeds 2"):
        play(own=["long=train.epochs=9"], seeds=3)


def test_a_folder_holds_one_study(play: Play) -> None:
    play(test=False)
    with pytest.raises(ConfigError, match="holds a study in which top_k was 0"):
        play(test=False, top_k=3)
    with pytest.raises(ConfigError, match="holds a study in which threads was 1"):
        play(test=False, threads=2)
    with pytest.raises(ConfigError, match=r"arm linear was begun with train.epochs = 4.0, not 2.0"):
        play(test=False, common=(*SMALL, "train.epochs=2"))


def test_the_plan_is_written_down_before_anything_is_trained(
    play: Play, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(run: Run, *, threads: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "launch", killed)
    with pytest.raises(KeyboardInterrupt):
        play()
    monkeypatch.setattr(runs, "launch", played)
    with pytest.raises(ConfigError, match="arm linear was begun with"):
        play(common=(*SMALL, "train.epochs=2"))
    assert play().choice is not None


def test_parts_that_no_record_speaks_of_are_made_anew(play: Play, played: Played, file: Path) -> None:
    split_file(file, played.folder / "data", sizes=Sizes(10, 10, 10, 10), split_by="paragraph")
    play()
    assert len(part_examples(played.folder / "data", "train")) == 40


def test_a_training_that_fails_is_told_and_stops_no_other(play: Play, played: Played) -> None:
    played.failing = ["cnn"]
    with pytest.raises(LabelerError, match="arm cnn, seed 0: update 3: the loss is nan"):
        play()
    assert [arm for arm, _, _ in played.asked] == ["linear", "cnn", "lstm", "biaffine"]
    assert json.loads((played.folder / "study.json").read_text())["stage"] == "begun"
    played.failing = []
    choice = play().choice
    assert [arm for arm, _, _ in played.asked][4] == "cnn"
    assert choice is not None
    assert choice.arm == "lstm"


def test_what_several_trainings_fail_of_is_said_once(play: Play, played: Played) -> None:
    played.failing = ["cnn", "biaffine"]
    with pytest.raises(LabelerError, match=r"^arm cnn, seed 0; arm joint, seed 0: update 3: the loss is nan$"):
        play()


def test_the_command_prints_the_arms_and_writes_table_plot_and_record(
    file: Path, played: Played, checkpoint: str
) -> None:
    settings = [word for setting in SMALL if "device" not in setting for word in ("--set", setting)]
    sizes = ["--train", "40", "--screen-dev", "10", "--dev", "20", "--test", "20", "--seeds", "2", "--device", "cpu"]
    command = ["ablate", str(file), "--model", checkpoint, "--arms", "cnn,lstm", "-k", "0", *sizes, *settings]
    done = CliRunner().invoke(cli, [*command, "-o", str(played.folder), "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["choice"]["arm"] == "lstm"
    cnn = found["arms"]["cnn"]
    assert (cnn["exact_match"], cnn["f1"]) == (0.6, 0.6)
    assert cnn["interval"][0] <= 0.6 <= cnn["interval"][1]
    record = json.loads((played.folder / "study.json").read_text())
    assert record["arms"] == found["arms"]
    assert record["stage"] == "tested"
    assert "chosen on dev: lstm (EM 70.0)" in (played.folder / "table.txt").read_text()
    assert "<svg" in (played.folder / "plot.svg").read_text()
    told = CliRunner().invoke(cli, [*command, "-o", str(played.folder)], catch_exceptions=False).stdout
    assert told == (played.folder / "table.txt").read_text()


def test_a_model_that_is_none_is_told_at_once_and_may_be_named_again(
    play: Play, played: Played, tmp_path: Path
) -> None:
    with pytest.raises(BadCheckpoint, match=r"no config\.json, so this folder is no model"):
        play(start=str(tmp_path))
    assert not played.asked
    assert not (played.folder / "study.json").exists()
    assert play().choice is not None


def test_so_many_trainings_run_at_a_time_as_jobs_says(
    play: Play, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = threading.Barrier(2, timeout=20)

    def meeting(run: Run, *, threads: int) -> str | None:
        met.wait()
        return played(run, threads=threads)

    monkeypatch.setattr(runs, "launch", meeting)
    assert play(arms="lstm", jobs=2).choice is not None


def test_every_option_of_the_command_reaches_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Design] = []

    def run_study(design: Design) -> Study:
        asked.append(design)
        return Study((), None, design.folder)

    monkeypatch.setattr("labeler.ablation.study.run_study", run_study)
    words = "ablate F --model M --arms cnn --arm own=train.epochs=9 --control own --seeds 5 --finalists 2 --train 7"
    words += " --screen-dev 3 --dev 4 --test 6 --split-by document --metric korquad -k 8 --no-test --jobs 2"
    words += " --threads 3 --device cpu --set train.epochs=2"
    CliRunner().invoke(cli, [*words.split(), "-o", str(tmp_path)], catch_exceptions=False)
    assert asked == [
        Design(
            file=Path("F"),
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


def test_a_study_marks_by_its_metric_splits_as_asked_and_reads_so_many_passages(
    play: Play, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Run] = []

    def noting(run: Run, *, threads: int) -> str | None:
        seen.append(run)
        return played(run, threads=threads)

    monkeypatch.setattr(runs, "launch", noting)
    sizes = Sizes(train=32, screen=16, dev=32, test=16)
    play(metric="korquad", top_k=4, split_by="document", sizes=sizes, test=False)
    assert {(run.metric, run.top_k) for run in seen} == {("korquad", 4)}
    assert len({each.title for each in part_examples(seen[0].data, "train")}) == 2


def test_a_process_of_a_run_has_so_many_threads_and_runs_this_code(
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


def test_a_run_trains_and_is_marked_in_its_own_passages_and_end_to_end(
    tmp_path: Path, file: Path, checkpoint: str
) -> None:
    run = a_run(tmp_path, file, checkpoint, "train.max_steps=2")
    runs.do(runs.read_run(runs.write_run(run)))
    assert runs.is_done(run)
    found = runs.result(run)
    assert (found.cost.examples, found.cost.steps, found.cost.start_seconds) == (40, 2, 0.0)
    assert found.cost.cpu_seconds > 0
    assert found.cost.peak_mib > 50
    examples = part_examples(run.data, "screen")
    for how in (GIVEN, RETRIEVED):
        assert [mark.question_id for mark in found.marks["screen", how]] == [each.id for each in examples]
    contexts = {each.id: each.context for each in examples}
    assert all(mark.answer in contexts[mark.question_id] for mark in found.marks["screen", GIVEN])


def test_a_training_that_was_killed_goes_on_to_the_same_marks(tmp_path: Path, file: Path, checkpoint: str) -> None:
    settings = ("train.max_steps=4", "train.checkpoint_every=2")
    calm = a_run(tmp_path, file, checkpoint, *settings)
    runs.do(calm)
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
    assert runs.result(killed).marks == runs.result(calm).marks
    assert runs.result(killed).cost.steps == 4


def test_a_run_that_cannot_be_done_says_why_in_one_line(tmp_path: Path, file: Path) -> None:
    run = a_run(tmp_path, file, str(tmp_path / "nowhere"))
    why = runs.launch(run, threads=1)
    assert why is not None
    assert "nowhere" in why


def test_negatives_come_from_the_training_part_and_hold_no_answer(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = caught(monkeypatch, train_run, a_run(tmp_path, file, "none", "train.negatives=2"))
    own = {passage.text for passage in contexts_of(part_examples(tmp_path / "data", "train"))}
    assert {len(each.negatives) for each in taught["examples"]} == {2}
    for each in taught["examples"]:
        assert set(each.negatives) <= own - {each.context}
        assert not any(each.golds[0].lower() in text.lower() for text in each.negatives)


def test_without_the_setting_there_are_no_negatives(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = caught(monkeypatch, train_run, a_run(tmp_path, file, "none"))
    assert {each.negatives for each in taught["examples"]} == {()}


def test_early_stopping_watches_the_screening_questions(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path, file, "none", "train.early_stopping_patience=2")
    watched = caught(monkeypatch, train_run, run)["dev"]
    assert [each.id for each in watched] == [each.id for each in part_examples(run.data, "screen")]


class Caught(Exception):
    """Carries what the training was called with."""


def caught(monkeypatch: pytest.MonkeyPatch, function: Callable[[Run], object], run: Run) -> dict[str, Any]:
    """What the training of the run is called with; it does not take place."""

    def train(examples: object, **keywords: object) -> None:
        raise Caught({"examples": examples, **keywords})

    monkeypatch.setattr("mrc.read.train.trainer.train", train)
    with pytest.raises(Caught) as found:
        function(run)
    keywords: dict[str, Any] = found.value.args[0]
    return keywords


def test_a_prepared_start_is_made_once_for_all_runs_that_want_it(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[list[str], int]] = []

    def pretrain(start: str, texts: Sequence[str], folder: Path, *, seed: int, **_: object) -> Path:
        made.append((list(texts), seed))
        folder.mkdir()
        return folder

    monkeypatch.setattr("mrc.read.pretrain.pretraining.prepare_start", pretrain)
    run = a_run(tmp_path, file, "none", "pretrain.mlm_epochs=1")
    starts = [caught(monkeypatch, train_run, replace(run, seed=seed))["start"] for seed in (0, 1)]
    assert starts[0] == starts[1]
    assert Path(starts[0]).parent.parent == run.starts
    other = a_run(tmp_path, file, "none", "pretrain.mlm_epochs=2")
    assert caught(monkeypatch, train_run, other)["start"] != starts[0]
    parts = {part: {each.context for each in part_examples(run.data, part)} for part in ("screen", "dev", "test")}
    held_out = set().union(*parts.values())
    free = [passage.text for passage in passages_of(run.data) if passage.text not in held_out]
    assert all(parts.values())
    assert len(free) == 48 - len(held_out)
    assert made == [(free, 0), (free, 0)]  # no passage of a question that is marked; the run's seed does not count


def test_a_start_is_made_again_from_other_passages(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretrain(start: str, texts: Sequence[str], folder: Path, **_: object) -> Path:
        folder.mkdir()
        return folder

    monkeypatch.setattr("mrc.read.pretrain.pretraining.prepare_start", pretrain)
    run = a_run(tmp_path, file, "none", "pretrain.mlm_epochs=1")
    split_file(file, tmp_path / "other", sizes=Sizes(20, 10, 20, 40), split_by="paragraph")
    starts = [caught(monkeypatch, train_run, replace(run, data=tmp_path / data))["start"] for data in ("data", "other")]
    assert starts[0] != starts[1]


def test_a_start_whose_making_was_killed_at_its_end_is_used_with_what_it_took(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretrain(start: str, texts: Sequence[str], folder: Path, *, progress: Any, **_: object) -> Path:
        for step in range(1, 8):
            progress(step, 7, 0.5, 0.0)
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("mrc.read.pretrain.pretraining.prepare_start", pretrain)
    run = a_run(tmp_path, file, "none", "pretrain.mlm_epochs=1")
    with pytest.raises(KeyboardInterrupt):
        train_run(run)
    monkeypatch.setattr("mrc.read.train.trainer.train", lambda *_, **__: TrainResult(run.folder, "h", 40, 3, 1.0, 0.5))
    assert train_run(run).start_seconds > 0


def test_work_that_a_kill_undid_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "spent.json"
    path.write_text(json.dumps({"steps": {"20": 100.0, "40": 900.0}, "seconds": 900.0, "peak_mib": 9e6}))
    meter = Meter.of(path)
    meter.told(31)  # it went on from the checkpoint of step 30
    spent = meter.note()
    assert 100 <= spent.seconds < 200
    assert spent.peak_mib == 9e6


def test_the_work_of_processes_that_a_training_starts_is_counted(tmp_path: Path) -> None:
    meter = Meter.of(tmp_path / "spent.json")
    meter.told(1)
    busy = "import time; a = bytearray(9 * 10**8)\nwhile time.process_time() < 0.6: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    spent = meter.note()
    assert spent.seconds >= 0.5
    assert spent.peak_mib > 850


def test_texts_with_an_answer_are_no_negatives() -> None:
    texts = ["The Mill of Tarn.", "a mill, tarn", "Elsewhere"]
    assert list(without_answer(["mill of tarn"], texts, "squad")) == ["a mill, tarn", "Elsewhere"]


def test_the_settings_of_a_run_come_back_from_its_file(tmp_path: Path, file: Path) -> None:
    run = a_run(tmp_path, file, "none", "train.head=lstm")
    assert runs.read_run(runs.write_run(run)) == run
    assert run.config.train.negatives == 0
    assert load_config(environ={}).train.negatives == 1
