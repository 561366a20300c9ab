"""Undo and revert are inverses of import and review: random walks against a small model, and the reported cases."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.safety.walks import FILES, Walk, make_template

WALKS = 200  # more by benchmarks/walks.py
LENGTH = 14


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("walks") / "template.db")


def test_random_walks_end_as_the_model_says(template: Path, tmp_path: Path) -> None:
    for seed in range(WALKS):
        Walk(template, tmp_path / f"{seed}.db", random.Random(seed)).run(LENGTH)


def test_a_pool_question_imported_as_gold_and_undone_is_a_pool_question_again(template: Path, tmp_path: Path) -> None:
    """It stayed gold without a label, as its first import was split by a plan and named no role."""
    walk = Walk(template, tmp_path / "walk.db", random.Random(0))
    walk.add(FILES[0])
    walk.set("q0")
    walk.add(FILES[1])
    walk.check()
    walk.undo(2)
    walk.check()
    assert walk.model.roles["q0"] == "pool"
    walk.add(FILES[1])
    walk.check()
    walk.database.close()


def test_a_spare_gold_label_comes_back_with_the_revert_of_its_rounds_reviews(template: Path, tmp_path: Path) -> None:
    walk = Walk(template, tmp_path / "walk.db", random.Random(0))
    walk.add(FILES[0])
    walk.round(["q0"])
    walk.add(FILES[1])  # the question has a human label: its gold label is kept in reserve
    walk.check()
    walk.revert(walk.rounds[0], with_reviews=True)
    walk.check()
    assert walk.model.label("q0") == ("gold", "ada")
    walk.database.close()
