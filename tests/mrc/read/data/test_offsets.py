"""Offsets: an answer put through token spans and back is the same answer, whatever the tokenizer."""

from __future__ import annotations

import json
import os
import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from mrc.decode import trimmed
from mrc.errors import BadCheckpoint
from mrc.read.data.tokens import TextTokenizer, Tokens, token_span
from mrc.text.graphemes import graphemes
from tests.mrc import tiny
from tests.mrc.tokenizers_of import DROPPED, SPECIAL, TOKENIZERS, metaspace_bpe, unigram, wordpiece, wrapped

Item = tuple[str, str, int]  # context, gold, offset

MADE = (
    "😀 벨모라(Velmora)의 항구는 1213년\r\n오다 브린이 세웠다. 👩‍🚀가 café에서 naïve한 ﬁrst ㎞² 🇰🇷🇯🇵 "
    "ＡＢＣ ½ 다리를 ‘놓았다’.\r\n\r\n①번 été दिल्ली में 1️⃣ \u1112\u1161\u11ab글 ﾃﾚﾋﾞ İzmir Straße, "
    'the harbour of Orsk: "Lin Varga" 3.5 km'
)
GOLDS = (
    "😀", "벨모라", "Velmora", "1213년", "브린", "👩‍🚀", "café", "ﬁrst", "㎞²",
    "🇰🇷", "🇯🇵", "ＡＢＣ", "½", "다리", "놓았다", "①", "été", "दिल्ली",
    "1️⃣", "ﾃﾚﾋﾞ", "İzmir", "Straße", "harbour", "오다 브린", "1213년\r\n오다", "Lin Varga", "3.5 km",
)  # fmt: skip


def made() -> list[Item]:
    """Golds of a text with emoji, marks, widths and CR LF, composed and decomposed."""
    found = []
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, MADE)  # type: ignore[arg-type]
        golds = [unicodedata.normalize(form, gold) for gold in GOLDS]  # type: ignore[arg-type]
        found += [(text, gold, text.index(gold)) for gold in golds]
    return found


def korquad(paragraphs: int) -> list[Item]:
    """Golds of a sample of KorQuAD dev, and some of them decomposed."""
    data = json.loads(Path(os.environ["LABELER_DATA"], "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))
    every = [paragraph for article in data["data"] for paragraph in article["paragraphs"]]
    found = [
        (paragraph["context"], answer["text"], answer["answer_start"])
        for paragraph in random.Random(0).sample(every, paragraphs)
        for qa in paragraph["qas"]
        for answer in qa["answers"]
    ]
    return [*found, *(_decomposed(*item) for item in found[:100])]


def _decomposed(context: str, gold: str, start: int) -> Item:
    before, whole, part = (unicodedata.normalize("NFD", text) for text in (context[:start], context, gold))
    return whole, part, len(before)


def back(context: str, tokens: Tokens, gold: str, start: int) -> str | None:
    """What a gold answer becomes as a span of tokens."""
    span = token_span(tokens, start, start + len(gold))
    if span is None:
        return None
    offsets = trimmed(context, tokens.offsets)
    return context[offsets[span[0], 0] : offsets[span[1], 1]]


def check(tokenize: TextTokenizer, items: list[Item], *, share: float = 0.999) -> None:
    texts = list(dict.fromkeys(context for context, _, _ in items))
    tokens = dict(zip(texts, tokenize(texts), strict=True))
    for text, own in tokens.items():
        starts, ends = own.offsets.T
        assert np.all(np.diff(starts) >= 0)
        assert np.all(starts <= ends)
        covered = {at for start, end in own.offsets for at in range(start, end)}
        assert not [text[at - 5 : at + 5] for at in range(len(text)) if at not in covered and not text[at].isspace()]
    wrong = [(gold, back(context, tokens[context], gold, start)) for context, gold, start in items]
    wrong = [pair for pair in wrong if pair[0] != pair[1]]
    assert len(wrong) <= (1 - share) * len(items), wrong[:5]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_gold_comes_back_from_token_spans(name: str) -> None:
    check(TextTokenizer(TOKENIZERS[name]([text for text, _, _ in made()])), made(), share=1.0)


@pytest.mark.skipif(not os.environ.get("LABELER_DATA"), reason="LABELER_DATA is not set")
@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_gold_of_korquad_comes_back_from_token_spans(name: str) -> None:
    items = korquad(40)
    check(TextTokenizer(TOKENIZERS[name](list({text for text, _, _ in items}))), items)


def test_tokenizers_in_other_scripts_than_the_text_come_back_as_whole_words_or_are_refused() -> None:
    text = "The harbour of Velmora"
    (tokens,) = TextTokenizer(wordpiece(None)([text]))(["항구는 Velmora"])
    assert back("항구는 Velmora", tokens, "항구는", 0) == "항구는"
    with pytest.raises(BadCheckpoint, match=r"^the tokenizer gives wrong offsets.*; choose another checkpoint$"):
        TextTokenizer(metaspace_bpe(unknown=False)([text]))  # it drops letters, and gives their places to others


def test_letters_lost_to_an_added_space_come_back_and_the_saved_tokenizer_stays() -> None:
    text = "Oda Brin"
    tokenizer = TOKENIZERS["bytes, words, trimmed"]([text] * 9)  # so that ĠBrin is one token
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert "rin" in {text[start:end] for start, end in encoded["offset_mapping"]}
    before = tokenizer.backend_tokenizer.to_str()
    (tokens,) = TextTokenizer(tokenizer)([text])
    assert tokens.ids.tolist() == encoded["input_ids"]
    assert back(text, tokens, "Brin", 4) == "Brin"
    assert tokenizer.backend_tokenizer.to_str() == before


def test_dropped_characters_get_a_token_of_unknown_text() -> None:
    tokenizer = TOKENIZERS["wordpiece that drops characters"]([MADE])
    text = "벨모라(Velmora) 1213년 년"
    (tokens,) = TextTokenizer(tokenizer)([text])
    unknown = [text[start:end] for (start, end), id_ in zip(tokens.offsets, tokens.ids, strict=True) if id_ == 3]
    assert unknown == ["(", ")", "년", "년"]
    assert set(unknown) == set(DROPPED)


def test_invisible_characters_belong_to_the_token_beside_them_and_never_end_an_answer() -> None:
    tokenizer = tiny.wordpiece()
    text = "\ufeffTarn\u200b mill"
    (tokens,) = TextTokenizer(tokenizer)([text])
    assert "".join(text[start:end] for start, end in tokens.offsets) == "\ufeffTarn\u200bmill"
    assert tokens.ids.tolist() == tokenizer("Tarn mill", add_special_tokens=False)["input_ids"]
    assert back(text, tokens, "Tarn", 1) == "Tarn"


@pytest.mark.parametrize("name", TOKENIZERS)
def test_no_token_starts_or_ends_inside_a_grapheme(name: str) -> None:
    tokenize = TextTokenizer(TOKENIZERS[name]([MADE, unicodedata.normalize("NFD", MADE)]))
    pairs = "\ud83d\ude00 Tarn"  # as a program wrote it that counts in UTF-16
    for text in (MADE, unicodedata.normalize("NFD", MADE), pairs):
        edges, at = {0}, 0
        for piece in graphemes(text):
            edges.add(at := at + len(piece))
        (tokens,) = tokenize([text])
        assert {int(edge) for edge in tokens.offsets.ravel()} <= edges


def test_bytes_of_two_characters_in_one_token_are_told_apart() -> None:
    """The pieces are A, its last byte with the first of B, and the rest of B."""
    first, second = ("서".encode(), "울".encode())
    table = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = table.pre_tokenize_str("서울")[0][0]
    assert len(letters) == len(first + second)
    pieces = [letters[:2], letters[2:4], letters[4:]]
    vocabulary = dict.fromkeys([*SPECIAL, *pre_tokenizers.ByteLevel.alphabet(), *pieces])
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(vocabulary)}, _merges(pieces)))
    tokenizer.pre_tokenizer = table
    (tokens,) = TextTokenizer(wrapped(tokenizer))(["서울"])
    assert len(tokens.ids) == 3
    assert [back("서울", tokens, gold, start) for gold, start in (("서", 0), ("울", 1), ("서울", 0))] == [
        "서",
        "울",
        "서울",
    ]


def _merges(pieces: list[str]) -> list[tuple[str, str]]:
    return [(piece[0], piece[1]) for piece in pieces]


class Shifted:
    """A tokenizer whose offsets are those of another text."""

    def __init__(self, tokenizer: Any, by: int) -> None:
        self._tokenizer, self._by = tokenizer, by

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, texts: Any, **options: Any) -> Any:
        encoded = self._tokenizer(texts, **options)
        encoded["offset_mapping"] = [
            [(start + self._by, end + self._by) for start, end in row] for row in encoded["offset_mapping"]
        ]
        return encoded


@pytest.mark.parametrize("by", [-1, 1])
def test_a_tokenizer_with_shifted_offsets_is_refused_in_one_line(by: int) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        TextTokenizer(Shifted(tiny.wordpiece(), by))
    assert "\n" not in str(caught.value)
    assert "wrong offsets" in str(caught.value)


def test_tokenizers_with_right_offsets_are_used_as_they_are() -> None:
    for tokenizer in (tiny.wordpiece(), tiny.byte_level(), unigram(None, pre_tokenizers.Metaspace())([MADE])):
        assert TextTokenizer(tokenizer)._tokenizer is tokenizer
