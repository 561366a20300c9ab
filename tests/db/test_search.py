"""Looking up labels, questions and passages: filters, limits and totals."""

from __future__ import annotations

from typing import Any

import pytest

from db import queries, store
from db.engine import Database
from db.errors import NotFound
from tests.db.conftest import an_import, question


def labels(database: Database, **wanted: Any) -> tuple[list[str], int]:
    with database.read() as session:
        found, total = queries.search_labels(session, **wanted)
    return [label.question_id for label in found], total


def questions(database: Database, **wanted: Any) -> tuple[list[str], int]:
    with database.read() as session:
        return queries.search_questions(session, **wanted)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["cal0", "dev0", "g0"]),
        ({"roles": ["dev"]}, ["dev0"]),
        ({"kinds": ["human"]}, []),
        ({"question_id": "g0"}, ["g0"]),
        ({"text": "ADA"}, ["g0"]),  # in the answer, in any case
        ({"text": "who is cal"}, ["cal0"]),  # in the question
        ({"text": "dev0"}, ["dev0"]),  # in the id
        ({"text": "%"}, []),  # no wildcard
        ({"text": "서울"}, []),
    ],
)
def test_labels_are_found_by_kind_role_question_and_text(
    database: Database, wanted: dict[str, Any], found: list[str]
) -> None:
    assert labels(database, **wanted) == (found, len(found))


def test_a_limit_cuts_the_list_and_not_the_total(database: Database) -> None:
    assert labels(database, limit=2) == (["cal0", "dev0"], 3)
    assert questions(database, limit=3) == (["a", "a2", "b"], 7)


def test_withdrawn_labels_are_found_only_on_request(database: Database) -> None:
    with database.write() as session:
        store.withdraw_label(session, "g0", reviewer="kim", reason="another tower")
    assert labels(database)[1] == 2
    assert labels(database, withdrawn=True) == (["cal0", "dev0", "g0"], 3)


def test_questions_are_found_by_role_text_and_whether_they_have_a_label(database: Database) -> None:
    assert questions(database, roles=["pool"]) == (["a", "a2", "b", "c"], 4)
    assert questions(database, labelled=True) == (["cal0", "dev0", "g0"], 3)
    assert questions(database, labelled=False)[0] == ["a", "a2", "b", "c"]
    assert questions(database, text="WHO IS B") == (["b"], 1)


def test_ids_come_in_code_point_order_whatever_the_database(database: Database) -> None:
    with database.write() as session:
        store.add_import(session, an_import("more.json", "pool", questions=(question("Z", "pool"),)))
        store.set_label(session, "Z", (), reviewer="kim", passages=["p0"])
    assert questions(database, limit=2)[0] == ["Z", "a"]
    assert labels(database, limit=2)[0] == ["Z", "cal0"]


def test_a_passage_is_found_by_a_unique_prefix_of_its_id(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.queries.search.SHORTEST_PREFIX", 1)
    with database.read() as session:
        assert queries.passage_by_prefix(session, "p5").text == "서울은 대한민국의 수도이다."
        with pytest.raises(NotFound, match="several passages"):
            queries.passage_by_prefix(session, "p")
        with pytest.raises(NotFound, match="not stored"):
            queries.passage_by_prefix(session, "x")


def test_a_prefix_of_three_characters_is_refused(database: Database) -> None:
    with database.read() as session, pytest.raises(NotFound, match="at least 4 characters"):
        queries.passage_by_prefix(session, "p5")


def test_the_questions_of_a_passage_came_with_it_or_are_answered_from_it(database: Database) -> None:
    with database.read() as session:
        assert queries.questions_of_passage(session, "p0") == ["g0"]
        assert queries.questions_of_passage(session, "p3") == []
