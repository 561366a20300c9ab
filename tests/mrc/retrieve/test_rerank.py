"""Re-ranking: the scores of a cross-encoder, the order of the hits, and the folder of the index."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    DistilBertForSequenceClassification,
    RobertaForSequenceClassification,
)

from mrc.encoder.loading import load_tokenizer
from mrc.errors import BadCheckpoint, DataError, StaleIndex
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.index import Index, IndexConfig
from mrc.retrieve.rerank.config import RerankConfig
from mrc.retrieve.rerank.cross_encoder import CrossEncoder
from mrc.types import Passage
from tests.mrc import tiny

WORDS = ("mill", "stands", "founded", "tarn", "mira", "oland", "1893", "who", "the", "in", "of")
TEXTS = [f"{WORDS[n % 11]} {WORDS[n * 3 % 11]} {WORDS[n * 7 % 11]} mill {n}" for n in range(40)]
PASSAGES = [Passage(f"p{number:02}", text) for number, text in enumerate(TEXTS)]
ASKED = ["who founded the mill", "mira oland 1893", "no known term", ""]
TERMS = IndexConfig(analyzer="whitespace")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.cross_encoder(tmp_path_factory.mktemp("rerank") / "bert")


@pytest.fixture
def own(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(checkpoint, tmp_path / "own")


def load(folder: Path, **settings: Any) -> CrossEncoder:
    return CrossEncoder.load(RerankConfig(model=str(folder), **{"precision": "fp32"} | settings), device="cpu")


def built(checkpoint: Path, passages: Sequence[Passage] = PASSAGES, *, top_n: int = 5, **how: Any) -> Index:
    rerank = RerankConfig(model=str(checkpoint), top_n=top_n, precision="fp32")
    return Index.build(passages, TERMS, rerank=rerank, device="cpu", **how)


# The cross-encoder


def by_hand(folder: Path, question: str, text: str) -> list[float]:
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), load_tokenizer(folder)
    taken = inspect.signature(model.forward).parameters
    inputs = {name: values for name, values in tokenizer(question, text, return_tensors="pt").items() if name in taken}
    with torch.inference_mode():
        logits: list[float] = model(**inputs).logits[0].tolist()
    return logits


def test_a_score_is_the_output_of_the_model_for_the_pair(checkpoint: Path) -> None:
    scores = load(checkpoint).scores(ASKED[0], TEXTS[:9])
    expected = [by_hand(checkpoint, ASKED[0], text)[0] for text in TEXTS[:9]]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert len({round(score, 3) for score in expected}) > 5  # else the test shows little


@pytest.mark.parametrize(
    "make",
    [
        partial(tiny.cross_encoder, outputs=2),
        partial(tiny.roberta, kind=RobertaForSequenceClassification),
        partial(tiny.distilbert, kind=DistilBertForSequenceClassification),
    ],
    ids=["bert", "roberta", "distilbert"],
)
def test_the_score_of_two_outputs_is_their_difference(tmp_path: Path, make: Any) -> None:
    folder = make(tmp_path)
    scores = load(folder).scores(ASKED[1], TEXTS[:3])
    for text, score in zip(TEXTS, scores, strict=False):
        other, relevant = by_hand(folder, ASKED[1], text)
        assert score == pytest.approx(relevant - other, abs=1e-5)


def test_no_passages_have_no_scores(checkpoint: Path) -> None:
    assert load(checkpoint).scores("who", []).shape == (0,)


@pytest.mark.parametrize("text", ["", " ", "\ud800 half a pair", "\x00\x07\u202e", "a" * 1_000_000, "word " * 200_000])
def test_any_text_and_any_question_has_a_score(checkpoint: Path, text: str) -> None:
    encoder = load(checkpoint)
    assert np.isfinite(encoder.scores("who?", [text])).all()
    assert np.isfinite(encoder.scores(text, ["the mill"])).all()


def test_a_pair_is_truncated_to_the_maximum_length(checkpoint: Path) -> None:
    short = load(checkpoint, max_seq_length=16)
    one, other = (short.scores("who", [f"{TEXTS[0]} {TEXTS[1]} {TEXTS[2]} {TEXTS[3]} {end}"])[0] for end in "ab")
    assert one == other
    assert load(checkpoint).scoring.max_seq_length == 130  # all positions, as there are fewer than 512
    with pytest.raises(
        BadCheckpoint, match=r"200 tokens are more than its 130 positions; set rerank\.max_seq_length = 130"
    ):
        load(checkpoint, max_seq_length=200)


def test_bfloat16_gives_nearly_the_same_order(checkpoint: Path) -> None:
    half = load(checkpoint, precision="bf16")
    assert half.scoring.precision == "bf16"
    one, other = (encoder.scores(ASKED[0], TEXTS) for encoder in (half, load(checkpoint)))
    assert np.corrcoef(one, other)[0, 1] > 0.95


# Unusable checkpoints


def test_a_checkpoint_that_cannot_score_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadCheckpoint, match=r"weights are missing \(.*cannot score a pair of texts; choose a cross-encoder"
    ):
        load(tiny.bert(tmp_path))


def test_a_classifier_of_three_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"has 3 outputs; a cross-encoder has one, or two .*another rerank\.model"):
        load(tiny.cross_encoder(tmp_path, outputs=3))


@pytest.mark.parametrize(
    ("lost", "fault"),
    [("config.json", "no config.json"), ("model.safetensors", "no usable model"), ("tokenizer.json", "no tokenizer")],
)
def test_an_incomplete_checkpoint_is_named(own: Path, lost: str, fault: str) -> None:
    (own / lost).unlink()
    with pytest.raises(BadCheckpoint, match=fault):
        load(own)


def test_a_missing_model_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        BadCheckpoint, match="no such folder, and no network to look for the model on the hub"
    ) as caught:
        CrossEncoder.load(RerankConfig(model="nobody/no-such-model"))
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused(own: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(own)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    model.save_pretrained(own)
    with pytest.raises(BadCheckpoint, match="returns no finite scores"):
        load(own).scores("who", TEXTS[:2])


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"model": " "}, "model"),
        ({"top_n": 1}, "top_n"),
        ({"top_n": 1001}, "top_n"),
        ({"max_seq_length": 15}, "max_seq_length"),
    ],
)
def test_settings_out_of_range_are_named(values: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        RerankConfig(**values)


# The order


def test_the_first_passages_are_re_ranked_and_the_others_keep_their_places(checkpoint: Path) -> None:
    plain = Index.build(PASSAGES, TERMS).retrieve(ASKED, 12)
    found = built(checkpoint, top_n=5).retrieve(ASKED, 12)
    encoder = load(checkpoint)
    assert found[2:] == plain[2:] == [(), ()]
    for question, before, after in zip(ASKED[:2], plain, found, strict=False):
        scores = encoder.scores(question, [TEXTS[int(hit.passage_id[1:])] for hit in before[:5]])
        order = np.argsort(-scores, kind="stable").tolist()
        assert order != [0, 1, 2, 3, 4]  # else the test shows little
        assert list(after) == [
            *(
                replace(before[place], rank=rank, rerank=scores[place], standardized=before[rank].standardized)
                for rank, place in enumerate(order)
            ),
            *before[5:],
        ]


def test_equal_scores_keep_the_first_stage_order(own: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(own)
    with torch.no_grad():
        model.classifier.weight.zero_()
    model.save_pretrained(own)
    plain = Index.build(PASSAGES, TERMS).retrieve(ASKED, 12)
    found = built(own).retrieve(ASKED, 12)
    assert [[replace(hit, rerank=None) for hit in hits] for hits in found] == [list(hits) for hits in plain]


@pytest.mark.parametrize("k", [1, 3, 5, 8])
def test_a_smaller_k_returns_the_first_hits_and_questions_are_independent(checkpoint: Path, k: int) -> None:
    index = built(checkpoint)
    many = index.retrieve(ASKED, 40)
    assert index.retrieve(ASKED, k) == [hits[:k] for hits in many]
    assert [index.retrieve([question], k)[0] for question in ASKED] == [hits[:k] for hits in many]


def test_fewer_hits_than_top_n_are_all_re_ranked(checkpoint: Path) -> None:
    (hits,) = built(checkpoint, [Passage("only", "the mill")]).retrieve(["mill"], 3)
    assert [hit.passage_id for hit in hits] == ["only"]
    assert hits[0].rerank == pytest.approx(by_hand(checkpoint, "mill", "the mill")[0], abs=1e-5)
    few = built(checkpoint, PASSAGES[:3], top_n=20).retrieve(["mill"], 9)[0]
    assert [hit.rank for hit in few] == [0, 1, 2]
    assert all(hit.rerank is not None for hit in few)


def test_hits_of_a_hybrid_index_are_re_ranked_too(checkpoint: Path, tmp_path: Path) -> None:
    dense = DenseConfig(model=str(tiny.bert(tmp_path)), precision="fp32")
    index = built(checkpoint, dense=dense)
    plain = replace(index, reranking=None)
    assert index.fingerprint not in (plain.fingerprint, replace(index, dense=None).fingerprint)
    assert sorted(hit.passage_id for hit in index.retrieve(ASKED, 5)[2]) == sorted(
        hit.passage_id for hit in plain.retrieve(ASKED, 5)[2]
    )
    assert {hit.bm25 for hit in index.retrieve(ASKED, 5)[2]} == {None}
    assert index.retrieve(ASKED, 5)[3] == ()


# The folder


def texts(wanted: Sequence[str]) -> dict[str, Passage]:
    return {key: PASSAGES[int(key[1:])] for key in wanted}


def test_a_loaded_index_retrieves_as_the_saved_one_did(checkpoint: Path, tmp_path: Path) -> None:
    index = built(checkpoint)
    index.save(tmp_path)
    loaded = Index.load(tmp_path, expect_corpus=None, device="cpu", fetch=texts)
    assert loaded.retrieve(ASKED, 8) == index.retrieve(ASKED, 8)
    assert loaded.fingerprint == index.fingerprint
    with pytest.raises(ValueError, match="load it with fetch="):
        Index.load(tmp_path, expect_corpus=None, device="cpu").retrieve(ASKED, 8)


def test_only_re_ranked_passages_are_fetched(checkpoint: Path, tmp_path: Path) -> None:
    built(checkpoint, top_n=3).save(tmp_path)
    asked: list[str] = []

    def fetch(wanted: Sequence[str]) -> dict[str, Passage]:
        asked.extend(wanted)
        return texts(wanted)

    (hits,) = Index.load(tmp_path, expect_corpus=None, device="cpu", fetch=fetch).retrieve(ASKED[:1], 10)
    assert sorted(asked) == sorted(hit.passage_id for hit in hits[:3])


def test_the_fingerprint_changes_with_all_that_the_order_depends_on(checkpoint: Path, tmp_path: Path) -> None:
    other = tiny.cross_encoder(tmp_path / "other", seed=1)
    indexes = [
        Index.build(PASSAGES, TERMS),
        built(checkpoint),
        built(checkpoint, top_n=6),
        built(other),
        *(
            Index.build(PASSAGES, TERMS, device="cpu", rerank=RerankConfig(model=str(checkpoint), top_n=5, **settings))
            for settings in ({"precision": "bf16"}, {"precision": "fp32", "max_seq_length": 64})
        ),
    ]
    assert len({index.fingerprint for index in indexes}) == len(indexes)
    assert built(shutil.copytree(checkpoint, tmp_path / "copy")).fingerprint == built(checkpoint).fingerprint
    assert Index.build(PASSAGES, TERMS, rerank=RerankConfig()).fingerprint == indexes[0].fingerprint


def test_a_changed_or_lost_cross_encoder_is_reported_at_the_first_question(own: Path, tmp_path: Path) -> None:
    built(own).save(tmp_path / "index")
    tiny.cross_encoder(own, seed=5)
    with pytest.raises(StaleIndex, match="its files changed since the index was built; run `labeler index`"):
        Index.load(tmp_path / "index", expect_corpus=None, device="cpu", fetch=texts).retrieve(ASKED, 1)
    shutil.rmtree(own)
    with pytest.raises(BadCheckpoint, match="no such folder"):
        Index.load(tmp_path / "index", expect_corpus=None, device="cpu", fetch=texts).retrieve(ASKED, 1)


@pytest.mark.parametrize("stored", [{"config": {}}, {"config": {"top_n": 0}, "scoring": {}}, [1], "x"])
def test_broken_meta_values_are_an_error_that_says_what_to_run(
    checkpoint: Path, tmp_path: Path, stored: object
) -> None:
    built(checkpoint).save(tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps(meta | {"rerank": stored}))
    with pytest.raises(DataError, match=r"meta\.json: broken .*run `labeler index`"):
        Index.load(tmp_path, expect_corpus=None)


def test_loading_an_index_loads_no_cross_encoder(checkpoint: Path, tmp_path: Path) -> None:
    built(checkpoint).save(tmp_path)
    code = (
        "import sys; from pathlib import Path; from mrc.retrieve.index import Index\n"
        f"Index.load(Path({str(tmp_path)!r}), expect_corpus=None)\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    root = Path(__file__).parent.parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
