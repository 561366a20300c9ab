"""A small starting checkpoint made from nothing but the texts at hand, for demonstrations and tests.

What it is: a BERT of a few narrow layers with its own WordPiece vocabulary, warmed up by masked language modelling on
the given texts, and told by its token types which pieces the question and the passage share (Chen et al. 2017,
Reading Wikipedia to Answer Open-Domain Questions, section 3.2: the exact-match feature is the strongest one). What it
is not: a pretrained language model. It knows no word that the texts do not teach it; on real questions a pretrained
encoder is far better.
"""

from __future__ import annotations

import os
IR=float(os.environ.get('IR','0.08')); DR=float(os.environ.get('DR','0.1')); AD=float(os.environ.get('AD','0.0')); PSCALE=float(os.environ.get('PS','0.03')); WS=float(os.environ.get('WS','0.1')); TSCALE=float(os.environ.get('TS','0.1'))
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mrc.read.config import TrainConfig, TrainingExample, check_range
from mrc.read.features import EXACT_MATCH_KEY, EXACT_MATCH_TYPES, IGNORED_KEY
from mrc.read.heads import new_head
from mrc.read.model import SpanModel
from mrc.read.train import train

_SENTENCE = re.compile(r"[^.!?。\n]+")
_WORD = re.compile(r"\w+(?:[-'.]\w+)*")
ENDING: Final = r"(?<=[0-9가-힣]{2})(?:에서|에는|으로|이다|은|는|이|가|을|를|의|에|로|와|과|도)(?![0-9가-힣])"  # Korean case endings
_ENDING = re.compile(ENDING)
MIN_WORDS: Final = 3
MAX_ANSWER_WORDS: Final = 3
KEPT_SHARE: Final = 0.7  # of a sentence's other words in the question made of it
SPECIALS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NOT_PREDICTED: Final = -100  # label that cross_entropy leaves out


@dataclass(frozen=True, slots=True)
class BuiltinConfig:
    """Size of the built-in encoder and of its warm-up.

    Raises: ValueError for a value out of range.
    """

    vocab_size: int = 4000
    layers: int = 3
    hidden_size: int = 128
    heads: int = 4
    positions: int = 384
    warmup_steps: int = 150  # updates of masked language modelling; 0: none
    warmup_batch: int = 32  # texts of one such update
    warmup_length: int = 96  # tokens of each
    warmup_rate: float = 2e-3
    mask_share: float = 0.15
    common_share: float = 0.2  # pieces in more than this share of the texts do not count as shared

    def __post_init__(self) -> None:
        for name in ("vocab_size", "layers", "hidden_size", "heads", "positions", "warmup_batch", "warmup_length"):
            check_range(name, getattr(self, name), low=1)
        check_range("warmup_steps", self.warmup_steps, low=0)
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        for name in ("mask_share", "common_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")


def build_builtin(
    passages: Sequence[str], folder: str | Path, *, questions: Sequence[str] = (), seed: int, config: BuiltinConfig | None = None
) -> Path:
    """The folder of a new starting checkpoint with vocabulary and weights from `texts`; it appears whole or not at all.

    Raises: ValueError without texts; FileExistsError if the folder is there.
    """
    texts = [*passages, *questions]
    settings, final = config or BuiltinConfig(), Path(folder)
    if not any(text.strip() for text in texts):
        raise ValueError("a built-in encoder needs texts to learn from")
    if final.exists():
        raise FileExistsError(f"{final} is there already")
    draft = final.with_name(f"{final.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    tokenizer = _tokenizer(texts, settings)
    model = _new_model(tokenizer, texts, settings, seed=seed)
    model.save(draft / "untrained", tokenizer)
    warm_up = TrainConfig(
        max_steps=settings.warmup_steps, batch_size=16, learning_rate=settings.warmup_rate,
        head_learning_rate=settings.warmup_rate, max_seq_length=settings.positions, checkpoint_every=10**6,
        device="cpu", precision="fp32",
    )
    examples = cloze_examples(passages, count=16*settings.warmup_steps, rng=np.random.default_rng(seed))
    train(examples, start=draft / "untrained", config=warm_up, seed=seed, folder=draft / "warm")
    (draft / "warm").rename(final)
    shutil.rmtree(draft)
    return final


def _new_model(tokenizer: Any, texts: Sequence[str], settings: BuiltinConfig, *, seed: int) -> SpanModel:
    """An untrained network. Positions begin as sinusoids, so that "near" need not be learned from nothing."""
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = BertModel(_bert_config(tokenizer, encoded, settings), add_pooling_layer=False)
    vectors = piece_vectors(encoded, pieces=len(tokenizer), size=settings.hidden_size, rng=np.random.default_rng(seed))
    with torch.no_grad():
        embeddings = encoder.embeddings
        embeddings.word_embeddings.weight.copy_(torch.from_numpy(vectors * WS))
        embeddings.position_embeddings.weight.copy_(sinusoids(settings.positions, settings.hidden_size) * PSCALE)
        embeddings.token_type_embeddings.weight.normal_(0.0, TSCALE)
    return SpanModel(encoder, new_head("linear", settings.hidden_size, seed=seed), prefix="bert", architecture="BertForQuestionAnswering", head_name="linear")


def sinusoids(positions: int, size: int) -> torch.Tensor:
    """(positions, size) sines and cosines of falling frequency. Source: Vaswani et al. 2017, section 3.5."""
    angle = torch.arange(positions)[:, None] / 10_000 ** (torch.arange(0, size, 2)[None, :] / size)
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)


def _tokenizer(texts: Sequence[str], settings: BuiltinConfig) -> Any:
    """A WordPiece tokenizer of the texts' own words, lower case, with Korean case endings as pieces of their own.

    An answer is a run of whole pieces, so an ending that sticks to a name would make the name unreachable.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    endings = pre_tokenizers.Split(Regex(ENDING), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), endings])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=settings.vocab_size, min_frequency=2, show_progress=False, special_tokens=list(SPECIALS)
        ),
    )
    pair = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=pair
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIALS, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=settings.positions, **names)


def _bert_config(tokenizer: Any, encoded: Sequence[Sequence[int]], settings: BuiltinConfig) -> BertConfig:
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.hidden_size,
        max_position_embeddings=settings.positions,
        initializer_range=IR,
        hidden_dropout_prob=DR,attention_probs_dropout_prob=AD,
        type_vocab_size=EXACT_MATCH_TYPES,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    config.update({EXACT_MATCH_KEY: True, IGNORED_KEY: _ignored(tokenizer, encoded, settings.common_share)})
    return config


def _ignored(tokenizer: Any, encoded: Sequence[Sequence[int]], common_share: float) -> list[int]:
    """Ids of punctuation and of pieces that stand in more than `common_share` of the texts."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for ids in encoded:
        counts[np.unique(ids)] += 1
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    marks = np.array([not any(letter.isalnum() for letter in piece) for piece in pieces])
    return [int(index) for index in np.flatnonzero((counts > common_share * len(encoded)) | marks)]


def piece_vectors(
    encoded: Sequence[Sequence[int]], *, pieces: int, size: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(pieces, size) vectors of mean square 1: pieces that stand between like neighbours are near each other.

    A truncated singular value decomposition of positive pointwise mutual information with the neighbours one and two
    places before and after. Pieces without neighbours get random vectors. Sources: Levy & Goldberg 2014, Neural Word
    Embedding as Implicit Matrix Factorization, section 5.3; context smoothing .75 after Levy, Goldberg & Dagan 2015.
    """
    blocks = []
    for distance in (1, 2):
        left = np.concatenate([np.asarray(ids[:-distance], dtype=np.int64) for ids in encoded])
        right = np.concatenate([np.asarray(ids[distance:], dtype=np.int64) for ids in encoded])
        counts = sparse.coo_array((np.full(len(left), 1.0 / distance), (left, right)), shape=(pieces, pieces)).tocsr()
        blocks += [counts, counts.T]
    table = sparse.hstack(blocks).tocoo()
    table.sum_duplicates()
    rows, columns = np.asarray(table.sum(axis=1)).ravel(), np.asarray(table.sum(axis=0)).ravel() ** 0.75
    info = np.log(table.data * columns.sum() / (rows[table.row] * columns[table.col]))
    positive = sparse.coo_array((np.maximum(info, 0), (table.row, table.col)), shape=table.shape).tocsr()
    rank = min(size, pieces - 1)
    left_vectors, values, _ = svds(positive, k=rank, v0=rng.normal(size=pieces))
    vectors = np.zeros((pieces, size))
    vectors[:, :rank] = left_vectors * np.sqrt(values)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = norms > 1e-6
    scaled = vectors / np.where(known, norms, 1.0) * np.sqrt(size)
    return np.where(known, scaled, rng.normal(size=vectors.shape)).astype(np.float32)


def cloze_examples(texts: Sequence[str], *, count: int, rng: np.random.Generator) -> list[TrainingExample]:
    """Up to `count` questions made of the texts themselves: a sentence without one of its rarer spans asks for it.

    Words of the sentence are dropped at random, and half the questions are shuffled, so that shared words and not their
    order lead to the answer.
    """
    counts = Counter(word for text in texts for word in set(_words(text)))
    sentences = [(text, match) for text in texts for match in _SENTENCE.finditer(text)]
    examples: list[TrainingExample] = []
    for number in rng.permutation(np.resize(np.arange(len(sentences)), count)) if sentences else ():
        text, sentence = sentences[int(number)]
        example = _cloze(text, sentence, counts, rng, identity=f"cloze-{len(examples)}")
        if example:
            examples.append(example)
    return examples


def _cloze(
    text: str, sentence: re.Match[str], counts: Counter[str], rng: np.random.Generator, *, identity: str
) -> TrainingExample | None:
    """A question from one sentence; None if it has fewer than three words."""
    words = [match.span() for match in _WORD.finditer(text, *sentence.span())]
    if len(words) < MIN_WORDS:
        return None
    rarity = np.array([1 / counts[text[start:end]] for start, end in words])
    first = int(rng.choice(len(words), p=rarity / rarity.sum()))
    last = min(first + int(rng.integers(0, MAX_ANSWER_WORDS)), len(words) - 1)
    rest = words[:first] + words[last + 1 :]
    kept = [text[start:end] for start, end in rest if rng.random() < KEPT_SHARE]
    if rng.random() < 0.5:  # half of them shuffled
        kept = [kept[index] for index in rng.permutation(len(kept))]
    start, end = words[first][0], words[last][1]
    ending = _ENDING.search(text, start, end)
    return TrainingExample(identity, " ".join(kept) + "?", text, start, ending.start() if ending else end)


def _words(text: str) -> list[str]:
    return _WORD.findall(text)
