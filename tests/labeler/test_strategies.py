"""Query strategies: the built-in rankings, and those of installed packages with everything that can be wrong there."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labeler.core.errors import BadStrategy, ConfigError
from labeler.core.round_settings import SelectConfig
from labeler.replay.arms import ARMS, chosen_arms
from labeler.rounds.select import Plan, plan
from labeler.rounds.strategies import STRATEGIES, Candidate, check_name, get_strategy, plugins
from tests.commands import run

PAGE = Path(__file__).parents[2] / "docs" / "reviewing.md"
WHOLE = {"random_share": 0.0, "uncertain_share": 1.0, "suspect_share": 0.0, "first_random_share": 0.0}


def candidate(number: int, **more: Any) -> Candidate:
    fields: dict[str, Any] = {
        "question_id": f"q{number}",
        "question": f"Question {number}?",
        "split_group": f"g{number}",
        "answer": "a" * (number + 1),
        "passage_id": "p",
        "score": 0.5,
        "confidence": 0.5,
        "passage_rank": 0,
        "margin": 0.5,
        "support": 1,
        "features": {"answer_length": number + 1.0},
    }
    return Candidate(**(fields | more))


def selected(strategy: str, pool: list[Candidate], budget: int, **settings: Any) -> list[str]:
    found = get_strategy(SelectConfig(strategy=strategy, **settings), suspect=0)
    return list(found(pool, budget, rng=np.random.default_rng(0)))


def planned(pool: list[Candidate], strategy: str, budget: int = 3, seed: int = 0, **shares: float) -> Plan:
    config = SelectConfig(strategy=strategy, review_budget=budget, **(WHOLE | shares))  # type: ignore[arg-type]
    return plan(pool, config, seed=seed, round_number=2)


def ids(made: Plan, kind: str) -> set[str]:
    return {task.question_id for task in made.tasks if task.kind == kind}


# --- built in -------------------------------------------------------------------------------------


def test_uncertain_takes_the_confidences_nearest_to_the_middle_of_the_band() -> None:
    pool = [candidate(n, confidence=c) for n, c in enumerate((0.1, 0.41, 0.45, 0.5, None, 0.9))]
    assert selected("uncertain", pool, 3) == ["q2", "q1", "q3"]  # the middle of .2 and .7 is .45
    assert selected("uncertain", pool, 1, uncertain_low=0.8, uncertain_high=1.0) == ["q5"]
    assert selected("uncertain", pool, 9) == ["q2", "q1", "q3", "q0", "q5"]


def test_margin_takes_the_closest_answers() -> None:
    pool = [candidate(n, margin=m) for n, m in enumerate((0.3, 0.0, None, 0.2, 0.2))]
    assert selected("margin", pool, 3) == ["q1", "q3", "q4"]


def test_disagreement_takes_answers_from_other_passages_than_the_first_the_surest_first() -> None:
    ranks = (0, 2, 1, None, 1)
    pool = [candidate(n, passage_rank=rank, score=0.1 * n) for n, rank in enumerate(ranks)]
    assert selected("disagreement", pool, 9) == ["q4", "q2", "q1"]


@pytest.mark.parametrize("strategy", ["uncertain", "margin"])
def test_a_second_question_of_a_paragraph_comes_after_the_first_of_all(strategy: str) -> None:
    groups = ("a", "a", "b", "a", "b")
    pool = [candidate(n, split_group=g, margin=0.1 * n, confidence=0.45 + 0.01 * n) for n, g in enumerate(groups)]
    assert selected(strategy, pool, 3) == ["q0", "q2", "q1"]


def test_random_draws_everything_blind() -> None:
    made = planned([candidate(n) for n in range(9)], "random", budget=4)
    assert {(task.kind, task.blind) for task in made.tasks} == {("random", True)}
    assert len(made.tasks) == 4


def test_the_random_share_stays_and_does_not_depend_on_the_strategy() -> None:
    pool = [candidate(n, passage_rank=1, margin=0.01 * n) for n in range(30)]
    shares = {"random_share": 0.5, "uncertain_share": 0.5}
    drawn = {name: planned(pool, name, budget=10, **shares) for name in STRATEGIES}
    assert len({frozenset(ids(drawn[name], "random")) for name in ("default", "margin", "disagreement")}) == 1
    assert {len(ids(made, "random")) for name, made in drawn.items() if name != "random"} == {5}


def test_what_a_strategy_leaves_over_is_drawn_at_random() -> None:
    pool = [candidate(n, passage_rank=int(n == 7)) for n in range(9)]
    made = planned(pool, "disagreement", budget=4)
    assert ids(made, "uncertain") == {"q7"}
    assert len(ids(made, "random")) == 3


def test_a_confident_question_is_reviewed_as_a_suspect() -> None:
    made = planned([candidate(0, confidence=0.95), candidate(1, confidence=0.7)], "margin", budget=2)
    assert (ids(made, "suspect"), ids(made, "uncertain")) == ({"q0"}, {"q1"})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equal_candidates_in_any_order_give_an_equal_plan(strategy: str) -> None:
    pool = [candidate(n, passage_rank=n % 3, margin=0.1, confidence=0.3 + 0.01 * n) for n in range(40)]
    assert planned(pool, strategy, budget=12) == planned(pool[::-1], strategy, budget=12)


def test_each_strategy_is_an_arm_with_the_whole_budget() -> None:
    for name in ("uncertain", "margin", "disagreement"):
        assert {f"review.strategy={name}", "review.random_share=0"} <= set(ARMS[f"strategy-{name}"])
    with pytest.raises(ConfigError, match=r"arm own: review\.strategy must be one of default, random, .*got 'nearest'"):
        chosen_arms("", ["own=review.strategy=nearest"], [])


def test_a_round_with_an_unknown_strategy_is_not_opened(baseline: Path) -> None:
    fault = run("round", "--set", "review.strategy=nearest", "-w", baseline).fault
    assert fault.startswith(
        "review.strategy must be one of default, random, uncertain, margin, disagreement, got 'nearest'"
    )
    assert run("rounds", "list", "-w", baseline).out.count("closed") == 1


# --- of other packages ----------------------------------------------------------------------------


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package with strategies: `brought(code, **entries)`."""

    def install(code: str, **entries: str) -> None:
        (tmp_path / "own_choice.py").write_text(code)
        folder = tmp_path / "own_choice-2.5.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: own-choice\nVersion: 2.5\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines]))
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    sys.modules.pop("own_choice", None)


WRONG = """
number = 3
class Kept: pass
def raises(candidates, budget, *, rng): raise KeyError("two\\nlines")
def stops(candidates, budget, *, rng): yield from iter([candidates[0].question_id, 1 / 0])
def unknown(candidates, budget, *, rng): return ["q0", "q99"]
def twice(candidates, budget, *, rng): return ["q1", "q0", "q1"]
def greedy(candidates, budget, *, rng): return [each.question_id for each in candidates]
def whole(candidates, budget, *, rng): return list(candidates[:1])
def none(candidates, budget, *, rng): return None
def text(candidates, budget, *, rng): return "q0"
def narrow(candidates): return []
def first(candidates, budget, *, rng): return (each.question_id for each in candidates[:budget])
def empty(candidates, budget, *, rng): return []
"""


def test_the_example_of_the_documentation_works_once_installed(brought: Any) -> None:
    (code,) = re.findall(r"```python\n(def longest.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    brought(code, longest="own_choice:longest")
    check_name("longest")
    pool = [candidate(n) for n in range(8)]
    made = planned(pool, "longest", budget=3)
    assert ids(made, "uncertain") == {"q5", "q6", "q7"}
    assert planned(pool[::-1], "longest", budget=3) == made


def test_a_strategy_of_a_package_may_return_fewer_and_any_iterable(brought: Any) -> None:
    brought(WRONG, first="own_choice:first", empty="own_choice:empty")
    pool = [candidate(n) for n in range(5)]
    assert ids(planned(pool, "first", budget=2), "uncertain") == {"q0", "q1"}
    assert ids(planned(pool, "empty", budget=2), "uncertain") == set()
    assert len(planned(pool, "empty", budget=2).tasks) == 2


def test_a_strategy_is_not_called_without_a_budget_or_candidates(brought: Any) -> None:
    brought(WRONG, raises="own_choice:raises")
    assert planned([candidate(0)], "raises", budget=0).tasks == ()
    assert planned([], "raises", budget=3).tasks == ()


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ("own_choice:missing", "cannot be loaded: AttributeError: .*missing"),
        ("own_nothing:first", "cannot be loaded: ModuleNotFoundError: No module named 'own_nothing'"),
        ("own_choice:number", "is no function; the entry point must name one"),
        ("own_choice:Kept", "is no function; the entry point must name one"),
        ("own_choice:raises", "failed: KeyError: .*two.*lines"),
        ("own_choice:stops", "failed: ZeroDivisionError: division by zero"),
        ("own_choice:narrow", "failed: TypeError: narrow"),
        ("own_choice:none", "failed: TypeError: .*not iterable"),
        ("own_choice:unknown", "returned 'q99', which is no question id of its candidates"),
        ("own_choice:text", "returned 'q', which is no question id of its candidates"),
        ("own_choice:twice", "returned 'q1' 2 times; it must return each question once"),
        ("own_choice:greedy", "returned 4 questions for a budget of 3"),
        ("own_choice:whole", r"returned Candidate\(.*; it must return question ids, which are strings"),
    ],
)
def test_an_unusable_strategy_is_named_in_one_line(brought: Any, entry: str, error: str) -> None:
    brought(WRONG, own=entry)
    with pytest.raises(BadStrategy, match=f"^the query strategy own \\({entry}\\) {error}") as caught:
        planned([candidate(n) for n in range(4)], "own")
    assert "\n" not in str(caught.value)


def test_a_package_whose_import_fails_is_named(brought: Any) -> None:
    brought("raise RuntimeError('no licence')", own="own_choice:first")
    with pytest.raises(BadStrategy, match=r"own \(own_choice:first\) cannot be loaded: RuntimeError: no licence"):
        planned([candidate(0)], "own")


def test_names_are_checked_without_loading_and_a_built_in_name_stays_ours(brought: Any) -> None:
    brought("raise RuntimeError", own="own_choice:first", margin="own_choice:first")
    check_name("own")
    assert selected("margin", [candidate(0)], 1) == ["q0"]
    with pytest.raises(ConfigError, match=r"one of default, .*own, got 'x'"):
        check_name("x")


def test_two_packages_with_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [importlib.metadata.EntryPoint("own", f"{name}:f", plugins.GROUP) for name in ("b", "a")]
    monkeypatch.setattr(plugins, "entry_points", lambda **_: points)
    with pytest.raises(BadStrategy, match="two packages define a query strategy own: a:f, b:f; uninstall one"):
        plugins.PluginStrategy("own")
