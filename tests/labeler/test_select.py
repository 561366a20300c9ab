"""The plan of a round: who is taught, reviewed, and in which mix."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from labeler.core.round_settings import SelectConfig
from labeler.rounds.select import Plan, doubly_annotated, plan, train_weights
from labeler.rounds.strategies import Candidate
from labeler.rounds.strategies import topics as topics_module
from labeler.rounds.strategies.mix import _clusters, diverse, suspects
from labeler.rounds.strategies.topics import text_vectors

NO_REVIEW = SelectConfig(review_budget=0)


#: every answer of confidence .35 or more trains; it is reviewed if there is a budget
WHOLE = SelectConfig(review_budget=0, train_share=1.0, min_train_confidence=0.35)
SOFTMATCH = replace(WHOLE, weighting="softmatch")


def candidate(number: int, confidence: float | None, **more: Any) -> Candidate:
    """A question about one of seven topics in a paragraph of its own."""
    topic = ["river", "king", "battle", "novel", "planet", "bridge", "tax"][number % 7]
    fields: dict[str, Any] = {
        "question_id": f"q{number:04}",
        "question": f"Which {topic} is number {number}?",
        "split_group": f"u{number}",
        "answer": f"the {topic} {number}",
        "passage_id": f"p{number}",
        "score": confidence,
        "confidence": confidence,
        "passage_rank": 0,
        "margin": 0.9,
        "support": 2,
    }
    return Candidate(**(fields | more))


def pool_of(count: int, *, low: float = 0.0, high: float = 1.0) -> list[Candidate]:
    return [candidate(n, float(c)) for n, c in enumerate(np.linspace(low, high, count))]


def planned(
    pool: list[Candidate],
    config: SelectConfig = NO_REVIEW,
    *,
    seed: int = 0,
    n: int = 2,
) -> Plan:
    return plan(pool, config, seed=seed, round_number=n)


def kinds(made: Plan) -> Counter[str]:
    return Counter(task.kind for task in made.tasks)


def ids(made: Plan, kind: str) -> set[str]:
    return {task.question_id for task in made.tasks if task.kind == kind}


def decisions(made: Plan) -> list[str]:
    return [choice.decision for choice in made.choices]


def test_confidence_decides_between_train_and_leave() -> None:
    pool = [candidate(n, c) for n, c in enumerate([0.95, 0.9, 0.89, 0.35, 0.34])]
    made = planned(pool, WHOLE)
    assert decisions(made) == ["train", "train", "train", "train", "leave"]
    assert made.choices[4].train_weight is None


def test_an_answer_from_a_held_out_passage_is_not_trained_on_but_may_be_reviewed() -> None:
    held_out = [replace(c, held_out=True) for c in pool_of(10)]
    assert set(decisions(planned(held_out))) == {"leave"}
    assert set(decisions(planned(held_out, SelectConfig(review_budget=10)))) == {"review"}


def test_a_question_in_review_is_no_pseudo_label_of_this_round() -> None:
    made = planned(pool_of(40), SelectConfig(review_budget=10))
    reviewed = [c for c in made.choices if c.decision == "review"]
    assert {c.question_id for c in reviewed} == {task.question_id for task in made.tasks}
    assert all(c.train_weight is None for c in reviewed)


def test_the_most_confident_share_of_the_answers_trains_with_its_confidence() -> None:
    pool = [candidate(n, c) for n, c in enumerate([0.4, 0.9, 0.3, 0.6])]
    assert train_weights(pool, SelectConfig(train_share=0.5)) == [0.0, 0.9, 0.0, 0.6]
    assert train_weights(pool, SelectConfig(train_share=0.75)) == [0.4, 0.9, 0.0, 0.6]
    assert train_weights(pool, SelectConfig(train_share=1.0, min_train_confidence=0.35)) == [0.4, 0.9, 0.0, 0.6]
    assert train_weights(pool, SelectConfig(train_share=0.0)) == [0.0] * 4


def test_answers_that_may_not_train_do_not_count_for_the_share() -> None:
    pool = [candidate(0, 0.9, held_out=True), candidate(1, None), candidate(2, 0.6), candidate(3, 0.5)]
    assert train_weights(pool, SelectConfig(train_share=0.5)) == [0.0, 0.0, 0.6, 0.0]


def test_equal_confidences_are_taken_in_the_order_of_ids() -> None:
    pool = [candidate(n, 0.7) for n in (3, 1, 2, 0)]
    assert train_weights(pool, SelectConfig(train_share=0.5)) == [0.0, 0.7, 0.0, 0.7]


def test_a_softmatch_weight_is_one_from_the_mean_up_and_falls_like_a_gaussian_below() -> None:
    pool = [candidate(n, c) for n, c in enumerate([0.4, 0.6, 0.8, 1.0])]  # mean .7, variance (.09 + .01) / 2 = .05
    weights = train_weights(pool, SOFTMATCH)
    assert weights == pytest.approx([math.exp(-0.09 / 0.1), math.exp(-0.01 / 0.1), 1.0, 1.0])
    higher = SelectConfig(train_share=1.0, min_train_confidence=0.5, weighting="softmatch")
    assert train_weights(pool, higher)[0] == 0


def test_held_out_and_uncalibrated_answers_do_not_change_the_mean() -> None:
    pool = [candidate(0, 0.5), candidate(1, 0.9), candidate(2, 0.0, held_out=True), candidate(3, None)]
    assert train_weights(pool, SOFTMATCH) == pytest.approx([math.exp(-0.5), 1.0, 0.0, 0.0])  # mu .7, sigma .2


@pytest.mark.parametrize("config", [WHOLE, SOFTMATCH])
@given(confidences=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_weights_are_shares_and_rise_with_confidence(config: SelectConfig, confidences: list[float]) -> None:
    weights = train_weights([candidate(n, c) for n, c in enumerate(sorted(confidences))], config)
    assert all(0 <= weight <= 1 for weight in weights)
    assert weights == sorted(weights)
    assert (max(confidences) >= 0.35) == (weights[-1] > 0)


def test_equal_confidences_have_a_softmatch_weight_of_one() -> None:
    assert train_weights([candidate(n, 0.7) for n in range(3)], SOFTMATCH) == [1.0, 1.0, 1.0]


def oddities(count: int, *, start: int = 1000) -> list[Candidate]:
    """Confident answers from a passage that was retrieved late."""
    return [candidate(start + n, 0.8 + 0.1 * n / count, passage_rank=5) for n in range(count)]


@pytest.mark.parametrize(("round_number", "mix"), [(1, (70, 24, 6)), (2, (50, 40, 10)), (7, (50, 40, 10))])
def test_the_budget_is_mixed_and_the_first_round_is_mostly_random(round_number: int, mix: tuple[int, int, int]) -> None:
    made = planned(pool_of(600) + oddities(60), SelectConfig(review_budget=100), n=round_number)
    assert (kinds(made)["random"], kinds(made)["uncertain"], kinds(made)["suspect"]) == mix


def test_the_remainder_of_rounding_is_random() -> None:
    made = planned(pool_of(100) + oddities(20), SelectConfig(review_budget=7))
    assert kinds(made) == {"random": 5, "uncertain": 2}  # 2.8 and .7 rounded down


def test_random_tasks_are_blind_and_others_show_a_suggestion() -> None:
    made = planned(pool_of(100) + oddities(20), SelectConfig(review_budget=40))
    shown = {(task.kind, task.blind) for task in made.tasks}
    assert shown == {("random", True), ("uncertain", False), ("suspect", False)}


def test_uncertain_tasks_are_in_the_band_and_one_per_split_group() -> None:
    pool = [replace(c, split_group=f"u{n // 4}") for n, c in enumerate(pool_of(400))]
    made = planned(pool, SelectConfig(review_budget=60))
    chosen = [c for c in pool if c.question_id in ids(made, "uncertain")]
    assert len(chosen) == 24 + 6  # no suspects in this pool: their share goes here
    assert all(c.confidence is not None and 0.2 <= c.confidence <= 0.7 for c in chosen)
    assert len({c.split_group for c in chosen}) == len(chosen)


def test_one_a_paragraph_holds_where_clusters_do_not_fill_the_budget() -> None:
    """Seven topics in two paragraphs: each cluster's nearest question may lie in a paragraph that is taken."""
    config = SelectConfig(review_budget=6, random_share=0.0, uncertain_share=1.0, suspect_share=0.0)
    pool = [candidate(n, 0.5, split_group=f"paragraph {n % 2}") for n in range(42)]
    made = planned(pool, config)
    chosen = [c.split_group for c in pool if c.question_id in ids(made, "uncertain")]
    assert sorted(chosen) == ["paragraph 0", "paragraph 1"]
    assert kinds(made) == {"uncertain": 2, "random": 4}


def test_the_band_includes_both_ends() -> None:
    config = SelectConfig(review_budget=2, random_share=0.0, uncertain_share=1.0, suspect_share=0.0)
    made = planned([candidate(n, c) for n, c in enumerate([0.19, 0.2, 0.7, 0.71])], config)
    assert ids(made, "uncertain") == {"q0001", "q0002"}


def test_uncertain_tasks_spread_over_topics() -> None:
    """Ninety questions on one topic and ten on each of three others: a random tenth would hold about one of each."""
    words = ["volcano eruption lava"] * 80
    for topic in ("volcano eruption lava", "chess opening pawn", "opera soprano aria", "소금 광산"):
        words += [topic] * 10
    pool = [candidate(n, 0.5, question=f"{text} {n % 3}", answer=text) for n, text in enumerate(words)]
    config = SelectConfig(review_budget=12, random_share=0.0, uncertain_share=1.0, suspect_share=0.0)
    chosen = Counter(words[int(id_[1:])] for id_ in ids(planned(pool, config), "uncertain"))
    assert len(chosen) == 4
    assert min(chosen.values()) >= 2


def test_uncertain_tasks_depend_on_the_seed() -> None:
    """Which question is nearest to a centre depends on where k-means starts."""
    pool = [candidate(n, 0.5) for n in range(200)]
    config = SelectConfig(review_budget=12, random_share=0.0, uncertain_share=1.0, suspect_share=0.0)
    chosen = [ids(planned(pool, config, seed=seed), "uncertain") for seed in (0, 1, 2)]
    assert all(len(found) == 12 for found in chosen)
    assert chosen[0] != chosen[1] != chosen[2]


def test_texts_without_letters_are_selected_like_others() -> None:
    pool = [candidate(n, 0.5, question=" ", answer=" ") for n in range(8)] + [candidate(n, 0.5) for n in range(8, 20)]
    config = SelectConfig(review_budget=6, random_share=0.0, uncertain_share=1.0, suspect_share=0.0)
    assert len(ids(planned(pool, config), "uncertain")) == 6


def test_questions_at_random_come_from_the_uniform_sample_of_the_pool_alone() -> None:
    pool = [replace(candidate(n, 0.5), sampled=n < 8) for n in range(40)]
    config = SelectConfig(review_budget=10, random_share=0.6, uncertain_share=0.4, suspect_share=0.0)
    sampled = {c.question_id for c in pool if c.sampled}
    found = planned(pool, config)
    assert len(ids(found, "random")) >= 6
    assert set(ids(found, "random")) <= sampled
    assert len(found.tasks) == 10
    none = planned(pool, replace(config, review_budget=30, random_share=1.0, uncertain_share=0.0))
    assert set(ids(none, "random")) == sampled, "what the sample lacks is no random task"
    assert len(none.tasks) == 30
    assert all(task.blind == (task.question_id in sampled) for task in none.tasks)


def test_vectors_have_fewer_dimensions_than_texts_and_length_one() -> None:
    texts = ([f"Which {word} is it?" for word in words] for words in ("abc", "abcdefghij" * 10))
    few, many = (text_vectors(each, seed=0) for each in texts)
    assert few.shape == (3, 2)
    assert many.shape == (100, 32)
    assert np.linalg.norm(few, axis=1) == pytest.approx(np.ones(3))


def cosine(first: str, second: str) -> float:
    """How alike two texts are. Each is there three times, so that no dimension is lost."""
    vectors = text_vectors([first, second] * 3, seed=0)
    assert vectors[0] == pytest.approx(vectors[2])
    return float(vectors[0] @ vectors[1])


def test_texts_are_alike_by_their_character_n_grams_of_two_to_four() -> None:
    """ " axyb " has five n-grams of two characters, four of three and three of four."""
    assert cosine("axyb", "cxyd") == pytest.approx(1 / 12)  # "xy" is the only one that both have
    assert cosine("axyzb", "cxyzd") == pytest.approx(3 / (6 + 5 + 4))  # "xy", "yz" and "xyz"
    assert cosine("abcdefgh", "hgfedcba") == pytest.approx(0, abs=1e-9)  # the same letters, and no pair of them


def topical(count: int) -> list[Candidate]:
    return [candidate(n, 0.5, question=f"Which {n * 7919 % 101} of {n}?", answer=f"{n * 31}") for n in range(count)]


def test_every_candidate_is_nearest_to_the_mean_of_its_own_cluster() -> None:
    pool = topical(60)
    cluster, distance = _clusters(pool, 8, seed=3)
    vectors = text_vectors([f"{c.question} {c.answer}" for c in pool], seed=3)
    centres = np.array([vectors[cluster == each].mean(axis=0) for each in range(8)])
    between = np.sqrt(((vectors[:, None] - centres[None]) ** 2).sum(axis=2))
    assert (between.argmin(axis=1) == cluster).all()
    assert distance == pytest.approx(between.min(axis=1), abs=1e-6)


@pytest.mark.parametrize(("pool", "count", "found"), [(topical(80), 40, 40), ([*topical(6), *topical(6)], 9, 6)])
def test_there_are_as_many_clusters_as_questions_to_choose_but_no_more_than_different_texts(
    pool: list[Candidate], count: int, found: int
) -> None:
    assert len(set(_clusters(pool, count, seed=0)[0])) == found


def test_of_each_cluster_the_question_nearest_to_its_centre_is_chosen() -> None:
    pool = topical(60)
    cluster, distance = _clusters(pool, 8, seed=3)
    nearest = {min(np.flatnonzero(cluster == each), key=lambda i: distance[i]) for each in range(8)}
    assert {c.question_id for c in diverse(pool, 8, seed=3)} == {pool[i].question_id for i in nearest}


def test_one_question_is_chosen_where_one_is_asked_for_and_none_where_none_is() -> None:
    assert len(diverse(topical(4), 1, seed=0)) == 1
    assert diverse(topical(4), 0, seed=0) == []
    assert diverse([], 1, seed=0) == []


def test_no_more_candidates_than_asked_for_need_no_clusters() -> None:
    cluster, distance = _clusters(topical(4), 4, seed=0)
    assert (cluster.tolist(), distance.tolist()) == ([0, 1, 2, 3], [0.0] * 4)


def test_suspects_are_confident_and_those_with_most_signs_come_first() -> None:
    pool = [
        candidate(0, 0.99),  # no sign
        candidate(1, 0.99, support=1),
        candidate(2, 0.75, support=1, margin=0.1),
        candidate(3, 0.71, support=1, margin=0.1, passage_rank=3),
        candidate(4, 0.70, support=1, margin=0.1, passage_rank=3),  # uncertain, not confident
        candidate(5, 0.95, margin=0.2, passage_rank=2),  # both just no sign
        candidate(6, 0.98, support=1),
    ]
    assert [c.question_id for c in suspects(pool, SelectConfig())] == ["q0003", "q0002", "q0001", "q0006"]
    config = SelectConfig(review_budget=3, random_share=0.0, uncertain_share=0.0, suspect_share=1.0)
    assert ids(planned(pool, config), "suspect") == {"q0003", "q0002", "q0001"}


def test_missing_suspects_and_uncertain_tasks_are_replaced_by_random_ones() -> None:
    made = planned([*pool_of(100, low=0.8), candidate(500, 0.5), *oddities(2)], SelectConfig(review_budget=40))
    assert sum(kinds(made).values()) == 40
    assert kinds(made)["uncertain"] <= 1
    assert kinds(made)["suspect"] <= 2
    assert all(task.blind == (task.kind == "random") for task in made.tasks)


def test_a_budget_beyond_the_pool_reviews_all_of_it_once() -> None:
    made = planned(pool_of(30), SelectConfig(review_budget=500))
    assert sorted(task.question_id for task in made.tasks) == [f"q{n:04}" for n in range(30)]
    assert set(decisions(made)) == {"review"}


def test_an_uncalibrated_pool_is_reviewed_at_random_and_blind() -> None:
    pool = [replace(c, confidence=None) for c in pool_of(50)]
    made = planned(pool, SelectConfig(review_budget=20), n=1)
    assert kinds(made) == {"random": 20}
    assert set(decisions(made)) == {"review", "leave"}


def test_questions_without_an_answer_are_reviewed_only_at_random() -> None:
    pool = [candidate(n, None, answer=None, passage_id=None) for n in range(30)]
    made = planned(pool, SelectConfig(review_budget=10))
    assert kinds(made) == {"random": 10}
    assert set(decisions(made)) == {"review", "leave"}


def test_random_tasks_are_drawn_evenly_from_the_whole_pool() -> None:
    """Uncertain and suspect questions are as often among the random ones as all others, also where these fill up."""
    pool = pool_of(36, high=0.24) + oddities(4)  # six in the band, where eight are wanted
    seeds = 400
    plans = [planned(pool, SelectConfig(review_budget=20), seed=seed) for seed in range(seeds)]
    drawn = Counter(id_ for made in plans for id_ in ids(made, "random"))
    share = drawn.total() / seeds / len(pool)
    assert 12 / 40 <= share < 15 / 40
    spread = math.sqrt(seeds * share * (1 - share))
    assert all(abs(drawn[c.question_id] - seeds * share) < 4 * spread for c in pool)


def test_kinds_are_mixed_in_the_order_of_presentation() -> None:
    made = planned(pool_of(400) + oddities(40), SelectConfig(review_budget=100))
    first_half = Counter(task.kind for task in made.tasks[:50])
    assert 15 <= first_half["random"] <= 35  # half of 50 random ones, four standard errors either way


def test_the_plan_does_not_depend_on_the_order_of_candidates() -> None:
    pool = pool_of(150) + oddities(15)
    config = SelectConfig(review_budget=40)
    made = planned(pool, config)
    shuffled = [pool[i] for i in np.random.default_rng(5).permutation(len(pool))]
    assert planned(shuffled, config) == made
    assert planned(pool, config, seed=1).tasks != made.tasks
    assert planned(pool, config, n=3).tasks != made.tasks


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=25),
    st.integers(0, 30),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_every_candidate_has_one_decision_and_every_task_is_used(
    confidences: list[float | None], budget: int, round_number: int, share: int
) -> None:
    """Also where all questions read the same, share paragraphs, or are not answered."""
    pool = [
        candidate(
            n, c, question="same", answer=None if c is None else "same", split_group=f"u{n // share}", support=n % 3
        )
        for n, c in enumerate(confidences)
    ]
    made = planned(pool, SelectConfig(review_budget=budget), n=round_number)
    assert [choice.question_id for choice in made.choices] == [c.question_id for c in pool]
    tasks = [task.question_id for task in made.tasks]
    assert len(tasks) == len(set(tasks)) == min(budget, len(pool))
    assert {c.question_id for c in made.choices if c.decision == "review"} == set(tasks)


def test_a_question_that_occurs_twice_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="twice"):
        planned([candidate(1, 0.5), candidate(1, 0.6)])


@pytest.mark.parametrize(
    "setting",
    [{"review_budget": -1}, {"random_share": 0.6}, {"suspect_share": 1.1}, {"uncertain_low": 0.8},
     {"min_train_confidence": -0.1}, {"suspect_rank": -1}],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        SelectConfig(**setting)


# --- pages and pairs ------------------------------------------------------------------------------


def test_a_share_of_questions_is_doubly_annotated_in_any_order() -> None:
    ids = [f"q{number}" for number in range(40)]
    drawn = doubly_annotated(ids, 0.25, seed=7)
    assert len(drawn) == 10
    assert drawn == doubly_annotated(ids[::-1], 0.25, seed=7) != doubly_annotated(ids, 0.25, seed=8)
    assert doubly_annotated(ids, 0.0, seed=7) == frozenset()
    assert doubly_annotated(ids, 1.0, seed=7) == frozenset(ids)


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"double_annotation": 1.5}, "double_annotation must be in 0-1"), ({"passages": 0}, "passages must be in 1-5"),
     ({"passages": 6}, "passages must be in 1-5")],
)  # fmt: skip
def test_settings_of_pages_and_pairs_are_checked(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SelectConfig(**changed)


# Clusters of many texts


WORDS = ("volcano eruption lava", "chess opening pawn", "opera soprano aria", "소금 광산")


def sample_texts(count: int) -> list[str]:
    """Texts on four topics in turn; every fifth one is equal to the one before the last."""
    made = [f"{WORDS[number % 4]} {number // 4}" for number in range(count)]
    return [made[number - 4] if number % 5 == 4 and number >= 8 else text for number, text in enumerate(made)]


def test_few_texts_are_clustered_as_a_whole() -> None:
    """By k-means on the vectors of all texts, as scikit-learn computes it in one go."""
    texts = sample_texts(150)
    vectors = text_vectors(texts, seed=3)
    model = KMeans(n_clusters=12, n_init=1, random_state=3).fit(vectors)
    found, distance = topics_module.clusters(texts, 12, seed=3)
    assert found.tolist() == model.labels_.tolist()
    assert distance == pytest.approx(np.linalg.norm(vectors - model.cluster_centers_[model.labels_], axis=1))


def test_many_texts_are_clustered_from_a_sample_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more texts are turned into n-grams at once than are clustered as a whole, and topics are still told apart."""
    sizes: list[int] = []
    n_grams = topics_module._n_grams
    monkeypatch.setattr(topics_module, "WHOLE", 100)
    monkeypatch.setattr(topics_module, "BATCH", 50)
    monkeypatch.setattr(topics_module, "_n_grams", lambda texts: (sizes.append(len(texts)), n_grams(texts))[1])
    texts = sample_texts(1030)
    found, distance = topics_module.clusters(texts, 4, seed=0)
    assert sizes == [100, *[100] * 10, 30]  # the sample, and then all
    assert len(set(zip(found.tolist(), (text[0] for text in texts), strict=True))) == 4  # a cluster is a topic
    by_text = dict(zip(texts, found.tolist(), strict=True))
    assert [by_text[text] for text in texts] == found.tolist()
    assert distance.max() < 1
    again = topics_module.clusters(texts, 4, seed=0)
    np.testing.assert_array_equal(found, again[0])
    np.testing.assert_array_equal(distance, again[1])


def test_a_large_pool_is_reviewed_by_topics_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_module, "WHOLE", 60)
    pool = [candidate(n, 0.5, question=text, answer=str(n)) for n, text in enumerate(sample_texts(240))]
    config = SelectConfig(review_budget=12, random_share=0.0, uncertain_share=1.0, suspect_share=0.0)
    chosen = ids(planned(pool, config), "uncertain")
    assert len(chosen) == 12
    assert chosen == ids(planned(pool[::-1], config), "uncertain")
    assert len({pool[int(id_[1:])].question[0] for id_ in chosen}) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_for_a_hundred_thousand_texts_is_bounded() -> None:
    """32 numbers for each text, 25 MiB, and what copies of them need; the n-grams of all would need 140 MiB more."""
    script = """
from pathlib import Path
from labeler.rounds.strategies.topics import clusters
peak = lambda: int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024  # MiB
texts = [f"{number:x} of {number * 7919 % 100_003}" for number in range(100_000)]
clusters(texts[:300], 5, seed=0)  # loads what clustering needs
before = peak()
found, distance = clusters(texts, 50, seed=0)
assert len(found) == len(distance) == 100_000
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100
