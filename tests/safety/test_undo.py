"""Undo and revert are inverses of import and review: random walks against a small model, and the reported cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.safety.walks import FILES, Walks

WALKS = 200  # 5,000 by benchmarks/walks.py
LENGTH = 14


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walks]:
    made = Walks(tmp_path_factory.mktemp("walks"))
    yield made
    made.close()


def test_random_walks_end_as_the_model_says(walks: Walks) -> None:
    for seed in range(WALKS):
        walks.walk(seed).run(LENGTH)


def test_a_pool_question_imported_as_gold_and_undone_is_a_pool_question_again(walks: Walks) -> None:
    """It stayed gold without a label, as its first import was split by a plan and named no role."""
    walk = walks.walk(0)
    walk.add(FILES[0])
    walk.set("q0")
    walk.add(FILES[1])
    walk.check()
    walk.undo(2)
    walk.check()
    assert walk.model.roles["q0"] == "pool"
    walk.add(FILES[1])
    walk.check()


def test_a_spare_gold_label_comes_back_with_the_revert_of_its_rounds_reviews(walks: Walks) -> None:
    walk = walks.walk(0)
    walk.add(FILES[0])
    walk.round(["q0"])
    walk.add(FILES[1])  # the question has a human label: its gold label is kept in reserve
    walk.check()
    walk.revert(walk.rounds[0], with_reviews=True)
    walk.check()
    assert walk.model.label("q0") == ("gold", "ada")


def test_a_review_that_a_later_one_replaced_stays_reverted_with_its_round(walks: Walks) -> None:
    """It came back when an earlier round was reverted without its reviews."""
    walk = walks.walk(0)
    walk.add(FILES[0])
    for reviewed in ([], ["q2"], ["q2"]):
        walk.round(reviewed)
    walk.revert(walk.rounds[1], with_reviews=True)
    walk.check()
    walk.revert(walk.rounds[0], with_reviews=False)
    walk.check()
    assert walk.model.human["q2"] == []


def test_the_answer_of_an_undone_import_stays_where_another_import_gave_it_in_reserve(tmp_path: Path) -> None:
    """Found by a walk: a human label was live when a third import gave the answer of the first one again."""
    walk = Walks(tmp_path).walk(4844)
    walk.run(20)
