"""Replay: arms on a labelled file whose answers are hidden, killed and resumed, as curves with intervals."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from db import queries
from labeler.core.errors import ConfigError, FileError
from labeler.core.runtime import Runtime
from labeler.demo.encyclopaedia import make_encyclopaedia
from labeler.evaluation.pseudo_precision import SHARES
from labeler.evaluation.scoring import QuestionScore
from labeler.planning.ahead import Ahead
from labeler.planning.evidence import gather
from labeler.planning.plan import Target, plan
from labeler.replay import ORACLE, SUPERVISED, Arm, Design, Point, Run
from labeler.replay import play as play_module
from labeler.replay import validity as validity_module
from labeler.replay.arms import ARMS, chosen_arms
from labeler.replay.forecasts import forecast_checks
from labeler.replay.page import format_replay, write_page
from labeler.replay.play import WORKSPACE, is_done
from labeler.replay.points import points, write_point
from labeler.replay.results import results
from labeler.replay.runs import write_run
from labeler.replay.study import run_replay
from labeler.replay.tables import forecast_lines
from mrc.calibration.quality import PRECISIONS
from mrc.metrics import paired_interval
from tests.commands import run
from tests.worlds import SETTINGS

SETS = tuple(f"{section}.{key}={value}" for (section, key), value in SETTINGS.items() if key != "seed")
#: as `labeler simulate` gives them
COMMON = (
    "round.reviewer=simulated",
    "train.start=builtin",
    "review.review_budget=8",
    "round.simulated_error_rate=0.0",
    *SETS,
)
SPLIT = "gold=60,dev=30,test=30,pool=60"


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Design:
    folder = tmp_path_factory.mktemp("replay")
    file = folder / "squad.json"
    file.write_text(json.dumps(make_encyclopaedia("en", seed=5, documents=80).squad()), encoding="utf-8")
    arms = chosen_arms("default", [], COMMON)
    return Design(file, folder / "study", arms, COMMON, SPLIT, None, "en", rounds=1, seeds=1, jobs=2)


def test_a_killed_replay_goes_on_and_a_finished_one_plays_nothing_again(design: Design) -> None:
    options = ["--split", SPLIT, "--rounds", "1", "--reviews", "8", "--seeds", "1", "--arms", "default"]
    sets = [part for each in SETS for part in ("--set", each)]
    command = [sys.executable, "-m", "labeler", "simulate", str(design.file), "--model", "builtin", "--language", "en"]
    command += ["-o", str(design.folder), *options, *sets]
    base = Run(design, 0)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (base.folder / WORKSPACE / "labeler.db").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not is_done(base)
    subprocess.run(["pkill", "-9", "-f", str(base.folder / "run.json")], check=False)
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told["arms"]) == [SUPERVISED, "default", ORACLE]
    assert isinstance(told["validity"], dict)
    assert [len(curve) for curve in told["arms"].values()] == [1, 2, 2]
    before = {path: path.stat().st_mtime_ns for path in design.folder.rglob("round-*.json")}
    assert len(before) == 1 + 1 + 2 + 2
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == told
    assert {path: path.stat().st_mtime_ns for path in design.folder.rglob("round-*.json")} == before


def test_arms_share_the_seed_reader_and_the_oracle_learns_the_pool(design: Design) -> None:
    replay = run_replay(design)
    starts = {arm.name: points(Run(design, 0, arm))[0].scores for arm in design.arms}
    assert len(set(starts.values())) == 1
    assert starts[SUPERVISED] == points(Run(design, 0))[0].scores
    default, oracle = replay.results["default"], replay.results[ORACLE]
    assert default.points[-1].labels > 0
    assert default.points[-1].minutes == pytest.approx(points(Run(design, 0, design.arms[1]))[-1].minutes)
    assert oracle.points[-1].labels == 0, "no person answered"
    ranking = default.points[-1].ranking
    assert list(ranking) == [
        *(f"best_{share:.2f}" for share in SHARES),
        *(f"coverage_{precision:.2f}" for precision in PRECISIONS),
    ]
    assert all(0 <= value <= 1 for value in ranking.values())
    assert default.points[-1].confidence is not None
    assert default.points[0].confidence is None
    start, last = points(Run(design, 0, design.arms[1]))
    assert ([each.rounds for each in start.forecasts], last.forecasts) == ([1], ()), "no round comes after the last"
    assert len(default.forecasts) == 1
    assert default.forecasts[0].exact_match == last.dev
    judged = last.judged
    squad = json.loads(design.file.read_text(encoding="utf-8"))["data"]
    assert len({each.document for each in judged}) > 1
    assert None not in {each.document for each in judged}, "every question of the file has a document"
    assert len({each.document for each in judged}) <= len(squad)
    assert not default.points[0].ranking, "the seed reader predicted no pool"
    log = (Run(design, 0, design.arms[-1]).folder / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert not list(design.folder.rglob(f"arm-*/{WORKSPACE}")), "played workspaces are gone"
    page = (design.folder / "simulation.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert page.count("best 50%") == 1, "of the arms, the default alone has predicted the pool"
    assert (design.folder / "table.txt").read_text(encoding="utf-8") == format_replay(replay) + "\n"


def test_a_round_that_was_closed_but_not_scored_is_not_played_again(
    design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_replay(design)
    shutil.copytree(design.folder / "seed-0" / "base", tmp_path / "seed-0" / "base")
    arm = next(arm for arm in design.arms if arm.name == "default")
    run = Run(replace(design, folder=tmp_path), 0, arm)

    def killed(run: Run, point: Point) -> None:
        if point.round == 1:
            raise KeyboardInterrupt
        write_point(run, point)

    run.folder.mkdir()
    monkeypatch.setattr(play_module, "write_point", killed)
    with pytest.raises(KeyboardInterrupt):
        play_module.play(run)
    monkeypatch.undo()
    play_module.play(run)
    resumed, whole = points(run), points(Run(design, 0, arm))
    assert [(each.human, each.taught, each.scores) for each in resumed] == [
        (each.human, each.taught, each.scores) for each in whole
    ]
    assert not (run.folder / WORKSPACE).exists()


#: plays a run and kills itself with -9 where a function is called for the so-manieth time; targets that the tiny reader
#: reaches, so that the validity experiment has something to draw
KILLED = """
import os, signal, sys
from importlib import import_module
from pathlib import Path
from labeler.replay import runs, validity

validity.TARGETS = (0.01, 0.02)
path, module, name, left = sys.argv[1], *sys.argv[2].rsplit(".", 1), int(sys.argv[3])
holder = Path if module == "pathlib.Path" else import_module(module)
called = getattr(holder, name)

def killing(*arguments, **named):
    global left
    left -= name != "replace" or arguments[1].name == "round-1.json"
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return called(*arguments, **named)

setattr(holder, name, killing)
runs.main(path)
"""


def test_a_run_killed_while_it_draws_audits_and_stores_its_round_ends_as_an_undisturbed_one(
    design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_replay(design)
    arm, ends = next(arm for arm in design.arms if arm.name == "default"), []
    for name in ("killed", "undisturbed"):
        shutil.copytree(design.folder / "seed-0" / "base", tmp_path / name / "seed-0" / "base")
        run = Run(replace(design, folder=tmp_path / name), 0, arm)
        path = write_run(run)
        if name == "killed":
            for place, call, stored in (
                ("labeler.replay.validity.redraw", "3", 1),  # the first of the second target
                ("labeler.replay.play.write_point", "1", 1),
                ("pathlib.Path.replace", "1", 1),  # the file is written and not yet in its place
                ("labeler.replay.play.remove_folder", "1", 2),
            ):
                command = [sys.executable, "-c", KILLED, str(path), place, call]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == -signal.SIGKILL, done.stderr
                assert len(points(run)) == stored, f"killed in {place}"
                assert (run.folder / WORKSPACE).exists()
        monkeypatch.setattr(validity_module, "TARGETS", (0.01, 0.02))
        play_module.play(run)
        assert not (run.folder / WORKSPACE).exists()
        assert sorted(each.name for each in run.folder.iterdir() if each.name != ".lock") == [
            "round-0.json",
            "round-1.json",
            "run.json",
        ], "nothing half written is left"
        ends.append([replace(each, seconds=0.0) for each in points(run)])
    assert [(each.target, each.audits) for each in ends[0][1].validity] == [
        (target, audits) for target in (0.01, 0.02) for audits in (150, 300)
    ]
    assert ends[0] == ends[1]


def test_arms_can_be_added_but_not_changed(design: Design) -> None:
    more = replace(design, arms=(*design.arms, Arm("few", ("review.review_budget=4",))))
    assert [len(each.points) for each in run_replay(more).results.values()] == [1, 2, 2, 2]
    with pytest.raises(ConfigError, match=r"arm few was review\.review_budget=4"):
        run_replay(replace(design, arms=(*design.arms, Arm("few", ("review.review_budget=5",)))))
    with pytest.raises(ConfigError, match="holds a replay in which rounds was 1"):
        run_replay(replace(design, rounds=2))


def test_a_folder_with_other_things_is_refused(design: Design, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileError, match="holds no replay"):
        run_replay(replace(design, folder=tmp_path))


def test_a_run_that_fails_is_named_with_its_reason(design: Design, tmp_path: Path) -> None:
    from labeler.core.errors import LabelerError

    with pytest.raises(LabelerError, match="default, seed 0: the simulated reviewer needs a pool"):
        run_replay(replace(design, folder=tmp_path / "study", split="gold=60,dev=30,test=100000"))


@pytest.mark.parametrize(
    ("names", "own", "said"),
    [
        ("defualt", [], "did you mean default"),
        ("default", ["default=review.review_budget=3"], "already an arm of this name"),
        ("", ["a=review.no_such=1"], "arm a: .*no_such"),
        ("", ["a"], "write it as NAME"),
        ("", ["a=simulate.generation=2"], "arm a: no setting simulate.generation; known are simulate.own_base"),
        ("", ["a=simulate.generations=9"], "arm a: simulate.generations must be one of 1, 2, 3, got '9'"),
    ],
)
def test_a_wrong_arm_is_refused_before_anything_is_played(names: str, own: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        chosen_arms(names, own, COMMON)


@pytest.mark.parametrize("name", ARMS)
def test_every_named_arm_has_settings_that_exist(name: str) -> None:
    assert name in {arm.name for arm in chosen_arms(name, [], COMMON)}


def test_the_help_names_every_arm() -> None:
    words = set(re.findall(r"[\w-]+", run("simulate", "--help").out))
    assert set(ARMS) <= words


def played_base(design: Design) -> None:
    """Play the base of the first seed in this process."""
    base = Run(design, 0)
    base.folder.mkdir(parents=True)
    play_module.play(base)


def played_arm(design: Design, folder: Path, *own: str, rounds: int = 1) -> tuple[Run, Runtime]:
    """The run of an arm of one's own that was played, and its workspace, which is kept."""
    arm = chosen_arms("", own, COMMON)[-1]
    run = Run(replace(design, folder=folder, rounds=rounds), 0, arm)
    run.folder.mkdir(parents=True)
    play_module._play_arm(run, oracle=False)
    return run, play_module._runtime(run)


def test_a_second_generation_is_a_round_without_reviews_on_the_labels_of_the_first_student(
    design: Design, tmp_path: Path
) -> None:
    run_replay(design)
    shutil.copytree(design.folder / "seed-0" / "base", tmp_path / "seed-0" / "base")
    run, runtime = played_arm(design, tmp_path, "mine=second-generation,review.review_budget=4", rounds=1)
    with closing(runtime), runtime.database.read() as session:
        rounds = queries.rounds(session)
        assert [(row.number, row.reviewer, row.stage) for row in rounds[1:]] == [
            (1, "simulated", "closed"),
            (2, "none", "closed"),
        ]
        assert [len(queries.tasks(session, round_number=number)) for number in (1, 2)] == [4, 0]
    assert [each.human for each in points(run)] == [0, 4]


def test_an_arm_with_folds_trains_a_seed_reader_of_its_own_and_is_scored_on_the_same_questions(
    design: Design, tmp_path: Path
) -> None:
    run_replay(design)
    shutil.copytree(design.folder / "seed-0" / "base", tmp_path / "seed-0" / "base")
    run, runtime = played_arm(design, tmp_path, "mine=folds-2,train.epochs=1")
    with closing(runtime), runtime.database.read() as session:
        names = {model.name for model in queries.models(session) if model.round_number == 0}
        assert names == {"student", "fold-1-of-2", "fold-2-of-2"}
        assert not queries.questions(session, roles=["calibration"]), "all gold labels teach"
    base = points(Run(design, 0))[0]
    assert [each.question_id for each in points(run)[0].scores] == [each.question_id for each in base.scores]
    assert len(points(run)) == 2


# --- results ----------------------------------------------------------------------------------------


def point(number: int, right: str, *, human: int = 0) -> Point:
    """A point whose questions are right where the pattern has a plus; two questions a document."""
    scores = tuple(
        QuestionScore(f"q{place}", f"d{place // 2}", float(mark == "+"), float(mark == "+"))
        for place, mark in enumerate(right)
    )
    return Point(number, human, human * 1.0, 0, None, True, 60.0, scores)


def test_gains_are_paired_by_seed_and_drawn_by_document_over_all_seeds(design: Design) -> None:
    arms = (Arm(SUPERVISED, ()), Arm("mine", ()), Arm(ORACLE, ()))
    played = {
        SUPERVISED: {0: [point(0, "+---")], 1: [point(0, "--+-")]},
        "mine": {0: [point(0, "+---"), point(1, "++--", human=10)], 1: [point(0, "--+-"), point(1, "--++", human=20)]},
        ORACLE: {0: [point(0, "+---"), point(1, "++++")], 1: [point(0, "--+-"), point(1, "+-++")]},
    }
    found = results(replace(design, arms=arms), played).results
    last = found["mine"].points[-1]
    assert (last.exact_match, last.labels) == (0.5, 15)
    after, before = [1, 1, 0, 0, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0, 1, 0]
    documents = ["d0", "d0", "d1", "d1"] * 2
    assert last.change == paired_interval(after, before, documents, rng=np.random.default_rng(0))
    assert last.change.mean == 0.25
    assert found[ORACLE].points[-1].change.mean == 5 / 8
    assert found["mine"].gap_closed == pytest.approx(0.4)  # .25 of .625
    assert found["mine"].lowest_change == 0.25
    assert (found["mine"].seconds, found["mine"].seeds) == (60, 2)
    assert found["mine"].spread == 0.0, "both readers of the last round are right half of the time"
    assert found[ORACLE].spread == pytest.approx(np.std([1.0, 0.75], ddof=1))


def test_a_seed_that_is_not_finished_does_not_count(design: Design) -> None:
    arms = (Arm(SUPERVISED, ()), Arm("mine", ()))
    played = {SUPERVISED: {0: [point(0, "+-")]}, "mine": {1: [point(0, "++"), point(1, "++")]}}
    assert list(results(replace(design, arms=arms), played).results) == [SUPERVISED]


def test_readers_that_answered_different_questions_are_not_compared(design: Design) -> None:
    played = {SUPERVISED: {0: [point(0, "+-")]}, "mine": {0: [point(0, "+-"), point(1, "+-+")]}}
    with pytest.raises(ValueError, match="not paired"):
        results(replace(design, arms=(Arm(SUPERVISED, ()), Arm("mine", ()))), played)


# --- forecasts --------------------------------------------------------------------------------------


def test_a_round_stores_what_plan_says_of_the_later_ones_and_what_its_reader_brought(
    design: Design, tmp_path: Path
) -> None:
    """Before three rounds; plan on the same workspace says the same."""
    run = Run(replace(design, folder=tmp_path, rounds=3), 0, design.arms[1])
    played_base(run.design)
    run.folder.mkdir()
    play_module._copy_base(run)
    with closing(play_module._runtime(run)) as runtime:
        found = play_module._point(run, runtime, 0, 0.0)
        with runtime.database.read() as session:
            seen = gather(session, runtime.config)
        told, budget = plan(seen, runtime.config, Target()), runtime.config.review.review_budget
    assert [each.rounds for each in found.forecasts] == [1, 2, 3]
    printed = {each.labels: each.exact_match for each in told.curve}
    for each in found.forecasts:
        assert each.labels == (told.trained_on or 0) + budget * each.rounds
        shown = printed[budget * each.rounds]
        assert (each.low, each.median, each.high) == (shown.low, shown.median, shown.high)
        assert each.single_low < each.low <= each.high < each.single_high, "one training differs from the next"
    assert found.dev == told.exact_match, "of the seed reader, which is the current one"


def told(number: int, dev: float | None, *ranges: tuple[float, float, float]) -> Point:
    """A point that forecasts these ranges for the rounds after it."""
    forecasts = tuple(
        Ahead(place, 500, median, low, high, low - 0.02, high + 0.02)
        for place, (low, median, high) in enumerate(ranges, start=1)
    )
    return replace(point(number, "+-"), dev=dev, forecasts=forecasts)


FIRST = [told(0, 0.3, (0.33, 0.35, 0.37), (0.34, 0.38, 0.40)), told(1, 0.36, (0.37, 0.38, 0.39)), told(2, 0.405)]
SECOND = [told(0, 0.3, (0.33, 0.35, 0.37), (0.34, 0.38, 0.40)), told(1, 0.29, (0.29, 0.30, 0.31)), told(2, 0.32)]


def test_forecasts_after_each_round_are_checked_against_the_later_ones() -> None:
    one, two, last = forecast_checks([FIRST, SECOND])
    assert [(each.after, each.round, each.seeds) for each in (one, two, last)] == [(0, 1, 2), (0, 2, 2), (1, 2, 2)]
    assert (one.held, one.held_single) == (1, 1), ".36 is in, .29 is below both ranges"
    assert (two.held, two.held_single) == (0, 2), ".405 and .32 are out by less than one training differs"
    assert (last.held, last.held_single) == (0, 2)
    assert (one.forecast, one.low, one.high) == pytest.approx((0.35, 0.33, 0.37))
    assert (last.forecast, last.exact_match) == pytest.approx((0.34, 0.3625))
    assert last.error == pytest.approx((0.025 + 0.02) / 2)


def test_rounds_that_trained_no_reader_or_were_not_forecast_are_not_checked() -> None:
    assert forecast_checks([[FIRST[0], replace(FIRST[1], dev=None)]]) == ()
    assert forecast_checks([[replace(each, forecasts=()) for each in FIRST]]) == ()
    assert forecast_checks([FIRST[:1]]) == ()
    assert forecast_checks([]) == ()


def test_the_table_says_what_plan_said_and_points_keep_it(design: Design, tmp_path: Path) -> None:
    arms = (Arm(SUPERVISED, ()), Arm("mine", ()))
    run = Run(replace(design, folder=tmp_path), 0, arms[1])
    run.folder.mkdir(parents=True)
    for each in FIRST:
        write_point(run, each)
    assert points(run) == FIRST
    replay = results(
        replace(design, folder=tmp_path, arms=arms), {SUPERVISED: {0: FIRST[:1]}, "mine": {0: points(run)}}
    )
    lines = forecast_lines(replay)
    assert len(lines) == 3
    assert lines[0].startswith("mine: after round 0, plan forecast EM 35.0 on dev (33.0 to 37.0) for round 1, which ")
    assert "brought 36.0; in the 80% range for 1 of 1 seeds" in lines[0]
    for line in lines:
        assert line in format_replay(replay)
        assert line in write_page(replay).read_text(encoding="utf-8")
