"""ONNX Runtime: equal results to torch, one export per network, clear errors."""

import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mrc.errors import BadCheckpoint, MissingExtra, NoDevice
from mrc.read.model import backends
from mrc.read.model.backends import Disagreement, disagreement
from mrc.read.model.heads import Scores
from mrc.read.model.loading import load_model
from mrc.read.model.reader import Reader
from tests.mrc import tiny
from tests.mrc.read.model.test_reader import PASSAGE, QUESTION, SMALL, change_config, reader_logits

pytest.importorskip("onnxruntime", reason='needs pip install "labeler[onnx]"')
pytest.importorskip("onnxscript", reason='needs pip install "labeler[onnx]"')


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reader with all that a network can have: a biaffine head and an exact-match embedding."""
    place = tmp_path_factory.mktemp("biaffine")
    options = {
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "head": "biaffine",
        "exact_match_features": "words",
    }
    model = load_model(tiny.bert(place / "start"), **options)
    with torch.no_grad():
        model.match_embedding.weight[1:] = torch.randn(11, 32, generator=torch.Generator().manual_seed(0))
    model.save(place / "reader", tiny.wordpiece())
    return place / "reader"


@pytest.fixture(scope="module")
def exported(folder, cache):
    return Reader.load(folder, backend="onnx")


@pytest.mark.parametrize("passage", ["Tarn.", PASSAGE])
def test_logits_equal_those_of_torch(passage, folder, exported):
    found = reader_logits(exported, QUESTION, passage)
    expected = reader_logits(Reader.load(folder, precision="fp32"), QUESTION, passage)
    for side in ("start", "end"):
        np.testing.assert_allclose(getattr(found, side), getattr(expected, side), atol=1e-4)
    for band, other in zip(found.pair, expected.pair, strict=True):
        np.testing.assert_allclose(band, other, atol=1e-4)


def test_answers_equal_those_of_torch(folder, exported):
    pairs = [(QUESTION, PASSAGE), ("Where?", ""), ("누가?", "가람 선생이 세웠다.")]
    found, expected = exported.answer(pairs, SMALL), Reader.load(folder, precision="fp32").answer(pairs, SMALL)
    for one, other in zip(found, expected, strict=True):
        assert [answer.text for answer in one.answers] == [answer.text for answer in other.answers]


def never(*_):
    raise AssertionError("exported again")


@pytest.fixture
def place(exported, cache):
    """The folder of its export."""
    return next((cache / "labeler" / "onnx").glob(f"{exported.fingerprint[:32]}-*"))


@pytest.fixture
def sound(place, tmp_path):
    """A copy of the export."""
    return shutil.copytree(place, tmp_path / "sound")


def test_a_network_is_exported_once(exported, folder, cache, monkeypatch):
    monkeypatch.setattr(backends, "_export", never)
    Reader.load(folder, backend="onnx")
    assert [path.name for path in (cache / "labeler" / "onnx").glob("*/network.onnx")] == ["network.onnx"]


def test_an_export_that_computes_something_else_is_refused(folder, cache, monkeypatch):
    monkeypatch.setattr(backends, "_export", lambda model, path, source: None)
    monkeypatch.setattr(
        backends, "_OnnxNetwork", lambda path: lambda *inputs: Scores(*[torch.ones(inputs[0].shape)] * 2)
    )
    before = set((cache / "labeler" / "onnx").glob("*")) if (cache / "labeler" / "onnx").exists() else set()
    with pytest.raises(BadCheckpoint, match="ONNX Runtime's logits differ by up to"):
        Reader.load(tiny.bert(folder.parent / "other", seed=7), backend="onnx")
    assert set((cache / "labeler" / "onnx").glob("*")) == before


def test_the_same_weights_in_another_architecture_are_exported_too(exported, folder, tmp_path, monkeypatch):
    other = change_config(shutil.copytree(folder, tmp_path / "other"), hidden_act="relu")
    asked = []
    honest = backends._export
    monkeypatch.setattr(backends, "_export", lambda *given: asked.append(given) or honest(*given))
    found = reader_logits(Reader.load(other, backend="onnx"), QUESTION, PASSAGE)
    assert len(asked) == 1
    expected = reader_logits(Reader.load(other, precision="fp32"), QUESTION, PASSAGE)
    np.testing.assert_allclose(found.start, expected.start, atol=1e-4)
    assert not np.allclose(reader_logits(exported, QUESTION, PASSAGE).start, expected.start, atol=1e-4)


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def zeroed(path):
    """As a file may be after a loss of power; the weights lie in the one or beside it."""
    for each in path.parent.iterdir():
        size = each.stat().st_size
        each.unlink()  # a network that is loaded keeps its file, which it has mapped into memory
        each.write_bytes(bytes(size))


@pytest.mark.parametrize("spoil", [cut, zeroed, Path.unlink])
def test_a_broken_export_is_replaced(spoil, exported, folder, place, sound, monkeypatch, caplog):
    spoil(place / "network.onnx")
    monkeypatch.setattr(
        backends, "_export", lambda model, path, source: shutil.copytree(sound, path.parent, dirs_exist_ok=True)
    )
    found = reader_logits(Reader.load(folder, backend="onnx"), QUESTION, PASSAGE)
    np.testing.assert_array_equal(found.start, reader_logits(exported, QUESTION, PASSAGE).start)
    assert "exporting it again" in caplog.text
    monkeypatch.setattr(backends, "_export", never)
    Reader.load(folder, backend="onnx")


def test_a_cached_export_that_computes_something_else_is_replaced(folder, sound, monkeypatch, caplog):
    class Other(backends._OnnxNetwork):
        def __init__(self, path):
            super().__init__(path)
            self.wrong = "tmp" not in str(path.parent.parent.name)

        def __call__(self, *inputs):
            scores = super().__call__(*inputs)
            return Scores(scores.start + 1, scores.end, scores.left, scores.right) if self.wrong else scores

    made = []

    def again(model, path, source):
        made.append(source)
        shutil.copytree(sound, path.parent, dirs_exist_ok=True)

    monkeypatch.setattr(backends, "_OnnxNetwork", Other)
    monkeypatch.setattr(backends, "_export", again)
    Reader.load(folder, backend="onnx")
    assert made == [folder]
    assert "ONNX Runtime's logits differ by up to 1; set backend torch); exporting it again" in caplog.text


def test_a_faster_export_by_another_process_is_used(exported, folder, cache, place, sound, monkeypatch):
    shutil.rmtree(place)

    honest = Path.replace

    def raced(path, target):
        if target == place:
            shutil.copytree(sound, place)  # the other's, at the last moment
        return honest(path, target)

    monkeypatch.setattr(Path, "replace", raced)
    monkeypatch.setattr(
        backends, "_export", lambda model, path, source: shutil.copytree(sound, path.parent, dirs_exist_ok=True)
    )
    found = reader_logits(Reader.load(folder, backend="onnx"), QUESTION, PASSAGE)
    np.testing.assert_array_equal(found.start, reader_logits(exported, QUESTION, PASSAGE).start)
    assert not list((cache / "labeler" / "onnx").glob("tmp*"))


def test_the_last_used_exports_are_kept(folder, place):
    now = time.time()
    os.utime(place, (0, 0))  # its use counts, not when it was made
    others = [place.parent / f"other-{age}" for age in range(1, 10)]
    drafts = [place.parent / f"tmp-{age}" for age in (1, 25)]
    for path, hours in zip([*others, *drafts], [*range(1, 10), 1, 25], strict=True):
        path.mkdir()
        os.utime(path, (now - 3600 * hours,) * 2)
    for path in place.parent.iterdir():
        if path not in (place, *others, *drafts):
            shutil.rmtree(path)
    Reader.load(folder, backend="onnx")
    assert set(place.parent.iterdir()) == {place, *others[:7], drafts[0]}
    for path in (*others[:7], drafts[0]):
        path.rmdir()


@pytest.mark.parametrize("before", [1, 0])
def test_a_network_with_nan_scores_agrees_with_none(before, folder):
    attention = torch.ones(1, 3, dtype=torch.int64)
    numbers = Scores(torch.zeros(1, 3), torch.zeros(1, 3))
    inputs = [(torch.full_like(attention, at), attention, attention, attention) for at in range(2)]

    def network(ids, *_):
        return Scores(numbers.start + (torch.nan if int(ids[0, 0]) == before else 0), numbers.end)

    assert math.isnan(disagreement(network, lambda *_: numbers, iter(inputs)).logit)
    model = load_model(
        folder, device=torch.device("cpu"), dtype=torch.float32, head="biaffine", exact_match_features="words"
    )
    with pytest.raises(BadCheckpoint, match="logits differ by up to nan"):
        backends._check(lambda ids, *_: Scores(*[torch.full(ids.shape, torch.nan)] * 2), model, "m", count=2)


def test_disagreement_ignores_padding():
    attention = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    inputs = (torch.zeros_like(attention), torch.zeros_like(attention), attention, torch.zeros_like(attention))
    start = torch.tensor([[1.0, 2.0, 3.0, 9.0], [1.0, 2.0, 9.0, 9.0]])
    moved = torch.tensor([[1.0, 2.0, 3.0, 0.0], [2.5, 2.0, 0.0, 0.0]])  # the second window's best start moves
    networks = [lambda *_, first=first: Scores(first, start) for first in (start, moved)]
    assert disagreement(*networks, iter([inputs])) == Disagreement(windows=2, logit=1.5, answers=1)


def test_a_network_that_onnx_cannot_express_is_named(folder, cache, monkeypatch):
    def fails(*_, **__):
        raise torch.onnx.OnnxExporterError("cannot trace:\na packed sequence")

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(
        BadCheckpoint, match="cannot express its BertModel with a LinearHead; set backend torch"
    ) as caught:
        Reader.load(tiny.bert(folder.parent / "third", seed=8), backend="onnx")
    assert "\n" not in str(caught.value)
    assert list((cache / "labeler" / "onnx").glob("tmp*")) == []


def test_bfloat16_and_a_missing_package_are_refused(folder, monkeypatch):
    with pytest.raises(NoDevice, match="float32 on the CPU"):
        Reader.load(folder, precision="bf16", backend="onnx")
    monkeypatch.setattr(backends, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(MissingExtra, match=r'needs onnxruntime: pip install "labeler\[onnx\]"'):
        Reader.load(folder, backend="onnx")
