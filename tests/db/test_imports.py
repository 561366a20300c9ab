"""Imports: added, overlapping, undone; held-out questions stay held out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db import hidden_answers, queries, store
from db.engine import Database
from db.errors import Conflict, NotFound, SpanConflict
from db.rows import DocumentRow, HiddenRow, NewImport, NewLabel, PassageRow, SpanRow
from db.store.undo import restore_gold
from mrc.retrieve.index import corpus_fingerprint
from tests.db.conftest import EXAMPLE, an_import, open_round, passages, play_round, pseudo, question, span, task


def answers(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {row.question_id: row.answers[0].text for row in queries.live_labels(session, kinds=["gold"])}


def test_an_import_is_counted_and_its_answers_are_live(database: Database) -> None:
    with database.read() as session:
        counts = queries.counts(session)
        assert counts.questions == {"gold": 1, "calibration": 1, "dev": 1, "test": 0, "pool": 4}
        assert counts.labels == {"gold": 3, "human": 0, "pseudo": 0}
        assert (counts.documents, counts.passages) == (3, 6)
        assert [row.id for row in queries.iter_passages(session, batch=2)] == queries.corpus_ids(session)
    assert answers(database) == {"g0": "Ada", "dev0": "Bob", "cal0": "Cyd"}


def test_the_same_content_again_adds_nothing(database: Database) -> None:
    with database.write() as session:
        done = store.add_import(session, EXAMPLE)
        assert (done.import_id, done.passages, done.questions, done.labels) == (1, 0, 0, 0)
        assert len(queries.imports(session)) == 1


def test_labels_of_held_out_questions_have_weight_zero(database: Database) -> None:
    with database.read() as session:
        weights = {row.question_id: row.train_weight for row in queries.live_labels(session)}
    assert weights == {"g0": 1.0, "dev0": 0.0, "cal0": 0.0}


def test_undoing_an_import_makes_its_rows_inactive_and_importing_it_again_brings_them_back(database: Database) -> None:
    with database.write() as session:
        store.add_tasks(session, open_round(session).number, [task("b")])
        done = store.undo_import(session, 1)
        assert (done.passages, done.questions, done.labels, done.hidden) == (6, 7, 3, 2)
        assert queries.counts(session).questions == dict.fromkeys(queries.counts(session).questions, 0)
        assert hidden_answers.count(session) == 0
        assert [row.state for row in queries.tasks(session)] == ["withdrawn"]
        assert queries.training_labels(session) == []
    assert answers(database) == {}
    with database.write() as session:
        again = store.add_import(session, EXAMPLE)
        assert (again.passages, again.questions, again.labels) == (6, 7, 3)
        assert hidden_answers.count(session) == 2
    assert answers(database) == {"g0": "Ada", "dev0": "Bob", "cal0": "Cyd"}


def test_rows_that_another_import_brought_too_stay_active(database: Database) -> None:
    more = an_import(
        "more",
        "gold",
        passages=passages("p0"),
        questions=(question("g0", "gold", context="p0"),),
        labels=(NewLabel("g0", (span("p0"),)),),
    )
    with database.write() as session:
        assert store.add_import(session, more).labels == 0
        done = store.undo_import(session, 1)
        assert (done.passages, done.questions, done.labels) == (5, 6, 2)
    assert answers(database) == {"g0": "Ada"}
    with database.write() as session:
        store.undo_import(session, 2)
    assert answers(database) == {}


def test_a_second_gold_label_becomes_live_when_the_first_import_is_undone(database: Database) -> None:
    other = SpanRow("first", "p0", 14, 19)
    more = an_import(
        "more",
        "gold",
        passages=passages("p0"),
        questions=(question("g0", "gold", context="p0"),),
        labels=(NewLabel("g0", (other,)),),
    )
    with database.write() as session:
        store.add_import(session, more)
    assert answers(database)["g0"] == "Ada"
    with database.write() as session:
        assert store.undo_import(session, 1).restored == 1
    assert answers(database) == {"g0": "first"}


def test_an_import_is_undone_once_and_only_if_it_exists(database: Database) -> None:
    with database.write() as session:
        store.undo_import(session, 1)
    with pytest.raises(Conflict, match="undone already"), database.write() as session:
        store.undo_import(session, 1)
    with pytest.raises(NotFound, match="no import 9"), database.write() as session:
        store.undo_import(session, 9)


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"passages": (PassageRow("p0", "d0", 0, "Another text."),)}, "passage p0 is stored with another text"),
        ({"questions": (replace(question("a", "pool"), text="Another?"),)}, "'a' is stored with other content"),
        ({"questions": (question("dev0", "gold", context="p1"),)}, "'dev0' was imported as dev, not gold"),
        ({"questions": (question("g0", "pool", context="p0"),)}, "'g0' was imported as gold, not pool"),
        ({"labels": (NewLabel("g0", (span("p0"),)),) * 2}, "two gold labels"),
    ],
)
def test_an_import_that_contradicts_stored_rows_is_refused_whole(
    database: Database, parts: dict[str, object], match: str
) -> None:
    fresh = {"passages": passages("p0")} | parts
    with pytest.raises(Conflict, match=match), database.write() as session:
        store.add_import(session, an_import("bad", "gold", **fresh))
    with database.read() as session:
        assert len(queries.imports(session)) == 1


def test_hidden_answers_must_be_in_their_passages(database: Database) -> None:
    bad = HiddenRow("c", False, (SpanRow("Eve", "p3", 0, 3),))
    with pytest.raises(SpanConflict, match="'c'"), database.write() as session:
        store.add_import(session, an_import("bad", "pool", hidden=(bad,)))


def test_hidden_answers_are_read_by_question(database: Database) -> None:
    with database.read() as session:
        found = hidden_answers.answers(session, ["a", "b", "c"])
    assert found == {"a": HiddenRow("a", False, (span("p3"),)), "b": HiddenRow("b", True, ())}


def test_a_pool_question_imported_as_gold_loses_its_pseudo_label_and_undoing_returns_it(database: Database) -> None:
    only_pool = an_import("pool", "pool", questions=(question("x", "pool"),))
    gold = an_import(
        "gold",
        "gold",
        questions=(question("x", "gold"),),
        labels=(NewLabel("x", (span("p4"),)),),
    )
    with database.write() as session:
        store.add_import(session, only_pool)
        play_round(session, pseudo_labels=(pseudo("x"),))
        store.add_import(session, gold)
        assert queries.question(session, "x").role == "gold"
        assert [(row.kind, row.live) for row in queries.labels(session, question_id="x")] == [
            ("pseudo", False),
            ("gold", True),
        ]
        store.undo_import(session, 3)
        assert queries.question(session, "x").role == "pool"
        assert "x" in {row.id for row in queries.pool_to_predict(session)}


def test_a_duplicate_becomes_canonical_when_its_original_goes(database: Database) -> None:
    more = an_import("more", "pool", questions=(question("a2", "pool", duplicate_of="a"),))
    with database.write() as session:
        assert [row.id for row in queries.pool_to_predict(session)] == ["a", "b", "c"]
        store.add_import(session, more)
        store.undo_import(session, 1)
        assert [row.id for row in queries.pool_to_predict(session)] == ["a2"]


def test_a_question_held_out_later_is_no_longer_trained_on(database: Database) -> None:
    with database.write() as session:
        assert store.set_roles(session, {"g0": "calibration", "dev0": "dev"}) == 1
        assert queries.training_labels(session) == []
        label = queries.live_labels(session, question_ids=["g0"])[0]
        assert (label.question_role, label.train_weight) == ("calibration", 0.0)
        stored = queries.question(session, "g0")
        assert (stored.role, stored.imported_role) == ("calibration", "gold")
        assert "p0" in queries.held_out_passages(session)


def test_a_held_out_question_can_never_be_trained_on(database: Database) -> None:
    with pytest.raises(Conflict, match="never be trained on"), database.write() as session:
        store.set_roles(session, {"dev0": "gold"})


def test_a_question_with_a_pseudo_label_cannot_be_held_out(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
    with pytest.raises(Conflict, match="has a pseudo-label"), database.write() as session:
        store.set_roles(session, {"a": "dev"})


def test_known_questions_passages_and_documents_have_a_side(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
        roles = queries.known_roles(session, ["n-a", "n-dev0", "n-new"])
        assert {key: (row.question_id, row.role) for key, row in roles.items()} == {
            "n-a": ("a", "pool"),
            "n-dev0": ("dev0", "dev"),
        }
        assert queries.passage_sides(session, ["p0", "p1", "p2", "p3"]) == {
            "p0": "train",
            "p1": "dev",
            "p2": "calibration",
        }
        assert queries.document_sides(session, ["d0", "d1", "d2"]) == {"d0": "dev", "d1": "calibration"}
        assert queries.held_out_passages(session) == {"p1", "p2"}


def test_a_split_is_evaluated_on_its_questions_with_all_golds(database: Database) -> None:
    with database.read() as session:
        (row,) = queries.labelled_questions(session, "dev")
    assert (row.question.id, row.label.answers, row.document_id) == ("dev0", (span("p1"),), "d0")


def test_a_question_that_leaves_the_pool_loses_its_pseudo_label(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
        store.undo_import(session, 1)
        store.move_questions(session, ["a"], "dev", imported=True)
        assert [row.withdrawal_reason for row in queries.labels(session, question_id="a")] == [
            "the question moved to dev"
        ]


def test_facts_about_the_workspace_are_stored_and_replaced(database: Database) -> None:
    with database.write() as session:
        assert queries.get_meta(session, "index") is None
        store.set_meta(session, "index", "one")
        store.set_meta(session, "index", "two")
        assert queries.get_meta(session, "index") == "two"


# --- golds with their counts ---------------------------------------------------------------------


TWICE = (span("p0", 4, 9), span("p0"), span("p0", 4, 9))  # wrote, Ada, wrote


def golds(database: Database, question_id: str = "g1") -> tuple[list[str], list[str]]:
    """The answers of a live label, distinct and as its file gave them."""
    with database.read() as session:
        (label,) = queries.live_labels(session, question_ids=[question_id])
    return [one.text for one in label.answers], [one.text for one in label.all_answers]


def gold_import(name: str, *given: SpanRow) -> NewImport:
    ranked = tuple(sorted(set(given), key=lambda one: (-given.count(one), one.start)))
    label = NewLabel("g1", ranked, all_answers=given)
    asked = (question("g1", "gold", context="p0"),)
    return an_import(name, "gold", passages=passages("p0"), questions=asked, labels=(label,))


def test_answers_are_stored_as_often_and_in_the_order_that_their_file_gives_them(database: Database) -> None:
    with database.write() as session:
        store.add_import(session, gold_import("one", *TWICE))
    assert golds(database) == (["wrote", "Ada"], ["wrote", "Ada", "wrote"])
    assert golds(database, "g0") == (["Ada"], [])  # given once: nothing more to know


def test_another_number_of_times_is_another_label_in_reserve(database: Database) -> None:
    with database.write() as session:
        first = store.add_import(session, gold_import("one", *TWICE)).import_id
        store.add_import(session, gold_import("two", *TWICE[1:]))
        store.add_import(session, gold_import("three", *reversed(TWICE)))  # the same counts: linked to the first
    assert golds(database)[1] == ["wrote", "Ada", "wrote"]
    with database.write() as session:
        store.undo_import(session, first)
    assert golds(database)[1] == ["wrote", "Ada", "wrote"]  # the third brought it too
    with database.write() as session:
        store.undo_import(session, 4)
    assert golds(database)[1] == ["Ada", "wrote"]


def test_a_restored_label_keeps_the_counts_of_its_answers(database: Database) -> None:
    with database.write() as session:
        store.add_import(session, gold_import("one", *TWICE))
        store.set_label(session, "g1", [span("p0")], reviewer="ann")
        store.withdraw_label(session, "g1", reviewer="ann", reason="no")
        assert restore_gold(session, ["g1"], written_by=None) == {"g1"}
    assert golds(database) == (["wrote", "Ada"], ["wrote", "Ada", "wrote"])


def test_other_answers_in_order_than_distinct_are_a_bug_of_the_caller(database: Database) -> None:
    label = NewLabel("g1", (span("p0"),), all_answers=TWICE)
    new = replace(gold_import("one", *TWICE), labels=(label,))
    with pytest.raises(ValueError, match="other answers"), database.write() as session:
        store.add_import(session, new)


def test_a_passage_keeps_the_spelling_of_its_title(database: Database) -> None:
    rows = (replace(passages("p0")[0], id="px", text="New.", title="title 0"), replace(passages("p1")[0], id="py"))
    with database.write() as session:
        store.add_import(session, an_import("one", "corpus", passages=rows))
    with database.read() as session:
        found = queries.passages(session, ["p0", "px", "py"])
    assert {key: row.title for key, row in found.items()} == {"p0": "Title 0", "px": "title 0", "py": "Title 0"}


MORE = (PassageRow("more", "d0", 7, "More."), PassageRow("and more", "d1", 7, "And more."))


# --- counts that no row is read for --------------------------------------------------------------


def test_the_state_of_the_corpus_is_kept_by_every_write_of_passages(database: Database) -> None:
    def check() -> str:
        with database.read() as session:
            ids = queries.corpus_ids(session)
            assert queries.get_meta(session, "corpus") is not None
            state = queries.corpus_state(session)
        assert state == (len(ids), corpus_fingerprint(ids))
        return state.fingerprint

    first = check()
    with database.write() as session:
        store.add_import(session, an_import("more.json", "corpus", passages=MORE))
    assert check() != first
    with database.write() as session:
        store.undo_import(session, 2)
    assert check() == first
    with database.write() as session:
        store.undo_import(session, 1)
    assert check() == corpus_fingerprint([])
    with database.write() as session:
        store.add_import(session, EXAMPLE)
    assert check() == first


def test_a_database_without_a_kept_state_counts_its_passages(database: Database) -> None:
    with database.write() as session:
        before = queries.corpus_state(session)
        session.exec_driver_sql("DELETE FROM meta WHERE key = 'corpus'")
        assert queries.corpus_state(session) == before
        store.add_import(session, an_import("more.json", "corpus", passages=MORE))
        assert queries.corpus_state(session).passages == before.passages + 2 == len(queries.corpus_ids(session))


def test_labels_of_inactive_questions_are_not_counted(database: Database) -> None:
    with database.write() as session:
        store.set_label(session, "b", [span("p3")], reviewer="ann")
        assert queries.counts(session).labels["human"] == 1
        assert queries.counts(session).labels_by_role["pool"] == 1
        store.undo_import(session, 1)
        found = queries.counts(session)
    assert (set(found.labels.values()), set(found.labels_by_role.values())) == ({0}, {0})
    assert (found.documents, found.passages) == (0, 0)


def test_a_title_without_a_passage_is_no_document(database: Database) -> None:
    with database.write() as session:
        before = queries.counts(session).documents
        row = replace(passages("p0")[0], document_id="another")
        new = replace(an_import("again.json", "corpus", passages=(row,)), documents=(DocumentRow("another", "A"),))
        store.add_import(session, new)
        assert queries.counts(session).documents == before
